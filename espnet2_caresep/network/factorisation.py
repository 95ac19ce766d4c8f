"""Non-negative matrix factorisation of magnitudes: a few spectra that come and go.

Multiplicative updates for the Kullback-Leibler divergence (Lee and Seung, "Algorithms
for non-negative matrix factorization", 2000), from a start that is always the same.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

TINY = 1e-8  # added where something is divided by; magnitudes have a mean of about 1
SEED = 0


class Factors(NamedTuple):
    """Magnitudes (B, T, F) as activations @ spectra."""

    activations: Tensor  # (B, T, K)
    spectra: Tensor  # (B, K, F)


def factorise(magnitude: Tensor, count: int, updates: int) -> Factors:
    """Finds spectra whose sums magnitudes are.

    Args:
        magnitude: (B, T, F), not negative.
        count: Spectra, K.
        updates: From a start at the mean spectrum, each bin of which is spread by half.
    """
    generator = torch.Generator().manual_seed(SEED)
    spread = 0.5 + torch.rand(count, magnitude.shape[2], generator=generator)
    spectra = unit_sum(magnitude.mean(1, keepdim=True) * spread.to(magnitude.device))
    # Alike in all frames: where a segment begins should matter little
    activations = magnitude.sum(2, keepdim=True).expand(-1, -1, count) / count
    return update(magnitude, Factors(activations, spectra), updates)


def update(
    magnitude: Tensor, factors: Factors, updates: int, fixed: int = 0
) -> Factors:
    """Brings factors nearer to magnitudes.

    Args:
        magnitude: (B, T, F), not negative.
        factors: To start from.
        updates: How often.
        fixed: Leading spectra that stay as they are.
    """
    activations, spectra = factors
    kept, moved = spectra.split([fixed, spectra.shape[1] - fixed], 1)
    for _ in range(updates):
        quotient = magnitude / (activations @ spectra).add_(TINY)
        sums = spectra.sum(2)[:, None].add_(TINY)
        activations = activations * (quotient @ spectra.transpose(1, 2)).div_(sums)
        if not moved.shape[1]:
            continue
        quotient = magnitude / (activations @ spectra).add_(TINY)
        free = activations[..., fixed:]
        sums = free.sum(1)[..., None].add_(TINY)
        moved = moved * (free.transpose(1, 2) @ quotient).div_(sums)
        spectra = torch.cat([kept, moved], 1) if fixed else moved
    return Factors(activations, spectra)


def unit_sum(spectra: Tensor) -> Tensor:
    """Spectra (..., F), each divided by its sum; zero stays zero."""
    return spectra / spectra.sum(-1, keepdim=True).clamp(min=TINY)
