"""What the page of a scene says."""

from __future__ import annotations

from pathlib import Path

from espnet2_caresep.inference.report import COLOURS, Track, render
from espnet2_caresep.inference.scene import Scene

NOTHING = "No sound reached the threshold, so the residual is all."
QUERIES = (
    "Each event was separated with its own span of the recording as the query. Where it "
    "sounds alone, nearly all that is there becomes its stem; where several events "
    "overlap, each one is looked for as it sounds alone, and they share the recording. "
    "Two sounds that always come together cannot be told apart this way."
)
BORDERS = (
    "An event needs one moment of probability {threshold:g} and reaches as far as "
    "moments stay above half of it. Its borders are as coarse as the model's moments "
    "(0.32 s at 32 kHz). Events 40 dB below the loudest one are left out."
)
SUM = (
    "All stems and the residual add up to the recording. The players hold MP3 for "
    "listening; the lossless files lie beside this page."
)
PICTURES = (
    "Pictures: frequency from 0 Hz to half the sample rate on the mel scale, 70 dB from "
    "the mixture's loudest point to black. A click plays the track from there."
)
BELIEF = (
    "Labels are what the model believes, not the truth. The probability in the stem is "
    "what the same model hears in what it separated."
)


def render_scene(scene: Scene, timeline: dict) -> str:
    """Writes the page of a scene.

    Args:
        scene: The recording and its parts.
        timeline: What timeline.json says of it.

    Returns:
        HTML.
    """
    tracks = [Track("mixture", "The recording as it came.", scene.mixture.samples)]
    for i, (sound, entry) in enumerate(zip(scene.sounds, timeline["sounds"])):
        events = [event for event in scene.events if event.label == sound.label]
        tracks.append(
            Track(
                sound.label,
                _figures(entry, len(events)),
                sound.stem,
                events,
                COLOURS[i % len(COLOURS)],
                entry["stem"],
            )
        )
    rest = timeline["residual"]
    note = f"What is left: {_percent(rest['share_db'])} of the energy."
    tracks.append(Track("residual", note, scene.residual, file=rest["file"]))
    rate, channels = timeline["sample_rate"], timeline["channels"]
    many = "mono" if channels == 1 else f"{channels} channels"
    model = timeline["model"]
    facts = (
        f"{timeline['seconds']:.2f} s, {rate} Hz, {many}; "
        f"{_count(len(scene.events), 'event')} of "
        f"{_count(len(scene.sounds), 'sound')}; "
        f"model {model['name']} ({model['fingerprint']})"
    )
    remarks = [
        QUERIES,
        BORDERS.format(threshold=timeline["threshold"]),
        SUM,
        BELIEF,
        PICTURES,
    ]
    if not scene.events:
        remarks.insert(0, NOTHING)
    title = Path(timeline["file"]).name
    return render(title, facts, tracks, scene.events, rate, remarks)


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
