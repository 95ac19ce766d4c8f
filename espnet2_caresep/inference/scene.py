"""A recording taken apart: every event separated, with its own span as the query.

Time is cut at the borders of all events, so that in each piece the same events sound.
In a piece the events that sound share the mixture: their masks are scaled where they
sum to more than one. Neighbouring pieces are cross-faded, which also fades each event
in and out. Events of one label are one stem, and stems and residual are the mixture.

An event's own span is the best query that there is without another recording, but it
also holds what sounds at the same time. So the longest part of the span in which the
event sounds alone is taken, if there is one of half a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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
from espnet2_caresep.progress import progress

FADE = 0.16  # seconds of a cross-fade, half a frame of the tagging head at 32 kHz
ALONE = 0.5  # seconds from which a part of a span serves as the query
SHORTEST = 0.1  # seconds of a query
BLOCK = 2**20  # samples that are rounded at once, in float64


@dataclass(frozen=True)
class Piece:
    """A stretch of time in which the same events sound.

    Attributes:
        start: Seconds.
        end: Seconds.
        events: Indices of the events; none in a pause.
    """

    start: float
    end: float
    events: tuple[int, ...]


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
    pieces = cut_at_borders(events, mixture.samples.shape[-1] / mixture.sample_rate)
    queries = [_query(separator, mixture, pieces, i, e) for i, e in enumerate(events)]
    sounding = [piece for piece in pieces if piece.events]
    for piece in progress(sounding, "separate") if show_progress else sounding:
        first, last, window = _surroundings(separator, mixture, piece)
        found = separator.separate_all(
            mixture.samples[:, first:last],
            {str(i): queries[i] for i in piece.events},
            mixture.sample_rate,
            partition=True,
        )
        for i in piece.events:
            stem = stems[labels.index(events[i].label)]
            stem[:, first:last] += window * found.stems[str(i)]
    return stems


def cut_at_borders(events: Sequence[Event], seconds: float) -> list[Piece]:
    """Cuts 0 to ``seconds`` where an event begins or ends.

    Returns:
        The pieces in order of time; together they are the whole.
    """
    borders = {border for event in events for border in (event.start, event.end)}
    borders = sorted({0.0, seconds} | {b for b in borders if 0 < b < seconds})
    return [
        Piece(
            start,
            end,
            tuple(
                i
                for i, event in enumerate(events)
                if event.start < end and event.end > start
            ),
        )
        for start, end in pairwise(borders)
    ]


def _query(separator, mixture: Audio, pieces: list[Piece], index: int, event: Event):
    alone = [piece for piece in pieces if piece.events == (index,)]
    span = max(alone, key=lambda piece: piece.end - piece.start, default=event)
    if span.end - span.start < ALONE:
        span = event
    start = min(span.start, max(0.0, span.end - SHORTEST))
    rate = mixture.sample_rate
    example = mixture.samples[:, int(start * rate) : int(np.ceil(span.end * rate))]
    return separator.query(example, rate)


def _surroundings(
    separator, mixture: Audio, piece: Piece
) -> tuple[int, int, np.ndarray]:
    """First and last sample of a piece with context, and its window over them."""
    rate, total = mixture.sample_rate, mixture.samples.shape[-1]
    network = separator.network
    context = network.segment_samples / network.sample_rate / 2
    first = max(0, int((piece.start - context) * rate))
    last = min(total, int(np.ceil((piece.end + context) * rate)))
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
