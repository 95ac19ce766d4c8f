"""Power at unit level: how loud a recording is tells nothing of what sounds in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .stft import STFT

FLOOR = 1e-6  # power added before logarithms; white noise of the input's level has 1
QUIETEST = 1e-10  # mean power that is taken for silence
MARGIN = 0.5  # of a segment, that counts on either side of it


class Levelled(NamedTuple):
    """What a network sees of a segment."""

    power: Tensor  # (B, segment_frames, F) at unit mean, zero where not valid
    valid: Tensor  # (B, segment_frames) bool, frames that hold audio
    log_mean: Tensor  # (B, F) log of the mean spectrum


def at_unit_level(
    spectrum: Tensor, frames: Tensor, segment_frames: int, around: Tensor | None = None
) -> Levelled:
    """Normalises spectra and pads them to a segment.

    Args:
        spectrum: (B, T, F) complex, at most a segment.
        frames: (B,) frames that count.
        segment_frames: Length of a segment.
        around: (B, F) mean power of a segment and what surrounds it, which then stands
            for its level and its mean spectrum; its own by default.

    Raises:
        ValueError: If the spectra are longer than a segment.
    """
    missing = segment_frames - spectrum.shape[1]
    if missing < 0:
        raise ValueError(
            f"{spectrum.shape[1]} frames are more than a segment of "
            f"{segment_frames}; cut the audio or use overlap-add"
        )
    valid = torch.arange(segment_frames, device=frames.device) < frames[:, None]
    power = spectrum.real.square() + spectrum.imag.square()
    power = F.pad(power, (0, 0, 0, missing)) * valid[..., None]
    mean = power.sum(1) / frames[:, None] if around is None else around
    level, log_mean = level_and_shape(mean)
    return Levelled(power / level[..., None], valid, log_mean)


def level_and_shape(mean: Tensor) -> tuple[Tensor, Tensor]:
    """Mean spectrum (B, F) -> its level (B, 1), and its logarithm at unit level (B, F)."""
    level = mean.mean(1, keepdim=True).clamp(min=QUIETEST)
    return level, torch.log(mean / level + FLOOR)


def mean_power_around(
    stft: STFT, audio: Tensor, pieces: Sequence[slice]
) -> Tensor | None:
    """Mean power of segments and of what surrounds them.

    A segment that is judged by itself alone looks different from one that begins a
    little later: what comes in at one end changes its mean spectrum. The surroundings
    come in and go out slowly, as a raised cosine (docs/separate.md has what it gives).

    Args:
        stft: The network's.
        audio: (B, n) float.
        pieces: Which samples of it are the segments.

    Returns:
        (pieces * B, F), None where there is nothing around them.
    """
    if all(piece == slice(0, audio.shape[1]) for piece in pieces):
        return None
    spectrum = stft(audio)
    power = spectrum.real.square() + spectrum.imag.square()
    place = torch.arange(power.shape[1], device=audio.device) * stft.hop_length
    means = []
    for piece in pieces:
        outside = torch.maximum(piece.start - place, place - piece.stop).clamp(min=0)
        margin = (piece.stop - piece.start) * MARGIN
        weight = 0.5 + 0.5 * torch.cos(math.pi * (outside / margin).clamp(max=1))
        means.append((weight[:, None] * power).sum(1) / weight.sum())
    return torch.cat(means)
