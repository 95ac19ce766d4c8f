"""A scene as one HTML page that needs no other file: players, pictures, timeline."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import IO

import numpy as np
import soundfile

from espnet2_caresep.inference.audio.reader import AudioReader
from espnet2_caresep.inference.audio.recording import Audio
from espnet2_caresep.inference.audio.resampling import Resampler
from espnet2_caresep.inference.audio.writer import MP3_RATES
from espnet2_caresep.inference.tags.events import Event
from espnet2_caresep.pictures import RANGE_DB, log_mel_columns

TEMPLATE = Path(__file__).parents[2] / "templates" / "scene.html"
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
# Seconds between two marks
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)


@dataclass(frozen=True)
class Track:
    """A waveform of the page.

    Attributes:
        title: Its heading.
        note: A line of figures below the heading.
        audio: What sounds.
        events: What is marked on its picture.
        colour: CSS colour.
        file: Path of the lossless file, relative to the page; None if it has none.
        player: Path of an MP3, likewise; without one the page holds the sound itself.
    """

    title: str
    note: str
    audio: Audio | AudioReader
    events: Sequence[Event] = ()
    colour: str = PLAIN
    file: str | None = None
    player: str | None = None


def render(
    title: str,
    facts: str,
    tracks: Sequence[Track],
    events: Sequence[Event],
    remarks: Sequence[str],
) -> str:
    """Writes the page.

    Args:
        title: Heading of the page.
        facts: A line below it.
        tracks: The mixture first, then the stems, then the residual: all of one length.
        events: All events, for the timeline and the table.
        remarks: What a reader should know, a sentence or two each.

    Returns:
        HTML. Audio is in it as MP3, pictures as PNG.
    """
    audios = [track.audio for track in tracks]
    seconds = audios[0].frames / audios[0].sample_rate
    gain = gain_of(audios)
    mels = [log_mel_columns(a.blocks(), a.frames, a.sample_rate) for a in audios]
    cards = [
        _card(track, mel, mels[0].max(), gain, seconds)
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


def gain_of(audios: Sequence[Audio | AudioReader]) -> float:
    """What turns the loudest of them down to full scale; at most 1."""
    peaks = (float(np.abs(block).max()) for a in audios for block in a.blocks())
    return 1 / max(1.0, *peaks)


def encode(audio: Audio | AudioReader, gain: float, file: str | Path | IO) -> None:
    """Writes an MP3, which every browser plays; more than two channels become one."""
    rate = audio.sample_rate if audio.sample_rate in MP3_RATES else 48000
    channels = audio.channels if audio.channels < 3 else 1
    converter = Resampler(audio.sample_rate, rate, channels)
    with soundfile.SoundFile(file, "w", rate, channels, format="MP3") as out:
        for block in audio.blocks():
            if channels < audio.channels:
                block = block.mean(0, keepdims=True)
            out.write(converter.push(block * np.float32(gain)).T)
        out.write(converter.finish().T)


def _card(
    track: Track, mel: np.ndarray, top: float, gain: float, seconds: float
) -> str:
    player = escape(track.player or _inside(track.audio, gain))
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
<audio controls preload="metadata" src="{player}"></audio>
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


def _inside(audio: Audio | AudioReader, gain: float) -> str:
    """A URL that holds the sound itself."""
    out = io.BytesIO()
    encode(audio, gain, out)
    return "data:audio/mpeg;base64," + base64.b64encode(out.getvalue()).decode()
