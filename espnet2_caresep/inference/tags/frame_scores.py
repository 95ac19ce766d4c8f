"""What sounds when: tags over time for audio of any length.

The tagging head gives one vector of class logits per token frame (32 STFT frames,
0.32 s at a hop of 320 and 32 kHz) of a segment. Longer audio is cut into segments that
overlap by half; where they overlap, logits are averaged, and frames in the middle of a
segment, which the network sees with context on both sides, weigh more than those at its
ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from espnet2_caresep.inference.audio.reader import AudioError, AudioReader
from espnet2_caresep.inference.audio.recording import SILENCE_POWER, Audio, open_audio
from espnet2_caresep.inference.audio.resampling import Resampler, fit_length
from espnet2_caresep.network.swin_unet import TOKEN_FRAMES
from espnet2_caresep.progress import progress

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


def score_frames(
    separator, audio, sample_rate: int | None = None, show_progress: bool = False
) -> FrameScores:
    """Tags audio of any length over time.

    Args:
        separator: A :class:`~espnet2_caresep.inference.CaRESeparator`.
        audio: Path, array or tensor; downmixed to mono. Files are read in blocks.
        sample_rate: Rate of an array in Hz.
        show_progress: Whether to show a bar on stderr where it takes a while.

    Returns:
        Probabilities of the frames and of all.

    Raises:
        ValueError: If it cannot be read, is empty, too short or not finite.
    """
    source = open_audio(audio, sample_rate, "audio")
    seconds = source.frames / source.sample_rate
    network, size = separator.network, round(seconds * separator.sample_rate)
    # Segments begin on the grid of frames and hold whole ones.
    hop = min(TOKEN_FRAMES * network.hop_length, network.segment_samples)
    whole = network.segment_samples // hop * hop
    step = max(1, whole // hop // 2) * hop
    starts = [0]
    if size > network.segment_samples:
        last = -(-(size - whole) // hop) * hop
        starts = [*range(0, last, step), last]
        # What is left at the end may be less than a window.
        size = max(size, last + network.n_fft)
    else:
        whole = size
    count = -(-size // hop)
    heard = np.zeros(count, bool)
    logits, weights = np.zeros((count, network.num_classes)), np.zeros((count, 1))
    clip = np.zeros(network.num_classes, np.float32)
    parts = _parts(source, separator.sample_rate, size, starts, whole)
    shown = show_progress and len(starts) > MANY
    for start in progress(starts, "tag") if shown else starts:
        part = next(parts)
        length = -(-len(part) // hop)
        frames = slice(start // hop, start // hop + length)
        heard[frames] = _heard(part, hop, length)
        if not heard[frames].any() and len(starts) > 1:
            continue  # a stem is silent for most of an hour
        tags = separator.tag(Audio(part[None], separator.sample_rate, source.name))
        if not np.isfinite(tags.frames).all():
            raise AudioError(
                f"{source.name}: its tags are not finite; are its samples far beyond "
                "+-1, or the weights damaged?"
            )
        order = np.arange(length)[:, None]
        rise = np.minimum(order, order[::-1]) + 1
        logits[frames] += rise * _logit(tags.frames)
        weights[frames] += rise
        if heard[frames].any():
            clip = np.maximum(clip, tags.probabilities)
    logits /= np.maximum(weights, 1)
    frames = np.where(heard[:, None], _sigmoid(logits), 0)
    labels = separator.labels or [f"class {i}" for i in range(frames.shape[1])]
    return FrameScores(
        list(labels),
        frames.astype(np.float32),
        clip,
        hop / separator.sample_rate,
        seconds,
    )


def _parts(
    source: Audio | AudioReader,
    sample_rate: int,
    size: int,
    starts: Sequence[int],
    length: int,
) -> Iterator[np.ndarray]:
    """Mono parts (length,) at another rate; the last one ends with the audio.

    Args:
        source: The audio, read block by block.
        sample_rate: Hz.
        size: Samples in all at that rate; the audio is cut or padded to it.
        starts: Where the parts begin, ascending.
        length: Samples of a part.
    """
    blocks = _mono(source, sample_rate, size)
    held, offset = np.zeros(0, np.float32), 0
    for start in starts:
        held, offset = held[start - offset :], start
        while len(held) < min(length, size - start):
            held = np.concatenate([held, next(blocks)])
        yield held[:length]


def _mono(
    source: Audio | AudioReader, sample_rate: int, size: int
) -> Iterator[np.ndarray]:
    """Yields (n,) float32 at another rate, ``size`` samples in all."""
    converter = Resampler(source.sample_rate, sample_rate, 1)
    for block in source.blocks():
        mono = converter.push(block.mean(0, keepdims=True))[0, :size]
        size -= len(mono)
        yield mono
    yield fit_length(converter.finish(), size)[0]


def _heard(samples: np.ndarray, hop: int, count: int) -> np.ndarray:
    """Which frames hold sound: the network brings any level to the same one."""
    frames = (samples[i * hop :][:hop].astype(np.float64) for i in range(count))
    return np.array([np.dot(x, x) >= SILENCE_POWER * len(x) for x in frames])


def _logit(probability: np.ndarray) -> np.ndarray:
    inside = np.clip(probability.astype(np.float64), CERTAIN, 1 - CERTAIN)
    return np.log(inside) - np.log1p(-inside)


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))
