"""Brings sounds to one bandwidth, so that none is known by its missing treble.

A recording that was once compressed, or taken at a low rate, has nothing above some
frequency. Whatever a mixture holds up there belongs to the partner: a separator need
not hear anything to know that. Where both sources have the bandwidth of the narrower
one, the figures show what is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import signal

from espnet2_caresep.data.mixing import balance_energy

ENERGY_SHARE = 0.999
TRANSITION = 1.1  # where the full attenuation is reached, in parts of the cutoff
# Of one pass, in dB; the filter goes forward and backward
RIPPLE = 0.05
ATTENUATION = 40.0
MARGIN = 0.5  # seconds; what rings longer is below -70 dB for cutoffs from 100 Hz


def bandwidth(audio: np.ndarray, sample_rate: int) -> float:
    """Returns the frequency below which 99.9 % of a waveform's energy lies.

    Args:
        audio: Waveform (samples,), not silent.
        sample_rate: Its rate in Hz.

    Returns:
        Frequency in Hz, above 0 and up to half the rate.
    """
    power = np.abs(np.fft.rfft(audio)) ** 2
    # All but the first and, of an even length, the last stand for two frequencies
    power[1 : (len(audio) + 1) // 2] *= 2
    below = np.cumsum(power)
    index = int(np.searchsorted(below, ENERGY_SHARE * below[-1]))
    return max(1, index) * sample_rate / len(audio)


def match_bandwidth(
    sources: Sequence[np.ndarray], others: Sequence[np.ndarray], sample_rate: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Low-passes waveforms to the bandwidth of the narrowest source.

    The filter is an elliptic one, run forward and backward, so nothing moves in time:
    up to the bandwidth it changes a level by at most 0.1 dB, from 1.1 times the
    bandwidth on it takes 80 dB away. Then each waveform gets back the energy that it
    had, as far as :func:`~espnet2_caresep.data.mixing.balance_energy` goes. Where 1.1
    times the bandwidth is half the sample rate or more, nothing is changed.

    Args:
        sources: Waveforms (samples,) that set the bandwidth, not silent.
        others: Waveforms (samples,) that follow, such as queries.
        sample_rate: Rate of all of them in Hz.

    Returns:
        The sources and the others, of the shapes and dtypes that they had.
    """
    cutoff = min(bandwidth(source, sample_rate) for source in sources)
    if TRANSITION * cutoff >= sample_rate / 2:
        return list(sources), list(others)
    sections = signal.iirdesign(
        cutoff,
        TRANSITION * cutoff,
        RIPPLE,
        ATTENUATION,
        ftype="ellip",
        output="sos",
        fs=sample_rate,
    )

    # Silence on both sides: an onset at the very edge shall ring as it would within
    margin = round(MARGIN * sample_rate)

    def low_pass(audio: np.ndarray) -> np.ndarray:
        filtered = signal.sosfiltfilt(sections, np.pad(audio, margin))
        inner = filtered[margin : margin + len(audio)]
        return balance_energy(inner.astype(audio.dtype), audio)

    return [low_pass(audio) for audio in sources], [low_pass(a) for a in others]
