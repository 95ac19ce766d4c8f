"""Mel-scale band split and its inverse (paper section 3.2, reference [16]).

[16] places K + 2 points evenly on the HTK mel scale from 0 Hz to Nyquist. Band k is
the bins between points k and k + 2, the support of the k-th triangle of a mel filter
bank without its weights, so neighbours overlap by half. Each band has its own linear
layer, from its bins to channels and, in the inverse, from channels to its bins.
"""

import math

import torch
from torch import Tensor, nn


def mel_band_edges(num_bins: int, num_bands: int, sample_rate: int) -> list[int]:
    """Bin numbers of the K + 2 mel points; band k is ``edges[k]:edges[k + 2]``.

    The points strictly increase, also where mel points fall closer together than bins
    (low frequencies of short windows or high rates), so that no band is empty.

    Args:
        num_bins: Bins of the one-sided spectrum, F.
        num_bands: Bands, K.
        sample_rate: Sampling rate in Hz.

    Returns:
        K + 2 integers from 0 to F.

    Raises:
        ValueError: If there are too few bins for that many bands.
    """
    if not 1 <= num_bands < num_bins:
        raise ValueError(
            f"num_bands must lie in 1..{num_bins - 1} for {num_bins} bins, "
            f"not {num_bands}"
        )
    nyquist = sample_rate / 2
    top = 2595 * math.log10(1 + nyquist / 700)
    points = [top * i / (num_bands + 1) for i in range(num_bands + 2)]
    hertz = [700 * (10 ** (mel / 2595) - 1) for mel in points]
    # A band begins with the first bin at or above its mel point.
    edges = [math.ceil(hz / nyquist * (num_bins - 1)) for hz in hertz]
    for i in range(1, len(edges)):
        edges[i] = max(edges[i], edges[i - 1] + 1)
    # Pushing low edges up may have pushed the last ones beyond the end: push back.
    edges[-1] = num_bins
    for i in range(len(edges) - 2, 0, -1):
        edges[i] = min(edges[i], edges[i + 1] - 1)
    return edges


def band_members(num_bins: int, num_bands: int, sample_rate: int) -> Tensor:
    """Which bins a band has: (F, K) float32 of zeros and ones."""
    edges = mel_band_edges(num_bins, num_bands, sample_rate)
    members = torch.zeros(num_bins, num_bands)
    for k in range(num_bands):
        members[edges[k] : edges[k + 2], k] = 1
    return members


class BandSplit(nn.Module):
    """Bins -> bands: one bias-free linear layer per band.

    Args:
        num_bins: Bins of the one-sided spectrum, F.
        num_bands: Bands, K.
        sample_rate: Sampling rate in Hz.
        out_channels: Features per band, C.
    """

    def __init__(
        self, num_bins: int, num_bands: int, sample_rate: int, out_channels: int = 1
    ):
        super().__init__()
        edges = mel_band_edges(num_bins, num_bands, sample_rate)
        spans = list(zip(edges, edges[2:]))
        place = [
            f * num_bands + k for k, span in enumerate(spans) for f in range(*span)
        ]
        self.shape = (num_bins, num_bands, out_channels)
        self.register_buffer("place", torch.tensor(place), persistent=False)
        # Channel 0 starts as the mean over the band, a log-mel-like picture on which
        # the encoder can work from the first step; the others start at random.
        width = torch.tensor(
            [end - start for start, end in spans for _ in range(start, end)]
        )
        weight = torch.randn(len(place), out_channels) / width[:, None] ** 0.5
        weight[:, 0] = 1 / width
        self.weight = nn.Parameter(weight)

    def forward(self, features: Tensor) -> Tensor:
        """Features (..., F) -> (..., K, C)."""
        # One dense product with mostly zero weights is faster than gathering
        # overlapping bands, whose copies are larger than the spectrogram.
        num_bins, num_bands, channels = self.shape
        dense = self.weight.new_zeros(num_bins * num_bands, channels)
        dense = dense.index_copy(0, self.place, self.weight).view(num_bins, -1)
        return (features @ dense).unflatten(-1, (num_bands, channels))


class BandSpread(nn.Module):
    """One value per band -> bins: each bin has the mean of its one or two bands.

    Args:
        num_bins: Bins of the one-sided spectrum, F.
        num_bands: Bands, K.
        sample_rate: Sampling rate in Hz.
    """

    def __init__(self, num_bins: int, num_bands: int, sample_rate: int):
        super().__init__()
        edges = mel_band_edges(num_bins, num_bands, sample_rate)
        bands = [
            [k for k in range(num_bands) if edges[k] <= f < edges[k + 2]]
            for f in range(num_bins)
        ]
        # A product, not a lookup: the gradient of a lookup is slow on CPUs.
        weights = torch.zeros(num_bands, num_bins)
        for f, row in enumerate(bands):
            weights[row, f] = 1 / len(row)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(..., K) -> (..., F) float32."""
        with torch.autocast(features.device.type, enabled=False):
            return features.float() @ self.weights


class BandMerge(nn.Module):
    """Bands -> bins, the inverse of :class:`BandSplit`.

    Each bin is the mean of what its one or two bands say of it: overlap-add with the
    interior halved, as in [16].

    Args:
        num_bins: Bins of the one-sided spectrum, F.
        num_bands: Bands, K.
        sample_rate: Sampling rate in Hz.
        in_channels: Features per band, C.
    """

    def __init__(
        self, num_bins: int, num_bands: int, sample_rate: int, in_channels: int
    ):
        super().__init__()
        edges = mel_band_edges(num_bins, num_bands, sample_rate)
        widths = [end - start for start, end in zip(edges, edges[2:])]
        # Bands of similar width share one batched product, padded to the widest.
        self.runs = [
            (k, min(k + 8, num_bands), max(widths[k : k + 8]))
            for k in range(0, num_bands, 8)
        ]
        self.weights = nn.ParameterList(
            0.02 * torch.randn(end - start, in_channels, width)
            for start, end, width in self.runs
        )
        self.biases = nn.ParameterList(
            torch.zeros(end - start, 1, width) for start, end, width in self.runs
        )
        # Even bands tile the spectrum without overlap and so do odd bands, so a bin
        # lies in one or two bands: two gathers replace an overlap-add.
        slots = [[] for _ in range(num_bins)]
        base = 0
        for start, end, width in self.runs:
            for k in range(start, end):
                for i in range(widths[k]):
                    slots[edges[k] + i].append(base + i)
                base += width
        pair = torch.tensor([(row[0], row[-1]) for row in slots]).T
        self.register_buffer("slots", pair.contiguous(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Bands (B, T, K, C) -> bins (B, T, F)."""
        batch, frames = features.shape[:2]
        per_band = features.permute(2, 0, 1, 3).flatten(1, 2)
        out = [
            torch.baddbmm(bias, per_band[start:end], weight).transpose(0, 1).flatten(1)
            for (start, end, _), weight, bias in zip(
                self.runs, self.weights, self.biases
            )
        ]
        out = torch.cat(out, 1).view(batch, frames, -1)
        return _mean_of_two(out, self.slots)


def _mean_of_two(x: Tensor, pair: Tensor) -> Tensor:
    return (x[..., pair[0]] + x[..., pair[1]]) / 2
