"""A recording taken apart: every event separated, with its own span as the query.

Time is cut at the borders of all events, so that in each piece the same events sound.
Where an event sounds alone, the piece is at once mixture and query: the model takes
what the query holds, so nearly all of it becomes the event, and pieces are no longer
than a segment because a query that fits the moment does so best. Where several events
sound, they share the mixture: their masks are scaled where they sum to more than one.
There each event's query is the longest part of its span in which it sounds alone, if
there is one of half a second, else the whole span, which then also holds the others.

Neighbouring pieces are cross-faded, which also fades each event in and out. Events of
one label are one stem, and stems and residual are the mixture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from espnet2_caresep.inference.audio import Audio, to_audio
from espnet2_caresep.inference.events import (
    Event,
    FrameScores,
    find_sounds,
    score_frames,
)
from espnet2_caresep.inference.partition import split_exactly
from espnet2_caresep.inference.presence import QUIET
from espnet2_caresep.inference.scene_pieces import Piece, cut_at_borders, split_alone
from espnet2_caresep.progress import progress

FADE = 0.16  # seconds of a cross-fade, half a frame of the tagging head at 32 kHz
MARGIN = FADE  # seconds around a piece in which one event sounds
ALONE = 0.5  # seconds from which a part of a span serves as the query
SHORTEST = 0.1  # seconds of a query
BLOCK = 2**20  # samples that are rounded at once, in float64


@dataclass(frozen=True)
class Sound:
    """All events of one label, and how much of the recording they took.

    Attributes:
        label: Name of the class.
        score: Probability that it sounds in the recording at all.
        stem_score: The same of the stem: what the model hears in what it separated.
        share_db: Energy of the stem over the recording's, in dB; -inf if silent.
        seconds: Total length of its events.
        stem: (channels, samples) float32.
    """

    label: str
    score: float
    stem_score: float
    share_db: float
    seconds: float
    stem: np.ndarray


@dataclass(frozen=True)
class Scene:
    """A recording and its parts.

    Attributes:
        mixture: The recording.
        sounds: By the beginning of their first event.
        events: In order of time.
        residual: (channels, samples) float32, the mixture less all stems.
        residual_share_db: Its energy over the mixture's, in dB.
    """

    mixture: Audio
    sounds: list[Sound]
    events: list[Event]
    residual: np.ndarray
    residual_share_db: float


def separate_scene(
    separator,
    audio,
    sample_rate: int | None = None,
    threshold: float = 0.5,
    top: int | None = None,
    min_duration: float = 0.25,
    max_gap: float = 0.35,
    show_progress: bool = False,
) -> Scene:
    """Finds the events of a recording and separates every one.

    Memory grows with the length and the number of labels.

    Args:
        separator: A :class:`~espnet2_caresep.inference.CaRESeparator`.
        audio: Path, array or tensor.
        sample_rate: Rate of an array in Hz.
        threshold: As :func:`~espnet2_caresep.inference.events.find_sounds`.
        top: Likewise.
        min_duration: Likewise.
        max_gap: Likewise.
        show_progress: Whether to show a bar on stderr.

    Returns:
        One stem per label, and the rest: they add up to the recording as
        :func:`~espnet2_caresep.inference.partition.split_exactly` says. Without an
        event there is no stem, and the rest is all.

    Raises:
        ValueError: If the audio or a value cannot be used.
    """
    mixture = to_audio(audio, sample_rate, "mixture")
    scores = score_frames(separator, mixture, show_progress=show_progress)
    _, events = find_sounds(scores, threshold, top, min_duration, max_gap)
    events = _without_faint(mixture, events)
    labels = list(dict.fromkeys(event.label for event in events))
    stems = _separate_events(separator, mixture, events, labels, show_progress)
    residual = np.empty_like(mixture.samples)
    for start in range(0, residual.shape[-1], BLOCK):
        part = (..., slice(start, start + BLOCK))
        stems[part], residual[part] = split_exactly(mixture.samples[part], stems[part])
    sounds = [
        _sound(separator, mixture, scores, label, stem, events)
        for label, stem in zip(labels, stems)
    ]
    share = _share_db(residual, mixture.samples)
    return Scene(mixture, sounds, events, residual, share)


def _without_faint(mixture: Audio, events: list[Event]) -> list[Event]:
    """Leaves out what was found 40 dB below the loudest event, such as in the noise."""
    rate = mixture.sample_rate
    powers = []
    for event in events:
        span = slice(int(event.start * rate), int(np.ceil(event.end * rate)))
        powers.append(np.square(mixture.samples[:, span], dtype=np.float64).mean())
    loudest = max(powers, default=0.0)
    return [event for event, p in zip(events, powers) if p >= QUIET * loudest]


def _separate_events(
    separator,
    mixture: Audio,
    events: Sequence[Event],
    labels: list[str],
    show_progress: bool,
) -> np.ndarray:
    """Stems (labels, channels, samples) float32, not yet rounded."""
    stems = np.zeros((len(labels), *mixture.samples.shape), np.float32)
    rate, seconds = mixture.sample_rate, mixture.frames / mixture.sample_rate
    network = separator.network
    segment = network.segment_samples / network.sample_rate
    pieces = cut_at_borders(events, seconds)
    queries = {
        i: separator.query(_alone(mixture, pieces, i, events[i]), rate)
        for i in sorted({i for p in pieces if len(p.events) > 1 for i in p.events})
    }
    sounding = [part for piece in pieces for part in split_alone(piece, segment)]
    for piece in progress(sounding, "separate") if show_progress else sounding:
        alone = len(piece.events) == 1
        margin = MARGIN if alone else segment / 2
        first, last, window = _surroundings(mixture, piece, margin)
        part = mixture.samples[:, first:last]
        wanted = {str(i): part if alone else queries[i] for i in piece.events}
        found = separator.separate_all(part, wanted, rate, rate, partition=True)
        for i in piece.events:
            stem = stems[labels.index(events[i].label)]
            stem[:, first:last] += window * found.stems[str(i)]
    return stems


def _alone(mixture: Audio, pieces: list[Piece], index: int, event: Event) -> np.ndarray:
    """The part of an event that says best how it sounds."""
    alone = [piece for piece in pieces if piece.events == (index,)]
    span = max(alone, key=lambda piece: piece.end - piece.start, default=event)
    if span.end - span.start < ALONE:
        span = event
    start = min(span.start, max(0.0, span.end - SHORTEST))
    rate = mixture.sample_rate
    return mixture.samples[:, int(start * rate) : int(np.ceil(span.end * rate))]


def _surroundings(
    mixture: Audio, piece: Piece, margin: float
) -> tuple[int, int, np.ndarray]:
    """First and last sample of a piece with a margin, and its window over them."""
    rate, total = mixture.sample_rate, mixture.frames
    first = max(0, int((piece.start - margin) * rate))
    last = min(total, int(np.ceil((piece.end + margin) * rate)))
    time = np.arange(first, last) / rate
    # Windows of neighbours add up to one: what one loses at a border the other gains.
    begins = _rise(time - piece.start) if piece.start > 0 else np.ones_like(time)
    ends = _rise(time - piece.end) if piece.end * rate < total else 0
    return first, last, (begins - ends).astype(np.float32)


def _rise(time: np.ndarray) -> np.ndarray:
    """0 to 1 as sin^2 within half a fade before and after 0 s."""
    phase = np.clip(time / FADE + 0.5, 0, 1)
    return np.sin(phase * np.pi / 2) ** 2


def _sound(
    separator,
    mixture: Audio,
    scores: FrameScores,
    label: str,
    stem: np.ndarray,
    events: list[Event],
) -> Sound:
    index = scores.labels.index(label)
    heard = score_frames(separator, Audio(stem, mixture.sample_rate, label))
    return Sound(
        label,
        float(scores.clip[index]),
        float(heard.clip[index]),
        _share_db(stem, mixture.samples),
        sum(e.end - e.start for e in events if e.label == label),
        stem,
    )


def _share_db(part: np.ndarray, whole: np.ndarray) -> float:
    energy = [np.square(x, dtype=np.float64).sum() for x in (part, whole)]
    if not energy[0] or not energy[1]:
        return -np.inf
    return float(10 * np.log10(energy[0] / energy[1]))
