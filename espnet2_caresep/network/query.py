"""How a query enters the network.

The paper's query is the pooled embedding alone, added to feature maps by linear
layers (section 2.1). Pooling after many LayerNorms loses the envelope of the query's
spectrum, so a query may carry that spectrum as well: :class:`QuerySpectrum`.
"""

import math

import torch
from torch import Tensor, nn

from .band_split import BandSplit, BandSpread
from .level import FLOOR, Levelled

SHARES = (1e-4, 0.98)  # range of a share of power before its logit is taken
START_TRUST = 0.7  # between an own clip's 1 and what suits another clip, about a half
SHOWN_SCALE = 4.0  # logits and excesses of this size are shown as 1
ACTIVATION_UPDATES = 5
SILENT_WEIGHT = 1e-4  # added to weights before their logarithm
RATIO_LIMIT = 8.0
EXCESS = 0.3  # nepers of power, 1.3 dB: more than the spread of an own clip's spectrum
MAX_VARIANCE = 8.0  # squared nepers; other clips of a class have about 2


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


class QuerySpectrum(nn.Module):
    """The query's mean spectrum beside its embedding (ours, not the paper's).

    A small network compares the mean spectra of query and mixture, band by band, and
    gives a mask that does not change in time: the share of the mixture's power that the
    query's spectrum explains, trusted as far as the two spectra suggest. A query that is
    the target itself deserves all trust, another clip of its class less. This mask
    splits the mixture's mean spectrum in two, and how much of each part a frame holds
    (:func:`activation_ratio`) raises or lowers the mask of that frame. The result is a
    prior: it is added to the logits of the separator's mask, and the separator is shown
    it, beside the query's spectrum, as a picture.

    Before anything is known of the levels, half of the mixture's power is the target's.
    With ``levels``, the network is told by how much the two spectra differ where the
    query has its power, and how evenly, which tells a target's own clip at any level;
    it then gives the target's level, too.

    Args:
        num_bins: Bins of the spectrum, F.
        num_bands: Bands, K.
        sample_rate: Sampling rate in Hz.
        levels: Whether the comparison estimates the target's level.
        hidden: Hidden units of the comparison.
        dropout: Dropout of the hidden units.
    """

    hint_channels = 2

    def __init__(
        self,
        num_bins: int,
        num_bands: int,
        sample_rate: int,
        levels: bool = False,
        hidden: int = 256,
        dropout: float = 0.4,
    ):
        super().__init__()
        self.num_bands = num_bands
        self.levels = levels
        self.split = BandSplit(num_bins, num_bands, sample_rate)
        self.spread = BandSpread(num_bins, num_bands, sample_rate)
        self.compare = nn.Sequential(
            nn.Linear(4 * num_bands + (5 if levels else 2), hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 2 * num_bands + (2 if levels else 1)),
        )
        nn.init.zeros_(self.compare[-1].weight)
        nn.init.zeros_(self.compare[-1].bias)
        # Outputs: trust in the share and an offset, by band, trust in the frames'
        # activations, and the target's level. Start from a static mask whose frames
        # follow their activations.
        nn.init.constant_(self.compare[-1].bias[:num_bands], START_TRUST)
        nn.init.ones_(self.compare[-1].bias[2 * num_bands : 2 * num_bands + 1])

    def forward(self, query: Tensor, mixture: Levelled) -> tuple[Tensor, Tensor]:
        """Compares a query's mean spectrum with a mixture.

        Args:
            query: (B, F) log mean power of the query.
            mixture: Segments of T frames.

        Returns:
            Prior logits (B, T, F), and what the separator is shown, (B, T, K, 2).
        """
        power, log_mean = mixture.power, mixture.log_mean
        of_query, of_mixture = (
            centred(self.split(x)[..., 0]) for x in (query, log_mean)
        )
        # What the query has and the mixture lacks: the target's own clip has none.
        excess = (query - log_mean - math.log(2)).clamp(min=0)
        bands = [
            of_query,
            of_mixture,
            of_query - of_mixture,
            self.split(excess)[..., 0] / SHOWN_SCALE,
            excess.mean(-1, keepdim=True),
            (excess > EXCESS).float().mean(-1, keepdim=True) * SHOWN_SCALE,
        ]
        if self.levels:
            bands.append(_level_figures(query, log_mean))
        trust, offset, follow, level = (
            self.compare(torch.cat(bands, -1))
            .float()
            .tensor_split(
                [self.num_bands, 2 * self.num_bands, 2 * self.num_bands + 1], -1
            )
        )
        share = _share_logit(query - log_mean + (level if self.levels else 0))
        static = self.spread(trust) * share + self.spread(offset)
        with torch.no_grad(), torch.autocast(power.device.type, enabled=False):
            ratio = activation_ratio(power, log_mean.exp(), static.sigmoid())
        prior = static[:, None] + (follow * ratio)[..., None]
        of_prior = self.split(prior)[..., 0] / SHOWN_SCALE
        return prior, torch.stack([of_query[:, None].expand_as(of_prior), of_prior], -1)


def activation_ratio(power: Tensor, mean: Tensor, share: Tensor) -> Tensor:
    """How much more of the target than of the rest each frame of a mixture holds.

    A frame's magnitudes are taken for a sum of the target's and the rest's mean
    spectrum. The two weights of each frame come from the multiplicative updates of
    non-negative matrix factorisation with fixed spectra (Lee and Seung, "Algorithms for
    non-negative matrix factorization", 2000; Kullback-Leibler divergence).

    Args:
        power: (B, T, F) power of the mixture.
        mean: (B, F) its mean spectrum.
        share: (B, F) part of the mean spectrum that is the target's, 0 to 1.

    Returns:
        (B, T) log of the ratio of the weights, within +-RATIO_LIMIT; 0 in silence.
    """
    frames = power.sqrt()
    spectra = torch.stack([share * mean, (1 - share) * mean], 1).clamp(min=FLOOR).sqrt()
    sums = spectra.sum(-1)[:, None]  # (B, 1, 2)
    weights = torch.ones(*power.shape[:2], 2, device=power.device)
    for _ in range(ACTIVATION_UPDATES):
        quotient = frames / (weights @ spectra).clamp(min=FLOOR)
        weights = weights * (quotient @ spectra.transpose(1, 2)) / sums
    logs = torch.log(weights + SILENT_WEIGHT)
    return (logs[..., 0] - logs[..., 1]).clamp(-RATIO_LIMIT, RATIO_LIMIT)


def centred(log_power: Tensor) -> Tensor:
    """Log power between the floor and that of white noise, mapped to -1..1."""
    return 1 - 2 * log_power / math.log(FLOOR)


def _level_figures(query: Tensor, mixture: Tensor) -> Tensor:
    """How far and how evenly log spectra (B, F) of queries lie above mixtures', (B, 3).

    Of a target's own clip the ratio to the mixture is the same wherever the target
    rules. Weighted by the query's power: the mean of the log ratio, its deviation, and
    how much of the ratio, over all frequencies, lies above that mean.
    """
    ratio = query - mixture
    weight = query.softmax(-1)
    mean = (weight * ratio).sum(-1, keepdim=True)
    variance = (weight * (ratio - mean).square()).sum(-1, keepdim=True)
    above = (ratio - mean - EXCESS).clamp(min=0).mean(-1, keepdim=True)
    return torch.cat(
        [mean / 2, (variance.clamp(max=MAX_VARIANCE) + FLOOR).sqrt(), above], -1
    )


def _share_logit(log_ratio: Tensor) -> Tensor:
    """Log ratio of two spectra at unit level -> logit of the share of power."""
    return torch.logit((log_ratio.clamp(max=math.log(2)).exp() / 2).clamp(*SHARES))
