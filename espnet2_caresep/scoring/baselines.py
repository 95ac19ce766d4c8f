"""What separation is worth without learning: two baselines and two oracles.

All are real masks on the network's own spectrogram with the phase of the mixture, so
that a model with such a mask can be read against them. Baselines see what a model sees; oracles see the answer and bound what such a mask
can reach. Waveforms are (..., samples) float tensors.
"""

from __future__ import annotations

from torch import Tensor

from espnet2_caresep.network.stft import STFT

_TINY = 1e-20  # keeps 0 / 0 at 0 without touching audible power


def constant_mask(mixture: Tensor, gain: float = 0.5) -> Tensor:
    """The same gain everywhere: 6 dB of clean-SDR and silence-SDR for nothing."""
    return gain * mixture


def static_mask(mixture: Tensor, query: Tensor, stft: STFT) -> Tensor:
    """One gain per frequency: min(1, mean query power / mean mixture power).

    A Wiener-like equaliser from long-term spectra: what is left to gain beyond it needs
    time, or knowledge of a class. The level of a query says nothing of the level at
    which its sound lies in a mixture (a recording of one's own, the unscaled clip), so
    the query is first brought to half the energy of the mixture, its share in the 0 dB
    pairs of the test sets. For a clean input that assumption is wrong and costs 6 dB,
    as it must for a mask that cannot tell.

    Args:
        mixture: Input, (..., samples).
        query: Example of the target, (..., samples of its own number).
        stft: The spectrogram on which the mask lives.

    Returns:
        Separated waveforms, shape of ``mixture``.
    """
    spectrum = _spectrum(stft, mixture)
    wanted = _spectrum(stft, query).abs().square().mean(-2, keepdim=True)
    present = spectrum.abs().square().mean(-2, keepdim=True)
    share = 0.5 * present.sum(-1, True) / wanted.sum(-1, True).clamp(min=_TINY)
    mask = (share * wanted / present.clamp(min=_TINY)).clamp(max=1)
    return _waveform(stft, mask * spectrum, mixture)


def ideal_ratio_mask(mixture: Tensor, target: Tensor, stft: STFT) -> Tensor:
    """Oracle: ideal ratio mask |S| / (|S| + |N|), N = mixture - target.

    Args:
        mixture: Input, (..., samples).
        target: What was wanted, same shape.
        stft: The spectrogram on which the mask lives.

    Returns:
        Separated waveforms, shape of ``mixture``.
    """
    spectrum, wanted = _spectrum(stft, mixture), _spectrum(stft, target)
    wanted, rest = wanted.abs(), (spectrum - wanted).abs()
    return _waveform(stft, wanted / (wanted + rest + _TINY) * spectrum, mixture)


def phase_sensitive_mask(mixture: Tensor, target: Tensor, stft: STFT) -> Tensor:
    """Oracle: phase-sensitive mask Re(S / X) truncated to [0, 1].

    The best real mask within [0, 1] in each bin (Erdogan et al., ICASSP 2015); what a
    sigmoid mask with the mixture's phase cannot exceed by more than the overlap of
    frames allows.

    Args:
        mixture: Input X, (..., samples).
        target: What was wanted S, same shape.

    Returns:
        Separated waveforms, shape of ``mixture``.
    """
    spectrum, wanted = _spectrum(stft, mixture), _spectrum(stft, target)
    power = spectrum.abs().square().clamp(min=_TINY)
    mask = ((wanted * spectrum.conj()).real / power).clamp(0, 1)
    return _waveform(stft, mask * spectrum, mixture)


def _spectrum(stft: STFT, audio: Tensor) -> Tensor:
    """(..., samples) -> (..., frames, bins) complex."""
    flat = stft(audio.reshape(-1, audio.shape[-1]))
    return flat.reshape(*audio.shape[:-1], *flat.shape[1:])


def _waveform(stft: STFT, spectrum: Tensor, like: Tensor) -> Tensor:
    flat = stft.inverse(spectrum.reshape(-1, *spectrum.shape[-2:]), like.shape[-1])
    return flat.reshape(like.shape)
