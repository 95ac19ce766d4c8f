"""What the page of a scene says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from espnet2_caresep.inference.audio.reader import AudioReader
from espnet2_caresep.inference.audio.recording import Audio
from espnet2_caresep.inference.scene.report import COLOURS, Track, render
from espnet2_caresep.inference.tags.events import Event

NOTHING = "No sound reached the threshold, so the residual is all."
QUERIES = (
    "Each event was separated with its own span of the recording as the query. Where it "
    "sounds alone, nearly all that is there becomes its stem; where several events "
    "overlap, each one is looked for as it sounds alone, and they share the recording. "
    "Two sounds that always come together cannot be told apart this way."
)
BORDERS = (
    "An event needs one moment of probability {threshold:g} and reaches as far as "
    "moments stay above half of it. Its borders are as coarse as the model's moments. "
    "Events 40 dB below the loudest one are left out."
)
SUM = (
    "All stems and the residual add up to the recording. The players play MP3; the "
    "lossless files lie beside this page."
)
PICTURES = (
    "Pictures: frequency from 0 Hz to half the sample rate on the mel scale, 70 dB from "
    "the mixture's loudest point to black. A click plays the track from there."
)
BELIEF = (
    "Labels are what the model believes, not the truth. The probability in the stem is "
    "what the same model hears in what it separated."
)


def render_scene(
    timeline: dict,
    audios: Sequence[Audio | AudioReader],
    players: Sequence[str | None],
) -> str:
    """Writes the page of a scene.

    Args:
        timeline: What timeline.json says of it.
        audios: The recording, the stems in the timeline's order, the residual.
        players: MP3 of each, relative to the page; None where the page is to hold it.

    Returns:
        HTML.
    """
    events = [Event(**row) for row in timeline["events"]]
    tracks = [Track("mixture", "The recording as it came.", audios[0])]
    for i, (entry, stem) in enumerate(zip(timeline["sounds"], audios[1:])):
        own = [event for event in events if event.label == entry["label"]]
        colour = COLOURS[i % len(COLOURS)]
        note = _figures(entry, len(own))
        tracks.append(Track(entry["label"], note, stem, own, colour, entry["stem"]))
    rest = timeline["residual"]
    note = f"What is left: {_percent(rest['share_db'])} of the energy."
    tracks.append(Track("residual", note, audios[-1], file=rest["file"]))
    tracks = [replace(t, player=player) for t, player in zip(tracks, players)]
    rate, channels = timeline["sample_rate"], timeline["channels"]
    many = "mono" if channels == 1 else f"{channels} channels"
    model = timeline["model"]
    facts = (
        f"{timeline['seconds']:.2f} s, {rate} Hz, {many}; "
        f"{_count(len(events), 'event')} of "
        f"{_count(len(timeline['sounds']), 'sound')}; "
        f"model {model['name']} ({model['fingerprint']})"
    )
    remarks = [
        QUERIES,
        BORDERS.format(threshold=timeline["threshold"]),
        SUM,
        BELIEF,
        PICTURES,
    ]
    if not events:
        remarks.insert(0, NOTHING)
    title = Path(timeline["file"]).name
    return render(title, facts, tracks, events, remarks)


def _figures(entry: dict, events: int) -> str:
    return (
        f"Probability {entry['score']:.2f} in the recording, {entry['stem_score']:.2f} "
        f"in the stem; {_count(events, 'event')}, {entry['seconds']:.2f} s; "
        f"{_percent(entry['share_db'])} of the energy."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _percent(share_db: float | None) -> str:
    percent = 0.0 if share_db is None else 100 * 10 ** (share_db / 10)
    return f"{percent:.1f} %" if percent >= 0.05 else "less than 0.1 %"
