"""What classic audio classifiers look at, beyond means and deviations of bands.

All figures are of frames that sound: neither padding nor silence within a clip moves
them. They are not learned, so they say the same of clips that were trained with and of
others.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from .band_split import band_members
from .base import mean_over_valid
from .statistics import cosines, deviation, differences, statistics

FLOOR = 1e-6  # added to power before logarithms; white noise of unit level has 1
AUDIBLE = 11.0  # nepers of power, 48 dB: frames further below the loudest are silent
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
PITCHES = (40.0, 1000.0)  # Hz
LAGS = (1, 2, 4, 8, 16)  # frames
CEPSTRA = 8
GROUPS = 8  # bands together, of which modulation is measured
RATES = (1, 3, 6, 11, 20, 33, 65)  # edges of modulation, in 1 / 128 of the frame rate


class SoundFeatures(nn.Module):
    """Bands and power of a clip -> figures that tell classes apart.

    Args:
        num_bins: Bins of the spectrum, F.
        num_bands: Mel-scale bands, M, a multiple of 8.
        num_features: Band features of a frame, K.
        sample_rate: Sampling rate in Hz.
    """

    def __init__(
        self, num_bins: int, num_bands: int, num_features: int, sample_rate: int
    ):
        super().__init__()
        members = band_members(num_bins, num_bands, sample_rate)
        self.register_buffer("bands", members / members.sum(0), persistent=False)
        self.register_buffer("cosines", cosines(num_features), persistent=False)
        low, high = PITCHES
        longest = min(round(sample_rate / low), num_bins - 1)
        self.periods = (round(sample_rate / high), longest)
        dependence = CEPSTRA * (CEPSTRA - 1) // 2 + CEPSTRA * len(LAGS)
        self.dim = (
            3 * sum(self.cosines.shape)
            + 3 * num_features  # quantiles
            + 2 * num_bands  # flatness
            + 2 * 8  # harmonicity and timbre
            + len(QUANTILES)
            + 6  # the rest of the envelope
            + GROUPS * (len(RATES) - 1)
            + dependence
        )

    @torch.no_grad()
    def forward(self, bands: Tensor, power: Tensor, valid: Tensor) -> Tensor:
        """Figures of a clip.

        Args:
            bands: (B, T, K) normalised bands.
            power: (B, T, F) at unit mean.
            valid: (B, T) bool, frames that hold audio.

        Returns:
            (B, dim) float32.
        """
        with torch.autocast(bands.device.type, enabled=False):
            bands, power = bands.float(), power.float()
            energy = torch.log(power.mean(-1) + FLOOR / 1000)
            loudest = energy.masked_fill(~valid, -math.inf).amax(1, keepdim=True)
            heard = valid & (energy > loudest - AUDIBLE)
            weight = energy.masked_fill(~heard, -math.inf).softmax(1)[..., None]
            log_power = torch.log(power + FLOOR)
            log_bands = torch.log(power @ self.bands + FLOOR)
            cepstra = bands @ self.cosines
            return torch.cat(
                [
                    statistics(bands, cepstra, heard),
                    _quantiles(bands, heard, (0.1, 0.5, 0.9)),
                    _mean_and_deviation(log_bands - log_power @ self.bands, heard),
                    self._harmonicity(log_power, heard, weight),
                    _envelope(energy, heard, weight),
                    _timbre(log_bands, heard, weight),
                    _modulation(bands, heard),
                    _dependence(cepstra[..., :CEPSTRA], heard),
                ],
                -1,
            )

    def _harmonicity(self, log_power: Tensor, heard: Tensor, weight: Tensor) -> Tensor:
        """Height and logarithmic place of the peak of the cepstrum over time (B, 8)."""
        first, last = self.periods
        height, place = torch.fft.irfft(log_power)[..., first:last].max(-1)
        peaks = torch.stack([height, torch.log(place + first)], -1)
        return _course(peaks, heard, weight)


def _quantiles(x: Tensor, heard: Tensor, shares: tuple[float, ...]) -> Tensor:
    """(B, T, N) -> (B, shares * N) over the frames that count."""
    ordered = x.masked_fill(~heard[..., None], math.inf).sort(1).values
    last = heard.sum(1, keepdim=True) - 1
    place = (last * torch.tensor(shares, device=x.device)).round().long()
    index = place[..., None].expand(-1, -1, x.shape[2])
    return ordered.gather(1, index).flatten(1)


def _mean_and_deviation(x: Tensor, heard: Tensor) -> Tensor:
    return torch.cat([mean_over_valid(x, heard), deviation(x, heard)], -1)


def _course(x: Tensor, heard: Tensor, weight: Tensor) -> Tensor:
    """Means, even and by energy, and deviations of (B, T, N) -> (B, 4 N)."""
    steps = deviation(*differences(x, heard))
    return torch.cat([_mean_and_deviation(x, heard), (x * weight).sum(1), steps], -1)


def _envelope(energy: Tensor, heard: Tensor, weight: Tensor) -> Tensor:
    """Distribution of loudness, onsets, and where in the clip its energy lies."""
    energy = energy[..., None]
    steps, between = differences(energy, heard)
    time = torch.arange(heard.shape[1], device=heard.device)
    first = heard.long().argmax(1, keepdim=True)
    place = ((time - first) / heard.sum(1, keepdim=True))[..., None]
    centre = (place * weight).sum(1)
    spread = ((place - centre[:, None]).square() * weight).sum(1).sqrt()
    return torch.cat(
        [
            _quantiles(energy, heard, QUANTILES),
            deviation(energy, heard),
            deviation(steps, between),
            mean_over_valid(steps.clamp(min=0), between),
            mean_over_valid((steps > 1).float(), between),
            centre,
            spread,
        ],
        -1,
    )


def _timbre(log_bands: Tensor, heard: Tensor, weight: Tensor) -> Tensor:
    """Centre and width of the spectrum over time (B, 8)."""
    share = log_bands.softmax(-1)
    place = torch.linspace(0, 6.4, log_bands.shape[2], device=log_bands.device)
    centre = (share * place).sum(-1, keepdim=True)
    width = (share * (place - centre).square()).sum(-1, keepdim=True).sqrt()
    return _course(torch.cat([centre, width], -1), heard, weight)


def _modulation(bands: Tensor, heard: Tensor) -> Tensor:
    """How strongly groups of bands fluctuate at which rates (B, rates * groups)."""
    swing = (bands - mean_over_valid(bands, heard)[:, None]) * heard[..., None]
    swing = swing.unflatten(2, (GROUPS, -1)).mean(-1)
    size = max(128, swing.shape[1])
    power = torch.fft.rfft(swing, size, dim=1).abs().square()
    power = power / heard.sum(1)[:, None, None]
    edges = [round(rate * size / 128) for rate in RATES]
    parts = [power[:, a:b].mean(1) for a, b in pairwise(edges)]
    return torch.log(torch.stack(parts, 1) + 1e-3).flatten(1)


def _dependence(cepstra: Tensor, heard: Tensor) -> Tensor:
    """Covariances of cepstra with each other, and with themselves some frames later."""
    swing = (cepstra - mean_over_valid(cepstra, heard)[:, None]) * heard[..., None]
    total = swing.transpose(1, 2) @ swing
    rows, columns = torch.tril_indices(*total.shape[1:], -1, device=total.device)
    energy = total.diagonal(dim1=1, dim2=2) + 1e-2
    later = [(swing[:, lag:] * swing[:, :-lag]).sum(1) / energy for lag in LAGS]
    covariances = total[:, rows, columns] / heard.sum(1, keepdim=True)
    return torch.cat([covariances, *later], -1)
