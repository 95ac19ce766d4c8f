"""A second look at the mask: what the bands do from frame to frame.

From little data a Swin-UNet learns slowly what grows and decays together in a mixture.
A temporal convolutional network over band spectra, as in Conv-TasNet, learns some of it
in minutes. It sees the mixture's frames, the mask found so far and the query, and
corrects the mask's logits.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .band_split import BandSplit, BandSpread
from .level import FLOOR, Levelled
from .query import SHOWN_SCALE, centred

KERNEL = 5
DILATIONS = (1, 2, 4, 8, 1, 4)  # frames; one block each
SHOWN_LIMIT = 4.0  # shown logits stay within +-16
OFFSET_SCALE = 4.0  # the last layer's outputs of 1 move a logit by so much
DROPOUT, QUERY_DROPOUT = 0.1, 0.3


class MaskRefinement(nn.Module):
    """Corrects the logits of a mask frame by frame, band by band (ours).

    Each band of each frame gets a factor and an offset for its logits. Both start at
    nothing, so a network trained without refinement is undisturbed at first.

    Args:
        num_bins: Bins of the spectrum, F.
        num_bands: Bands, K.
        sample_rate: Sampling rate in Hz.
        embedding_dim: Length of the query's embedding, E.
        channels: Channels of the convolutions, C.
    """

    def __init__(
        self,
        num_bins: int,
        num_bands: int,
        sample_rate: int,
        embedding_dim: int,
        channels: int,
    ):
        super().__init__()
        self.split = BandSplit(num_bins, num_bands, sample_rate)
        self.spread = BandSpread(num_bins, num_bands, sample_rate)
        # Embeddings of different clips are much alike: show what differs.
        self.norm_query = nn.BatchNorm1d(embedding_dim, affine=False)
        self.context = nn.Sequential(
            nn.Dropout(QUERY_DROPOUT),
            nn.Linear(embedding_dim + 3 * num_bands, channels),
            nn.GELU(),
            nn.Dropout(QUERY_DROPOUT),
            nn.Linear(channels, channels),
            nn.GELU(),
        )
        self.embed = nn.Linear(3 * num_bands, channels)
        self.add_context = nn.Linear(channels, channels)
        self.blocks = nn.ModuleList(
            _Block(channels, dilation) for dilation in DILATIONS
        )
        # What the whole segment holds, known from the middle and before the end
        self.summaries = nn.ModuleDict(
            {
                str(i): nn.Linear(2 * channels, channels)
                for i in (len(DILATIONS) // 2 - 1, len(DILATIONS) - 1)
            }
        )
        self.norm = nn.LayerNorm(channels)
        self.correct = nn.Linear(channels, 2 * num_bands)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)

    def forward(
        self,
        logits: Tensor,
        mixture: Levelled,
        embedding: Tensor,
        spectrum: Tensor,
    ) -> Tensor:
        """Corrects logits.

        Args:
            logits: (B, T, F) of the mask so far.
            mixture: Segments of T frames.
            embedding: (B, E) of the query.
            spectrum: (B, F) log mean power of the query.

        Returns:
            (B, T, F) logits.
        """
        power, valid, log_mean = mixture
        frames, of_mixture, of_query = (
            self._bands(x) for x in (torch.log(power + FLOOR), log_mean, spectrum)
        )
        shown = self.split(logits)[..., 0] / SHOWN_SCALE
        context = self.context(
            torch.cat(
                [
                    self.norm_query(embedding.float()),
                    of_query,
                    of_mixture,
                    of_query - of_mixture,
                ],
                -1,
            )
        )
        x = self.embed(
            torch.cat(
                [
                    frames,
                    frames - of_query[:, None],
                    shown.clamp(-SHOWN_LIMIT, SHOWN_LIMIT),
                ],
                -1,
            )
        )
        x = x + self.add_context(context)[:, None]
        for i, block in enumerate(self.blocks):
            x = block(x, context, valid)
            if str(i) in self.summaries:
                x = x + F.gelu(self.summaries[str(i)](_summary(x, valid)))[:, None]
        factor, offset = self.correct(self.norm(x)).float().chunk(2, -1)
        return logits * (1 + self.spread(factor)) + OFFSET_SCALE * self.spread(offset)

    def _bands(self, log_power: Tensor) -> Tensor:
        return centred(self.split(log_power)[..., 0])


class _Block(nn.Module):
    """Depthwise convolution over time and a two-layer perceptron, both of what the
    query's context has scaled and shifted.

    Args:
        channels: Channels, C.
        dilation: Frames between the taps of the convolution.
    """

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.modulate = nn.Linear(channels, 2 * channels)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        self.conv = nn.Conv1d(
            channels,
            channels,
            KERNEL,
            padding=KERNEL // 2 * dilation,
            dilation=dilation,
            groups=channels,
        )
        self.mlp = nn.Sequential(
            nn.Linear(channels, 2 * channels),
            nn.GELU(),
            nn.Linear(2 * channels, channels),
            nn.Dropout(DROPOUT),
        )

    def forward(self, x: Tensor, context: Tensor, valid: Tensor) -> Tensor:
        """Frames (B, T, C), context (B, C), valid (B, T) -> frames (B, T, C)."""
        scale, shift = self.modulate(context)[:, None].chunk(2, -1)
        y = (self.norm(x) * (1 + scale) + shift) * valid[..., None]
        y = self.conv(y.transpose(1, 2)).transpose(1, 2)
        return x + self.mlp(y)


def _summary(x: Tensor, valid: Tensor) -> Tensor:
    """Mean and maximum over valid frames of (B, T, C) -> (B, 2C)."""
    held = valid[..., None]
    mean = (x * held).sum(1) / held.sum(1)
    return torch.cat([mean, x.masked_fill(~held, -math.inf).amax(1)], -1)
