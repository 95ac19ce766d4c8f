"""A scene as one HTML page that needs no other file: players, pictures, timeline."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

import numpy as np
import soundfile

from espnet2_caresep.inference.audio_writer import MP3_RATES
from espnet2_caresep.inference.events import Event
from espnet2_caresep.inference.resampling import resample
from espnet2_caresep.pictures import RANGE_DB, log_mel

TEMPLATE = Path(__file__).parents[1] / "templates" / "scene.html"
# Hues that are told apart, also by most who do not see all colours (Okabe and Ito).
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#8c6bb1",
    "#7f7f3f",
)
PLAIN = "#8a8a8a"
COLUMNS = 1200  # of a picture
PIECE = 2**20  # samples whose spectrogram is computed at once
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)  # seconds between two marks


@dataclass(frozen=True)
class Track:
    """A waveform of the page.

    Attributes:
        title: Its heading.
        note: A line of figures below the heading.
        samples: (channels, samples) float32.
        events: What is marked on its picture.
        colour: CSS colour.
        file: Path of the lossless file, relative to the page; None if it has none.
    """

    title: str
    note: str
    samples: np.ndarray
    events: Sequence[Event] = ()
    colour: str = PLAIN
    file: str | None = None


def render(
    title: str,
    facts: str,
    tracks: Sequence[Track],
    events: Sequence[Event],
    sample_rate: int,
    remarks: Sequence[str],
) -> str:
    """Writes the page.

    Args:
        title: Heading of the page.
        facts: A line below it.
        tracks: The mixture first, then the stems, then the residual: all of one length.
        events: All events, for the timeline and the table.
        sample_rate: Hz.
        remarks: What a reader should know, a sentence or two each.

    Returns:
        HTML. Audio is in it as MP3, pictures as PNG.
    """
    seconds = tracks[0].samples.shape[-1] / sample_rate
    loudest = max(float(np.abs(track.samples).max()) for track in tracks)
    mels = [_picture(track.samples.mean(0), sample_rate) for track in tracks]
    top = mels[0].max()
    cards = [
        _card(track, mel, top, 1 / max(1.0, loudest), sample_rate, seconds)
        for track, mel in zip(tracks, mels)
    ]
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        title=escape(title),
        facts=escape(facts),
        axis=_axis(seconds),
        rows="\n".join(_row(i, track, seconds) for i, track in enumerate(tracks)),
        cards="\n".join(cards),
        table="\n".join(_table_row(event) for event in events),
        remarks="\n".join(f"<li>{escape(remark)}</li>" for remark in remarks),
        seconds=f"{seconds:.3f}",
    )


def _row(index: int, track: Track, seconds: float) -> str:
    """A row of the timeline; its bars play the track from there."""
    if not track.events:
        return ""
    bars = "".join(
        f'<button class="bar" data-track="{index}" data-start="{event.start}" '
        f'style="{_span(event, seconds)}" title="{escape(_name(event))}" '
        f'aria-label="play {escape(_name(event))}"></button>'
        for event in track.events
    )
    return (
        f'<div class="row" style="--colour:{track.colour}"><span class="label">'
        f'{escape(track.title)}</span><div class="lane">{bars}</div></div>'
    )


def _card(
    track: Track,
    mel: np.ndarray,
    top: float,
    gain: float,
    sample_rate: int,
    seconds: float,
) -> str:
    kind, audio = _encode(track.samples * np.float32(gain), sample_rate)
    marks = "".join(
        f'<i class="mark" style="{_span(event, seconds)}"></i>'
        for event in track.events
    )
    link = ""
    if track.file is not None:
        link = f'<a href="{escape(track.file)}" download>{escape(track.file)}</a>'
    title = escape(track.title)
    return f"""<section class="card" style="--colour:{track.colour}">
<h2>{title}</h2><p class="note">{escape(track.note)} {link}</p>
<div class="plot"><img alt="spectrogram of {title}" src="{_png(mel, top)}">{marks}</div>
<div class="axis">{_axis(seconds)}</div>
<audio controls preload="metadata" src="data:{kind};base64,{audio}"></audio>
</section>"""


def _table_row(event: Event) -> str:
    return (
        f"<tr><td>{event.start:.2f}</td><td>{event.end:.2f}</td>"
        f"<td>{escape(event.label)}</td><td>{event.score:.2f}</td></tr>"
    )


def _name(event: Event) -> str:
    return f"{event.label}, {event.start:.2f} to {event.end:.2f} s, {event.score:.2f}"


def _span(event: Event, seconds: float) -> str:
    left, width = event.start / seconds, (event.end - event.start) / seconds
    return f"left:{100 * left:.3f}%;width:{100 * width:.3f}%"


def _axis(seconds: float) -> str:
    """Marks of time, eight at most."""
    step = next((tick for tick in TICKS if seconds / tick <= 8), 2 * TICKS[-1])
    marks = np.arange(0, seconds * 0.97, step)
    return "".join(
        f'<span style="left:{100 * mark / seconds:.3f}%">{mark:g} s</span>'
        for mark in marks
    )


def _picture(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Log-mel spectrogram of at most some 1,200 columns, (bands, columns) in dB."""
    pool = max(1, len(samples) // 320 // COLUMNS)  # frames of a column
    size = max(1, PIECE // (320 * pool)) * 320 * pool
    columns = []
    for start in range(0, len(samples), size):
        piece = np.ascontiguousarray(samples[start : start + size])
        power = 10 ** (log_mel(piece, sample_rate) / 10)
        count = max(1, power.shape[1] // pool)
        columns += [part.mean(1) for part in np.array_split(power, count, axis=1)]
    return 10 * np.log10(np.stack(columns, 1))


def _png(mel: np.ndarray, top: float) -> str:
    from matplotlib import colormaps
    from PIL import Image

    level = np.clip((mel - top) / RANGE_DB + 1, 0, 1)
    image = Image.fromarray(np.round(level[::-1] * 255).astype(np.uint8), "P")
    palette = colormaps["magma"](np.arange(256))[:, :3]
    image.putpalette(np.round(palette * 255).astype(np.uint8).tobytes())
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _encode(samples: np.ndarray, sample_rate: int) -> tuple[str, str]:
    """MIME type and base64 of an MP3, which every browser plays."""
    if len(samples) > 2:
        samples = samples.mean(0, keepdims=True)
    if sample_rate not in MP3_RATES:
        samples, sample_rate = resample(samples, sample_rate, 48000), 48000
    out = io.BytesIO()
    soundfile.write(out, samples.T, sample_rate, format="MP3")
    return "audio/mpeg", base64.b64encode(out.getvalue()).decode()
