"""How a query enters the network.

The paper's query is the pooled embedding alone, added to feature maps by linear
layers (section 2.1). Pooling after many LayerNorms loses the envelope of the query's
spectrum, so a query may carry that spectrum as well: :class:`QuerySpectrum`.
"""

import torch
from torch import Tensor, nn

from .band_split import BandMerge, BandSplit

FLOOR = 1e-6  # power added before logarithms; white noise of the input's level has 1
LIMIT = 8.0  # nepers of power, 35 dB: beyond that a comparison tells nothing more


class QueryProjection(nn.Module):
    """Linear layer whose output is added to every token of a feature map.

    It starts at zero: an encoder initialised from tagging is undisturbed at first and
    learns how much of the query each group needs.

    Args:
        query_dim: Length of the query embedding, Q.
        dim: Channels of the feature map.
    """

    def __init__(self, query_dim: int, dim: int):
        super().__init__()
        self.linear = nn.Linear(query_dim, dim)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, tokens: Tensor, query: Tensor) -> Tensor:
        """Tokens (B, L, C), query (B, Q) -> (B, L, C)."""
        return tokens + self.linear(query)[:, None]


def mean_log_power(power: Tensor, frames: Tensor) -> Tensor:
    """Log of the mean spectrum of power (B, T, F), zero from ``frames`` on -> (B, F)."""
    return torch.log(power.sum(1) / frames[:, None] + FLOOR)


class QuerySpectrum(nn.Module):
    """The query's mean spectrum beside its embedding (ours, not the paper's).

    It enters twice. As a hint: its bands, like a picture that does not change in
    time, are one more input of the encoder and the mask. As a prior: the differences
    in dB between the query's spectrum and the mixture's, its mean and each frame, are
    added to the mask's logits with weights that the network sets for each band and
    frame. A query that is the target itself deserves large weights, another clip of
    its class small ones.

    Args:
        num_bins: Bins of the spectrum, F.
        num_bands: Bands, K.
        sample_rate: Sampling rate in Hz.
        channels: Features per band of the hint.
        mask_dim: Channels per band and frame that the mask is read from.
    """

    def __init__(
        self,
        num_bins: int,
        num_bands: int,
        sample_rate: int,
        channels: int,
        mask_dim: int,
    ):
        super().__init__()
        self.split = BandSplit(num_bins, num_bands, sample_rate, channels)
        self.norm = nn.BatchNorm1d(num_bands * channels)
        self.to_mask = nn.Linear(channels, mask_dim, bias=False)
        nn.init.zeros_(self.to_mask.weight)
        self.weights = nn.Linear(mask_dim, 2)
        nn.init.zeros_(self.weights.weight)
        # Start from the static mask, whose logit is the difference of mean spectra.
        with torch.no_grad():
            self.weights.bias.copy_(torch.tensor([1.0, 0.0]))

    def hint(self, spectrum: Tensor) -> Tensor:
        """Query log spectrum (B, F) -> bands (B, K, C)."""
        bands = self.split(spectrum)
        return self.norm(bands.flatten(1)).view_as(bands)

    def prior(
        self,
        bands: Tensor,
        merge: BandMerge,
        spectrum: Tensor,
        power: Tensor,
        mean: Tensor,
    ) -> Tensor:
        """What comparing spectra adds to the mask's logits.

        Args:
            bands: (B, T, K, mask_dim) the decoder's output.
            merge: Knows which bins a band covers.
            spectrum: (B, F) log mean power of the query.
            power: (B, T, F) power of the mixture.
            mean: (B, F) log mean power of the mixture.

        Returns:
            Logits (B, T, F).
        """
        of_mean, of_frame = self.weights(bands).float().unbind(-1)
        against_mean = (spectrum - mean).clamp(-LIMIT, LIMIT)[:, None]
        against_frame = spectrum[:, None] - torch.log(power + FLOOR)
        return merge.spread(of_mean) * against_mean + merge.spread(
            of_frame
        ) * against_frame.clamp(-LIMIT, LIMIT)
