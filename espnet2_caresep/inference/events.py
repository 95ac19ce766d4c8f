"""What sounds when: tags over time for audio of any length, and events with borders.

The tagging head gives one vector of class logits per token frame (32 STFT frames,
0.32 s at 32 kHz) of a segment. Longer audio is cut into segments that overlap by half;
where they overlap, logits are averaged, and frames in the middle of a segment, which
the network sees with context on both sides, weigh more than those at its ends.

Frames become events by two thresholds, the double thresholding of Dinkel and Yu
("Duration robust weakly supervised sound event detection", ICASSP 2020): an event
needs one frame at the upper threshold and reaches as far as frames stay above the lower
one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espnet2_caresep.inference.audio import SILENCE_POWER, Audio, open_audio
from espnet2_caresep.inference.audio_reader import AudioError, AudioReader
from espnet2_caresep.inference.resampling import Resampler, fit_length
from espnet2_caresep.network.swin_unet import TOKEN_FRAMES
from espnet2_caresep.progress import progress

LOW = 0.5  # the lower threshold as a share of the upper one
MANY = 100  # segments, some seconds of work, from which a bar is shown
CERTAIN = 1e-7  # probabilities are kept this far from 0 and 1 when logits are averaged


@dataclass(frozen=True)
class FrameScores:
    """Class probabilities over time.

    Attributes:
        labels: Names of the classes ("class 0", ... where the model names none).
        frames: (frames, classes) float32 probabilities; zero where nothing sounds.
        clip: (classes,) float32 probabilities that a class sounds at all: the clip
            probability (paper section 2.3) of the segment where it is highest. A mean
            over an hour would say no to a dog that barks once.
        frame_seconds: Time from one frame to the next.
        seconds: Length of the audio; the last frame may reach beyond.
    """

    labels: list[str]
    frames: np.ndarray
    clip: np.ndarray
    frame_seconds: float
    seconds: float


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


def score_frames(
    separator, audio, sample_rate: int | None = None, show_progress: bool = False
) -> FrameScores:
    """Tags audio of any length over time.

    Args:
        separator: A :class:`~espnet2_caresep.inference.CaRESeparator`.
        audio: Path, array or tensor; downmixed to mono. An hour takes 0.5 GB.
        sample_rate: Rate of an array in Hz.
        show_progress: Whether to show a bar on stderr where it takes a while.

    Returns:
        Probabilities of the frames and of all.

    Raises:
        ValueError: If it cannot be read, is empty, too short or not finite.
    """
    source = open_audio(audio, sample_rate, "audio")
    seconds = source.frames / source.sample_rate
    samples, network = _mono(source, separator.sample_rate), separator.network
    # Segments begin on the grid of frames and hold whole ones.
    hop = min(TOKEN_FRAMES * network.hop_length, network.segment_samples)
    whole = network.segment_samples // hop * hop
    step = max(1, whole // hop // 2) * hop
    starts = [0]
    if len(samples) > network.segment_samples:
        last = -(-(len(samples) - whole) // hop) * hop
        starts = [*range(0, last, step), last]
        # What is left at the end may be less than a window.
        samples = fit_length(samples, max(len(samples), last + network.n_fft))
    count = -(-len(samples) // hop)
    heard = _heard(samples, hop, count)
    logits, weights = np.zeros((count, network.num_classes)), np.zeros((count, 1))
    clip = np.zeros(network.num_classes, np.float32)
    shown = show_progress and len(starts) > MANY
    for start in progress(starts, "tag") if shown else starts:
        end = start + whole if len(starts) > 1 else None
        part = samples[None, start:end]
        tags = separator.tag(Audio(part, separator.sample_rate, source.name))
        if not np.isfinite(tags.frames).all():
            raise AudioError(
                f"{source.name}: its tags are not finite; are its samples far beyond "
                "+-1, or the weights damaged?"
            )
        size = len(tags.frames)
        rise = np.minimum(np.arange(size), np.arange(size)[::-1])[:, None] + 1
        logits[start // hop :][:size] += rise * _logit(tags.frames)
        weights[start // hop :][:size] += rise
        if heard[start // hop :][:size].any():
            clip = np.maximum(clip, tags.probabilities)
    logits /= weights
    frames = np.where(heard[:, None], _sigmoid(logits), 0)
    labels = separator.labels or [f"class {i}" for i in range(frames.shape[1])]
    return FrameScores(
        list(labels),
        frames.astype(np.float32),
        clip,
        hop / separator.sample_rate,
        seconds,
    )


def find_events(
    scores: FrameScores,
    threshold: float = 0.5,
    min_duration: float = 0.25,
    max_gap: float = 0.35,
) -> list[Event]:
    """Events of all classes, in order of time.

    Args:
        scores: From :func:`score_frames`.
        threshold: Probability that one frame of an event must reach; its other frames
            must reach half of it.
        min_duration: Shorter events are dropped, in seconds.
        max_gap: Events of one class that are at most this far apart become one event,
            in seconds.

    Returns:
        The events by start, then by score.

    Raises:
        ValueError: If the threshold is not in (0, 1] or a duration is negative.
    """
    if not 0 < threshold <= 1:
        raise ValueError(
            f"threshold must lie above 0 and be at most 1, not {threshold}"
        )
    if min_duration < 0 or max_gap < 0:
        raise ValueError(
            f"durations must be at least 0, not {min_duration} and {max_gap}"
        )
    hop = scores.frame_seconds
    events = []
    for index, label in enumerate(scores.labels):
        column = scores.frames[:, index].astype(np.float64)
        spans: list[list[int]] = []
        for first, last in _runs(column >= LOW * threshold):
            if column[first:last].max() < threshold:
                continue
            if spans and (first - spans[-1][1]) * hop <= max_gap + 1e-9:
                spans[-1][1] = last
            else:
                spans.append([first, last])
        for first, last in spans:
            start, end = first * hop, min(last * hop, scores.seconds)
            if end - start >= min_duration - 1e-9:
                score = float(column[first:last].max())
                events.append(Event(label, start, end, score))
    return sorted(events, key=lambda event: (event.start, -event.score))


def find_sounds(
    scores: FrameScores,
    threshold: float = 0.5,
    top: int | None = None,
    min_duration: float = 0.25,
    max_gap: float = 0.35,
) -> tuple[dict[str, float], list[Event]]:
    """The labels of a recording and their events.

    Args:
        scores: From :func:`score_frames`.
        threshold: Probability from which a sound is there.
        top: At most so many labels, the most probable ones, and only their events.
        min_duration: As :func:`find_events`.
        max_gap: Likewise.

    Returns:
        Label to its probability, highest first, for the labels at the threshold and
        those that have an event; and the events.

    Raises:
        ValueError: As :func:`find_events`, or if ``top`` is below 1.
    """
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    events = find_events(scores, threshold, min_duration, max_gap)
    with_event = {event.label for event in events}
    ranked = sorted(zip(scores.clip.tolist(), scores.labels), reverse=True)
    there = [(p, label) for p, label in ranked if p >= threshold or label in with_event]
    labels = {label: p for p, label in there[:top]}
    return labels, [event for event in events if event.label in labels]


def _runs(on: np.ndarray) -> list[tuple[int, int]]:
    """First and one past the last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def _mono(source: Audio | AudioReader, sample_rate: int) -> np.ndarray:
    """(samples,) float32 at another rate, read block by block."""
    converter = Resampler(source.sample_rate, sample_rate, 1)
    blocks = [converter.push(b.mean(0, keepdims=True)) for b in source.blocks()]
    length = round(source.frames * sample_rate / source.sample_rate)
    return fit_length(np.concatenate([*blocks, converter.finish()], 1), length)[0]


def _heard(samples: np.ndarray, hop: int, count: int) -> np.ndarray:
    """Which frames hold sound: the network brings any level to the same one."""
    frames = (samples[i * hop :][:hop].astype(np.float64) for i in range(count))
    return np.array([np.dot(x, x) >= SILENCE_POWER * len(x) for x in frames])


def _logit(probability: np.ndarray) -> np.ndarray:
    inside = np.clip(probability.astype(np.float64), CERTAIN, 1 - CERTAIN)
    return np.log(inside) - np.log1p(-inside)


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))
