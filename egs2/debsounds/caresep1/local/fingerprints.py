"""Describes and compares recordings at 8 kHz, for find_copies.py.

What describes one is patches of band energies. What compares two is the normalised
cross-correlation of their waveforms, with the highs raised, at the best lag.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 8000
HOP = 64  # 8 ms
FRAME = 256
STEPS, STRIDE = 16, 2  # a patch: 16 moments, 16 ms apart
FRONT = FRAME // HOP  # frames of silence put before a file
FLOOR = 25.0  # dB below the loudest band of a patch; noise of a codec lies deeper
NEIGHBOURS = 12  # an onset rises more than all frames within 12, about 0.1 s
LONGEST = RATE // 2  # compared waveforms last at most 0.5 s
SHORTEST = RATE // 10  # shorter ones are too easily alike
TILT = 0.95  # pre-emphasis, or low tones decide alone
BROAD = 20  # bins of a spectrum over which the power of a waveform is spread
SAME = 0.97  # correlation that is enough for tones
FINE = 4  # lags per sample
SLACK = 160  # samples (20 ms) by which two onsets of one event may lie apart


def make_bands() -> np.ndarray:
    """Returns float32 (16, bins): which bins of a spectrum are in which band."""
    edges = np.geomspace(100, 3600, 17)
    bins = np.fft.rfftfreq(FRAME, 1 / RATE)
    bands = (bins >= edges[:-1, None]) & (bins < edges[1:, None])
    # The lowest bands are narrower than a bin: they take the nearest one
    for band in np.flatnonzero(~bands.any(axis=1)):
        bands[band, np.abs(bins - edges[band]).argmin()] = True
    return bands.astype(np.float32)


BANDS = make_bands()
WINDOW = np.hanning(FRAME).astype(np.float32)


@dataclass(frozen=True)
class Recording:
    """A source file as patches of its band energies.

    Attributes:
        source: Name in the table.
        times: int64 (patches,), where they begin, in samples at 8 kHz.
        patches: float32 (patches, 256), each of mean 0 and norm 1.
    """

    source: str
    times: np.ndarray
    patches: np.ndarray


@functools.cache
def read_audio(path: Path) -> np.ndarray:
    """Reads a file as mono float32 (samples,) at 8 kHz, highs raised."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    audio = soxr.resample(audio.mean(axis=1), rate, RATE, quality="MQ")
    return audio - np.float32(TILT) * np.pad(audio, (1, 0))[:-1]


def describe(source: str, audio: np.ndarray, everywhere: bool) -> Recording:
    """Cuts patches out of a recording.

    Args:
        source: Its name.
        audio: float32 (samples,).
        everywhere: Every 16 ms, or only at onsets.
    """
    padded = np.pad(audio, (FRONT * HOP, STEPS * STRIDE * HOP + FRAME))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    spectrum = np.abs(np.fft.rfft(frames * WINDOW))
    energy = (spectrum**2) @ BANDS.T
    last = len(energy) - STEPS * STRIDE
    # Roots keep one loud band from hiding the others
    rise = np.maximum(energy[2:] ** 0.25 - energy[:-2] ** 0.25, 0).sum(axis=1)
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(rise, NEIGHBOURS), 2 * NEIGHBOURS + 1
    )
    if everywhere:
        begins = np.arange(0, last, STRIDE)
    else:
        begins = np.flatnonzero((rise > 0) & (rise == around.max(axis=1))) + 1
        begins = begins[begins < last]
    level = 10 * np.log10(energy + 1e-12)
    patches = level[begins[:, None] + STRIDE * np.arange(STEPS)]
    patches = patches.reshape(len(begins), STEPS * len(BANDS))
    loudest = patches.max(axis=1, keepdims=True)
    patches = np.maximum(patches, loudest - FLOOR)
    patches -= patches.mean(axis=1, keepdims=True)
    patches /= np.linalg.norm(patches, axis=1, keepdims=True) + 1e-9
    heard = loudest[:, 0] > level.max() - FLOOR
    times = (begins[heard] - FRONT) * HOP
    return Recording(source, times, patches[heard].astype(np.float32))


def correlate(one: np.ndarray, at: int, other: np.ndarray, other_at: int) -> float:
    """Compares two waveforms from a moment on.

    Returns:
        The largest magnitude of the normalised cross-correlation of up to 0.5 s, over
        lags of at most 20 ms; 0 where it says nothing: little to compare, or tones that
        are alike as any two of one pitch are.
    """
    early = min(at, other_at, 0)  # patches may begin before the file
    at, other_at = at - early, other_at - early
    size = min(LONGEST, len(one) - at, len(other) - other_at)
    if size < SHORTEST:
        return 0.0
    piece = one[at : at + size]
    search = np.pad(other, SLACK)[other_at : other_at + size + 2 * SLACK]
    length = 1 << (len(search) + size - 1).bit_length()
    spectrum = np.fft.rfft(piece, length)
    # Between samples too: a cut at another rate seldom begins on one of ours
    product = FINE * np.fft.irfft(
        np.fft.rfft(search, length) * spectrum.conj(), FINE * length
    )
    sums = np.concatenate([[0.0], np.cumsum(search.astype(np.float64) ** 2)])
    energy = (sums[size:] - sums[:-size])[: 2 * SLACK + 1]
    scale = np.sqrt(np.maximum(energy, 1e-9) * max(float(piece @ piece), 1e-9))
    product = product[: FINE * len(scale)].reshape(len(scale), FINE)
    value = float(np.abs(product / scale[:, None]).max())
    power = np.abs(spectrum) ** 2 * size / length
    spread = power.sum() ** 2 / max(float(power @ power), 1e-30) * size / length
    return value if spread >= BROAD or value >= SAME else 0.0
