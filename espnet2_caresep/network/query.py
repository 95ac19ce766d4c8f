"""How a query enters the network.

The paper's query is the pooled embedding alone, added to feature maps by linear
layers (section 2.1). Pooling after many LayerNorms loses the envelope of the query's
spectrum, so a query may carry that spectrum as well: :class:`QuerySpectrum`.
"""

import math

import torch
from torch import Tensor, nn

from .band_split import BandMerge, BandSplit

FLOOR = 1e-6  # power added before logarithms; white noise of the input's level has 1
SHARES = (1e-4, 0.98)  # range of a share of power before its logit is taken
START_TRUST = 0.7  # between an own clip's 1 and what suits another clip, about a half
SHOWN_SCALE = 4.0  # logits and excesses of this size are shown as 1
EXCESS = 0.3  # nepers of power, 1.3 dB: more than the spread of an own clip's spectrum


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

    A small network compares the mean spectra of query and mixture, band by band, and
    gives a prior of the mask that does not change in time: the share of the mixture's
    power that the query's spectrum explains, trusted as far as the two spectra suggest.
    A query that is the target itself deserves all trust, another clip of its class
    less. The prior and the query's spectrum are shown to the encoder as pictures that
    do not change in time, and the prior is added to the mask's logits.

    Args:
        num_bins: Bins of the spectrum, F.
        num_bands: Bands, K.
        sample_rate: Sampling rate in Hz.
        hidden: Hidden units of the comparison.
        dropout: Dropout of the hidden units.
    """

    hint_channels = 2

    def __init__(
        self,
        num_bins: int,
        num_bands: int,
        sample_rate: int,
        hidden: int = 256,
        dropout: float = 0.4,
    ):
        super().__init__()
        self.split = BandSplit(num_bins, num_bands, sample_rate)
        self.compare = nn.Sequential(
            nn.Linear(4 * num_bands + 2, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 2 * num_bands),
        )
        nn.init.zeros_(self.compare[-1].weight)
        nn.init.zeros_(self.compare[-1].bias)
        # The first half of the outputs is trust in the share: start from a static mask.
        nn.init.constant_(self.compare[-1].bias[:num_bands], START_TRUST)

    def forward(
        self, query: Tensor, mixture: Tensor, merge: BandMerge
    ) -> tuple[Tensor, Tensor]:
        """Compares mean spectra.

        Args:
            query: (B, F) log mean power of the query.
            mixture: (B, F) log mean power of the mixture.
            merge: Knows which bins a band covers.

        Returns:
            Prior logits (B, F), and what the encoder is shown, (B, K, 2).
        """
        of_query, of_mixture = (
            _centred(self.split(x)[..., 0]) for x in (query, mixture)
        )
        # What the query has and the mixture lacks: the target's own clip has none.
        excess = (query - mixture - math.log(2)).clamp(min=0)
        bands = [
            of_query,
            of_mixture,
            of_query - of_mixture,
            self.split(excess)[..., 0] / SHOWN_SCALE,
            excess.mean(-1, keepdim=True),
            (excess > EXCESS).float().mean(-1, keepdim=True) * SHOWN_SCALE,
        ]
        trust, offset = self.compare(torch.cat(bands, -1)).float().chunk(2, -1)
        share = _share_logit(query - mixture)
        prior = merge.spread(trust) * share + merge.spread(offset)
        shown = self.split(prior)[..., 0] / SHOWN_SCALE
        return prior, torch.stack([of_query, shown], -1)


def _centred(log_power: Tensor) -> Tensor:
    """Log power between the floor and that of white noise, mapped to -1..1."""
    return 1 - 2 * log_power / math.log(FLOOR)


def _share_logit(log_ratio: Tensor) -> Tensor:
    """Log ratio of two spectra at unit level -> logit of the share of power.

    Before anything is known of the levels, half of the mixture's power is the target's.
    """
    return torch.logit((log_ratio.clamp(max=math.log(2)).exp() / 2).clamp(*SHARES))
