"""Reads segments of clips and mixes two of them at equal energy.

The rule is the one of the paper's reference [4] (Chen et al., "Zero-shot audio source
separation through query-based learning from weakly-labeled data", AAAI 2022): the
second source is brought to the energy of the first, by at most a factor of 50, and the
mixture is their sum. Test lists and training draws both come through here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

MIN_GAIN = 0.02
MAX_GAIN = 50.0
MIN_ENERGY = 1e-8


def energy(audio: np.ndarray) -> float:
    """Returns the mean square of a waveform, 0.0 for an empty one."""
    if audio.size == 0:
        return 0.0
    return float(np.mean(np.square(audio, dtype=np.float64)))


def balance_energy(source: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Scales a waveform to the energy of another one.

    Args:
        source: Waveform to scale, any shape.
        reference: Waveform whose energy is wanted.

    Returns:
        ``source`` times sqrt(energy(reference) / energy(source)), the factor limited to
        [0.02, 50] as in reference [4]; same shape and dtype as ``source``.
    """
    gain = np.sqrt(energy(reference) / max(MIN_ENERGY, energy(source)))
    return (source * np.clip(gain, MIN_GAIN, MAX_GAIN)).astype(source.dtype)


def mix_pair(
    source1: np.ndarray, source2: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mixes two waveforms of equal length at 0 dB.

    Nothing is clipped: a mixture may exceed 1, so write it to float files.

    Args:
        source1: First source (samples,), kept as it is.
        source2: Second source (samples,), brought to the energy of the first.

    Returns:
        The mixture, the first source and the scaled second source.

    Raises:
        ValueError: If the two lengths differ.
    """
    if source1.shape != source2.shape:
        raise ValueError(
            f"sources of equal length are needed, got {source1.shape} and "
            f"{source2.shape}"
        )
    source2 = balance_energy(source2, source1)
    return source1 + source2, source1, source2


def loudest_start(audio: np.ndarray, num_samples: int) -> int:
    """Returns where the most energetic window begins.

    Args:
        audio: Waveform (samples,).
        num_samples: Window length.

    Returns:
        First sample of the window of largest energy (the earliest one among equals);
        0 when the waveform is not longer than the window.
    """
    if len(audio) <= num_samples:
        return 0
    power = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
    return int(np.argmax(power[num_samples:] - power[:-num_samples]))


def read_segment(
    path: str | Path, start: float, seconds: float, sample_rate: int
) -> np.ndarray:
    """Reads a part of a mono file; only that part is decoded.

    Args:
        path: Audio file.
        start: Where the segment begins, in seconds.
        seconds: Length of the segment, in seconds.
        sample_rate: The rate the file must have, in Hz.

    Returns:
        float32 waveform (round(seconds * sample_rate),), padded with zeros after the
        end of the file.

    Raises:
        ValueError: If the file cannot be read, has another rate, is not mono, or holds
            samples that are not finite.
    """
    num_samples = round(seconds * sample_rate)
    try:
        with soundfile.SoundFile(path) as file:
            if file.samplerate != sample_rate or file.channels != 1:
                raise ValueError(
                    f"{path}: needs one channel at {sample_rate} Hz, has "
                    f"{file.channels} at {file.samplerate} Hz (stage 3 makes such "
                    "files)"
                )
            file.seek(min(round(start * sample_rate), file.frames))
            audio = file.read(num_samples, dtype="float32")
    except (soundfile.SoundFileError, OSError) as error:
        raise ValueError(f"{path}: cannot be read as audio ({error})") from error
    if not np.isfinite(audio).all():
        raise ValueError(f"{path}: holds samples that are not finite")
    return np.pad(audio, (0, num_samples - len(audio)))
