"""Events: what sounds, from when to when, out of tags over time.

Frames become events by two thresholds, the double thresholding of Dinkel and Yu
("Duration robust weakly supervised sound event detection", ICASSP 2020): an event
needs one frame at the upper threshold and reaches as far as frames stay above the lower
one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espnet2_caresep.inference.tags.frame_scores import FrameScores

LOW = 0.5  # the lower threshold as a share of the upper one


@dataclass(frozen=True)
class Event:
    """A sound with a beginning and an end.

    Attributes:
        label: Name of its class.
        start: Seconds from the beginning of the audio.
        end: Seconds, beyond ``start`` and within the audio.
        score: Largest probability of its frames.
    """

    label: str
    start: float
    end: float
    score: float


@dataclass(frozen=True)
class EventRule:
    """What counts as a sound, and as an event of it.

    Attributes:
        threshold: Probability from which a sound is there; one frame of an event must
            reach it, its other frames half of it.
        top: At most so many labels, the most probable ones, and only their events; all
            by default.
        min_duration: Shorter events are dropped, in seconds.
        max_gap: Events of one class that are at most this far apart become one event,
            in seconds.

    Raises:
        ValueError: If the threshold is not in (0, 1], ``top`` is below 1 or a duration
            is negative.
    """

    threshold: float = 0.5
    top: int | None = None
    min_duration: float = 0.25
    max_gap: float = 0.35

    def __post_init__(self):
        if not 0 < self.threshold <= 1:
            raise ValueError(
                f"threshold must lie above 0 and be at most 1, not {self.threshold}"
            )
        if self.top is not None and self.top < 1:
            raise ValueError(f"top must be at least 1, not {self.top}")
        if not (self.min_duration >= 0 and self.max_gap >= 0):
            raise ValueError(
                f"durations must be at least 0, not {self.min_duration} and "
                f"{self.max_gap}"
            )


def find_events(scores: FrameScores, rule: EventRule) -> list[Event]:
    """Events of all classes by start, then by score.

    Args:
        scores: From :func:`~espnet2_caresep.inference.tags.frame_scores.score_frames`.
        rule: What is an event; ``top`` does not matter here.
    """
    hop = scores.frame_seconds
    events = []
    for index, label in enumerate(scores.labels):
        column = scores.frames[:, index].astype(np.float64)
        spans: list[list[int]] = []
        for first, last in _runs(column >= LOW * rule.threshold):
            if column[first:last].max() < rule.threshold:
                continue
            if spans and (first - spans[-1][1]) * hop <= rule.max_gap + 1e-9:
                spans[-1][1] = last
            else:
                spans.append([first, last])
        for first, last in spans:
            start, end = first * hop, min(last * hop, scores.seconds)
            if end - start >= rule.min_duration - 1e-9:
                score = float(column[first:last].max())
                events.append(Event(label, start, end, score))
    return sorted(events, key=lambda event: (event.start, -event.score))


def find_sounds(
    scores: FrameScores, rule: EventRule
) -> tuple[dict[str, float], list[Event]]:
    """The labels of a recording and their events.

    Returns:
        Label to its probability, highest first, for the labels at the threshold and
        those that have an event; and the events.
    """
    events = find_events(scores, rule)
    with_event = {event.label for event in events}
    ranked = sorted(zip(scores.clip.tolist(), scores.labels), reverse=True)
    there = [
        (p, label) for p, label in ranked if p >= rule.threshold or label in with_event
    ]
    labels = {label: p for p, label in there[: rule.top]}
    return labels, [event for event in events if event.label in labels]


def _runs(on: np.ndarray) -> list[tuple[int, int]]:
    """First and one past the last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))
