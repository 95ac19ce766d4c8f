"""Scores of separation: plain arrays in, numbers out.

Waveforms are (..., samples) arrays or tensors of any float type; every score is
computed in float64 over the last axis and has the leading shape (a float for one
waveform). References: [4] is Chen et al., "Zero-shot audio source separation through
query-based learning from weakly-labeled data" (AAAI 2022), whose mixture-, clean- and
silence-SDR the CaRE-SEP paper takes over.

What happens at the edges, the same for every score:

- A reference of zeros leaves SDR and SI-SDR undefined: NaN, counted, never averaged.
  (Silence is scored by :func:`silence_sdr`, which needs no reference.)
- An estimate of zeros is a valid, bad answer: SDR is 0 dB by its formula and SI-SDR
  is minus infinity. [4] leaves such items out, which flatters a model.
- An estimate equal to the reference has an SDR of plus infinity.
- Samples that are not finite are an error, not a score.

How items become a table entry is said in :func:`summarize`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SILENCE_FLOOR = 1e-8  # [4] clips both mean powers of silence-SDR to this
USS_FLOOR = 1e-10  # USS and AudioSep clip both mean powers of their SDR to this
LOWEST_DB = -100.0  # what an item of minus infinity counts for in a mean


def sdr(reference, estimate):
    """Signal-to-distortion ratio 10 log10(sum s^2 / sum (s - s^)^2) in dB.

    The mixture-SDR and clean-SDR of [4]: museval's BSS Eval v4 with one source and one
    window over the whole item gives the same number, since with one source the image
    error is all there is. It is not invariant to scale or delay.

    Args:
        reference: Target waveforms s, (..., samples).
        estimate: Separated waveforms s^, same shape.

    Returns:
        dB, leading shape of the input. NaN for a reference of zeros, infinite for an
        estimate equal to its reference.
    """
    reference, estimate = _pair(reference, estimate)
    return _ratio_db(
        _energy(reference), _energy(reference - estimate), _energy(reference)
    )


def sdr_improvement(reference, estimate, mixture):
    """SDR of the estimate minus SDR of the mixture, in dB (SDRi).

    NaN where the mixture is the reference itself (clean items): nothing can improve.
    """
    return _difference(sdr(reference, estimate), sdr(reference, mixture))


def si_sdr(reference, estimate):
    """Scale-invariant SDR in dB (Le Roux et al., ICASSP 2019, eq. 3).

    The reference is scaled to its projection a s of the estimate, a = <s^, s> / |s|^2;
    the score is 10 log10(|a s|^2 / |a s - s^|^2). Means are not removed.

    Args:
        reference: Target waveforms s, (..., samples).
        estimate: Separated waveforms s^, same shape.

    Returns:
        dB, leading shape of the input. NaN for a reference of zeros, minus infinity
        for an estimate that holds nothing of it (zeros among them), hundreds of dB for
        an exact multiple.
    """
    reference, estimate = _pair(reference, estimate)
    energy = _energy(reference)
    dot = np.sum(reference * estimate, -1)
    scale = np.divide(dot, energy, out=np.zeros_like(dot), where=energy > 0)
    projection = scale[..., None] * reference
    return _ratio_db(_energy(projection), _energy(projection - estimate), energy)


def si_sdr_improvement(reference, estimate, mixture):
    """SI-SDR of the estimate minus SI-SDR of the mixture, in dB (SI-SDRi).

    NaN where the difference of two infinities has no value.
    """
    return _difference(si_sdr(reference, estimate), si_sdr(reference, mixture))


def uss_sdr(reference, estimate):
    """SDR as USS and AudioSep compute it, in dB.

    The ratio of mean powers, each floored at 1e-10: always finite, at most 100 dB for
    signals within +-1. Equal to :func:`sdr` where neither floor is reached.
    """
    reference, estimate = _pair(reference, estimate)
    signal = np.maximum(_power(reference), USS_FLOOR)
    noise = np.maximum(_power(reference - estimate), USS_FLOOR)
    return _plain(10 * np.log10(signal / noise))


def silence_sdr(mixture, estimate):
    """Suppression of an input that holds nothing of the target, in dB (silence-SDR).

    10 log10 of the input's mean power over the output's, both floored at 1e-8 as in
    [4]: finite, larger is better, at most 80 dB for an input of unit power.

    Args:
        mixture: Input without the target, (..., samples).
        estimate: What was separated from it, same shape.

    Returns:
        dB, leading shape of the input.
    """
    mixture, estimate = _pair(mixture, estimate)
    before = np.maximum(_power(mixture), SILENCE_FLOOR)
    after = np.maximum(_power(estimate), SILENCE_FLOOR)
    return _plain(10 * np.log10(before / after))


@dataclass(frozen=True)
class Summary:
    """One table entry: what a list of dB values amounts to.

    Attributes:
        items: Number of values given.
        undefined: Values that are NaN; in no figure below.
        infinite: Values that are plus or minus infinity.
        infinite_share: ``infinite`` over the defined values; NaN without any.
        mean: Mean in dB, see :func:`summarize`; NaN without a value to average.
        median: Median in dB of all defined values, infinities included.
    """

    items: int
    undefined: int
    infinite: int
    infinite_share: float
    mean: float
    median: float


def summarize(values) -> Summary:
    """Mean and median of scores, with what was left out counted.

    - Undefined items (NaN) are left out and counted.
    - Plus infinity is left out of the mean, which can only lower it, and counted.
    - Minus infinity enters the mean as -100 dB, so that leaving a total failure out
      cannot raise it and one item does not sink the table to minus infinity.
    - The median is taken over all defined items, where an infinity is only large.

    Args:
        values: Scores in dB, any shape.

    Returns:
        The summary.
    """
    values = np.asarray(values, dtype=np.float64).ravel()
    defined = values[~np.isnan(values)]
    infinite = int(np.isinf(defined).sum())
    averaged = np.maximum(defined[defined < np.inf], LOWEST_DB)
    return Summary(
        items=values.size,
        undefined=values.size - defined.size,
        infinite=infinite,
        infinite_share=infinite / defined.size if defined.size else np.nan,
        mean=float(averaged.mean()) if averaged.size else np.nan,
        median=float(np.median(defined)) if defined.size else np.nan,
    )


def finite_array(values) -> np.ndarray:
    """Array or tensor (any device, with or without gradient) -> finite float64.

    Raises:
        ValueError: If a number is not finite.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("samples and scores must be finite, found NaN or infinity")
    return values


def _pair(first, second) -> tuple[np.ndarray, np.ndarray]:
    first, second = finite_array(first), finite_array(second)
    if first.shape != second.shape or first.ndim == 0 or first.shape[-1] == 0:
        raise ValueError(
            "waveforms must have the same shape (..., samples) with at least one "
            f"sample, got {first.shape} and {second.shape}"
        )
    return first, second


def _energy(x: np.ndarray) -> np.ndarray:
    return np.sum(x * x, -1)


def _power(x: np.ndarray) -> np.ndarray:
    return np.mean(x * x, -1)


def _ratio_db(signal, noise, reference):
    with np.errstate(divide="ignore", invalid="ignore"):
        # Logarithms first: the ratio of a tiny and a huge energy would underflow.
        value = 10 * (np.log10(signal) - np.log10(noise))
    return _plain(np.where(reference > 0, np.where(signal > 0, value, -np.inf), np.nan))


def _difference(after, before):
    with np.errstate(invalid="ignore"):
        return _plain(np.asarray(after) - np.asarray(before))


def _plain(value):
    """0-d arrays become floats."""
    return float(value) if np.ndim(value) == 0 else value
