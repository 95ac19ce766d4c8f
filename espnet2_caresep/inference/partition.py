"""Stems and a residual that are the mixture again when they are added up."""

from __future__ import annotations

import numpy as np

MANTISSA = 24  # bits of a float32, the leading one included
MARGIN = 1 + 2**-20  # rounding to steps may raise a sum a little


def split_exactly(
    mixture: np.ndarray, stems: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rounds stems so that they and the rest add up to the mixture.

    Floating-point sums are exact where all terms are multiples of one step and all sums
    stay within 2^24 steps. So each sample of the stems is rounded to the finest step
    that can hold |mixture| + sum of |stems|, 144 dB or more below it. Then

        stems.sum(0) + residual == mixture

    in float32 and in any order of addition wherever the mixture's sample lies on that
    step: always in audio of 8 to 24 bits, as long as |mixture| + sum of |stems| stays
    below twice full scale. A sample of a float file may hold bits below the step. Parts
    that are much larger than their sum cannot carry those in float32, and the equation
    then holds within half a step.

    Args:
        mixture: (channels, samples) float32.
        stems: (stems, channels, samples) float32.

    Returns:
        Stems (stems, channels, samples) and residual (channels, samples), float32.
    """
    most = np.abs(mixture) + np.abs(stems).sum(0, dtype=np.float64)
    _, exponent = np.frexp(most * MARGIN)  # most < 2 ** exponent
    step = np.ldexp(1.0, np.maximum(exponent, -100) - MANTISSA)
    stems = (np.round(stems / step) * step).astype(np.float32)
    residual = mixture.astype(np.float64) - stems.sum(0, dtype=np.float64)
    return stems, residual.astype(np.float32)
