"""SpecAugment: stripes of a clip's picture are hidden from a tagger in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MASKS = 2  # along time and along frequency, as in [15] and [22]
MAX_SHARE = 1 / 8  # of a clip's frames or of the bands; short clips stay recognisable


class SpecAugment(nn.Module):
    """Masks in time and frequency (Park et al., "SpecAugment", 2019), no warping.

    Each clip has its own masks, two along time within the frames that hold audio and
    two along frequency. The width of a mask is drawn uniformly from 0 to below the
    given one, but never covers more than an eighth of the clip's frames or of the
    bands. What is hidden becomes zero, BatchNorm's mean, as in [15]. In evaluation mode
    nothing is hidden.

    Args:
        time_mask_width: STFT frames; [15] has 64 on clips of 10 s.
        freq_mask_width: Bands; [15] has 8 of 64.
    """

    def __init__(self, time_mask_width: int, freq_mask_width: int):
        super().__init__()
        self.time_mask_width = time_mask_width
        self.freq_mask_width = freq_mask_width

    def forward(self, picture: Tensor, valid: Tensor) -> Tensor:
        """Pictures (B, T, K, ...), valid frames (B, T) bool -> the same with masks."""
        if not self.training:
            return picture
        frames, bands = picture.shape[1:3]
        held = valid.sum(1)
        time = _masks(frames, held, self.time_mask_width)
        freq = _masks(bands, torch.full_like(held, bands), self.freq_mask_width)
        hidden = time[:, :, None] | freq[:, None]
        hidden = hidden.view(*hidden.shape, *[1] * (picture.dim() - 3))
        return picture.masked_fill(hidden, 0)


def _masks(size: int, extent: Tensor, width: int) -> Tensor:
    """Masks within the first ``extent`` (B,) of ``size`` places -> (B, size) bool.

    torchaudio draws alike, but lays the masks of all clips over the same extent.
    """
    extent = extent[:, None].float()
    limit = (extent * MAX_SHARE).clamp(max=width)
    draw = torch.rand(2, len(extent), MASKS, device=extent.device)
    length = (draw[0] * limit).floor()
    start = (draw[1] * (extent - length + 1)).floor()[..., None]
    place = torch.arange(size, device=extent.device)
    return ((place >= start) & (place < start + length[..., None])).any(1)
