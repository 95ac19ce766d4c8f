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


def vary(pictures: Tensor) -> Tensor:
    """Another speed, pitch, frequency response and level for each picture (B, T, K)."""
    pictures = change_speed(pictures, SPEED ** (2 * _uniform(pictures) - 1))
    shift = torch.randint(-SHIFT, SHIFT + 1, (len(pictures),), device=pictures.device)
    pictures = shift_bands(pictures, shift)
    points = RESPONSE * torch.randn_like(pictures[:, :CURVE, 0])
    size = pictures.shape[2]
    response = F.interpolate(points[:, None], size, mode="linear", align_corners=True)
    level = LEVEL * torch.randn_like(pictures[:, :1, :1])
    return (pictures + response + level).clamp(min=SILENCE)


def change_speed(pictures: Tensor, speed: Tensor) -> Tensor:
    """Pictures (B, T, K) at ``speed`` (B,).

    A slower one is cut off at the end; at the end of a faster one, time goes back, so that
    sound goes on where there was sound and silence where there was silence.
    """
    frames, bands = pictures.shape[1:]
    place = torch.arange(frames, device=pictures.device) * speed[:, None]
    place = torch.minimum(place, 2 * (frames - 1) - place)
    before = place.long().clamp(max=frames - 2)
    at = before[..., None].expand(-1, -1, bands)
    one, two = pictures.gather(1, at), pictures.gather(1, at + 1)
    return torch.lerp(one, two, (place - before)[..., None])


def shift_bands(pictures: Tensor, shift: Tensor) -> Tensor:
    """Pictures (B, T, K) moved up by ``shift`` (B,) bands, whose edges repeat below.

    What is above the highest band before a shift down is not known: silence.
    """
    frames, bands = pictures.shape[1:]
    place = torch.arange(bands, device=pictures.device) - shift[:, None]
    at = place.clamp(0, bands - 1)[:, None].expand(-1, frames, -1)
    return pictures.gather(2, at).masked_fill((place >= bands)[:, None], SILENCE)


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
