"""Tags by convolutions on a clip's log-mel spectrogram (ours, after PANNs [22]).

A Swin encoder that has heard few clips knows them by heart; convolutions, which take what
moves along time or frequency for the same, say more of others (docs/training.md). The
tagger sees the power that the encoder sees, and learns last (``mode: tagger``).
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .band_split import band_members
from .cnn14 import conv_block

FLOOR = 1e-6  # of a band's power; the mean of all bands has 1
SILENCE = math.log(FLOOR)  # in a picture
BLOCKS = 4  # each halves time and frequency and doubles the channels
DROPOUT = 0.4


class ConvTagger(nn.Module):
    """Power of a segment -> clip logits.

    log-mel -> BatchNorm -> 4 x (2 convolutions, average) -> mean over frequency ->
    max + mean over time -> hidden layer -> logits

    Args:
        num_bins: Bins of the spectrum, F.
        num_bands: Mel-scale bands, K.
        sample_rate: Sampling rate in Hz.
        channels: Channels of the first block.
        num_classes: Classes, C.
    """

    def __init__(
        self,
        num_bins: int,
        num_bands: int,
        sample_rate: int,
        channels: int,
        num_classes: int,
    ):
        super().__init__()
        members = band_members(num_bins, num_bands, sample_rate)
        bands = members * (num_bands / (2 * num_bins))
        self.register_buffer("bands", bands, persistent=False)
        self.norm = nn.BatchNorm1d(num_bands, affine=False)
        self.augment: nn.Module | None = None  # of a training, as in AnchorEncoder
        widths = [1, *(channels * 2**i for i in range(BLOCKS))]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(conv_block(before, width), nn.AvgPool2d(2))
                for before, width in pairwise(widths)
            )
        )
        self.hidden = nn.Linear(widths[-1], widths[-1])
        self.classes = nn.Linear(widths[-1], num_classes)
        self.to(memory_format=torch.channels_last)  # half as fast again on CPUs

    @property
    def trained(self) -> Tensor:
        """() bool, whether it has learned anything."""
        return self.norm.num_batches_tracked > 0

    def picture(self, power: Tensor, valid: Tensor) -> Tensor:
        """Log power of the bands.

        Args:
            power: (B, T, F) at unit mean.
            valid: (B, T) bool, frames that hold audio.

        Returns:
            (B, T, K) float32; ``SILENCE`` where there is no audio.
        """
        with torch.autocast(power.device.type, enabled=False):
            bands = power.float() @ self.bands * valid[..., None]
            return torch.log(bands + FLOOR)

    def forward(self, picture: Tensor) -> Tensor:
        """Pictures (B, T, K) -> logits (B, C) in float32."""
        x = self.norm(picture.transpose(1, 2)).transpose(1, 2)
        if self.augment is not None:
            x = self.augment(x, x.new_ones(x.shape[:2], dtype=torch.bool))
        x = self.blocks(x[:, None].contiguous(memory_format=torch.channels_last))
        x = x.mean(3)
        x = F.dropout(x.mean(2) + x.amax(2), DROPOUT, self.training)
        x = F.dropout(F.relu(self.hidden(x)), DROPOUT, self.training)
        return self.classes(x).float()
