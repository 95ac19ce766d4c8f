"""Log-mel pictures of clips, varied so that a tagger does not know them by heart.

Variations on pictures cost next to nothing, so a clip is loaded once and learned from
many times; SpecAugment hides parts of them later, behind BatchNorm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from espnet2_caresep.network.conv_tagger import SILENCE

SPEED = 1.25  # at most, and its inverse at least
SHIFT = 4  # bands up or down
CURVE = 6  # points between which the response over frequency is drawn
RESPONSE = 0.9  # nepers of power, deviation at a point
LEVEL = 0.3  # nepers of power, deviation
NARROWED = 0.5  # share of pictures that lose what is above a band
LOWEST_CUT = 7 / 16  # of the bands that are left, at least
NOISY = 0.5  # share of pictures that have noise
NOISE_RANGE = 9.0  # nepers of power above silence, at most
NOISE_TILT = 2.0  # nepers of power between the middle and either end, deviation


def vary(pictures: Tensor, frames: Tensor, size: int) -> Tensor:
    """Pieces at another speed, pitch, frequency response and level.

    Args:
        pictures: (B, T, K) of clips.
        frames: (B,) that count.
        size: Frames of a piece.

    Returns:
        (B, size, K).
    """
    pictures = cut(pictures, frames, SPEED ** (2 * _uniform(pictures) - 1), size)
    shift = torch.randint(-SHIFT, SHIFT + 1, (len(pictures),), device=pictures.device)
    pictures = shift_bands(pictures, shift)
    points = RESPONSE * torch.randn_like(pictures[:, :CURVE, 0])
    response = F.interpolate(
        points[:, None], pictures.shape[2], mode="linear", align_corners=True
    )
    level = LEVEL * torch.randn_like(pictures[:, :1, :1])
    return narrow((pictures + response + level).clamp(min=SILENCE))


def cut(pictures: Tensor, frames: Tensor, speed: Tensor, size: int) -> Tensor:
    """A random piece of each clip, at ``speed`` (B,).

    Half of the clips that are shorter than a piece begin with it, as they do at
    inference, and half lie anywhere in it; around them is silence.

    Args:
        pictures: (B, T, K), at least two frames.
        frames: (B,) that count.
        speed: (B,).
        size: Frames of a piece.

    Returns:
        (B, size, K).
    """
    room = frames / speed - size
    start = _uniform(pictures) * room
    start = start.masked_fill((room < 0) & (_uniform(pictures) < 0.5), 0)
    time = torch.arange(size, device=pictures.device)
    place = (time + start[:, None]) * speed[:, None]
    outside = (place < 0) | (place > (frames - 1)[:, None])
    before = place.long().clamp(0, pictures.shape[1] - 2)
    at = before[..., None].expand(-1, -1, pictures.shape[2])
    one, two = pictures.gather(1, at), pictures.gather(1, at + 1)
    between = torch.lerp(one, two, (place - before)[..., None])
    return between.masked_fill(outside[..., None], SILENCE)


def shift_bands(pictures: Tensor, shift: Tensor) -> Tensor:
    """Pictures (B, T, K) moved up by ``shift`` (B,) bands, whose edges repeat below.

    What is above the highest band before a shift down is not known: silence.
    """
    frames, bands = pictures.shape[1:]
    place = torch.arange(bands, device=pictures.device) - shift[:, None]
    at = place.clamp(0, bands - 1)[:, None].expand(-1, frames, -1)
    return pictures.gather(2, at).masked_fill((place >= bands)[:, None], SILENCE)


def narrow(pictures: Tensor) -> Tensor:
    """Some of the pictures (B, T, K) as a recording of less bandwidth has them."""
    size = pictures.shape[2]
    left = LOWEST_CUT + (1 - LOWEST_CUT) * _uniform(pictures)
    left = left.masked_fill(_uniform(pictures) >= NARROWED, 1)
    band = torch.arange(size, device=pictures.device)
    return pictures.masked_fill((band >= size * left[:, None])[:, None], SILENCE)


def add_noise(pictures: Tensor) -> Tensor:
    """Some of the pictures (B, T, K) with steady noise, as other recordings have it."""
    level = SILENCE + NOISE_RANGE * _uniform(pictures)
    level = level.masked_fill(_uniform(pictures) >= NOISY, -torch.inf)
    slope = torch.linspace(1, -1, pictures.shape[2], device=pictures.device)
    tilt = NOISE_TILT * torch.randn_like(pictures[:, :1, :1]) * slope
    return torch.logaddexp(pictures, level[:, None, None] + tilt)


def mix(pictures: Tensor, labels: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Each clip mixed with the next one (Zhang et al., "mixup", 2018).

    Args:
        pictures: (B, T, K); powers add up.
        labels: (B, C).
        alpha: Of the distribution Beta(alpha, alpha) of the share; at least half of a
            mixture is the clip itself.

    Returns:
        Pictures and labels of the mixtures.
    """
    share = torch.distributions.Beta(alpha, alpha).sample((len(pictures), 1))
    share = torch.maximum(share, 1 - share).to(pictures)
    rest = (1 - share).clamp(min=math.exp(SILENCE / 2))
    one = pictures + 2 * share.log()[..., None]
    two = pictures.roll(1, 0) + 2 * rest.log()[..., None]
    labels = share * labels + (1 - share) * labels.roll(1, 0)
    return torch.logaddexp(one, two), labels


def _uniform(like: Tensor) -> Tensor:
    return torch.rand(len(like), device=like.device)
