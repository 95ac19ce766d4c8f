"""Audio as people have it: files, arrays and tensors.

Inside the package audio is channels first, (channels, samples), float32.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_caresep.inference.audio.reader import (
    RATES,
    AudioError,
    AudioReader,
    checked_samples,
)
from espnet2_caresep.inference.audio.resampling import resample
from espnet2_caresep.inference.audio.writer import open_writer

SILENCE_POWER = 1e-10  # mean square, -100 dB; below there is nothing to learn from
SMALL_BLOCK = 2**18  # samples; blocks of arrays, as of files, keep memory small


@dataclass(frozen=True)
class Audio:
    """A piece of audio.

    Attributes:
        samples: (channels, samples) float32, finite, at least one sample.
        sample_rate: Hz.
        name: What to call it in messages.
    """

    samples: np.ndarray
    sample_rate: int
    name: str

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.samples.shape[0]

    @property
    def frames(self) -> int:
        """Samples of a channel."""
        return self.samples.shape[1]

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yields (channels, n) views, as :meth:`AudioReader.blocks` does."""
        stop = self.frames if stop is None else min(stop, self.frames)
        for first in range(start, stop, SMALL_BLOCK):
            yield self.samples[:, first : min(first + SMALL_BLOCK, stop)]

    def mono(self) -> Audio:
        """The mean of the channels."""
        mean = self.samples.mean(0, keepdims=True)
        return Audio(mean, self.sample_rate, self.name)

    def at(self, sample_rate: int) -> Audio:
        """The same audio at another rate, ``round(samples * ratio)`` samples long."""
        return Audio(
            resample(self.samples, self.sample_rate, sample_rate),
            sample_rate,
            self.name,
        )

    def is_silent(self) -> bool:
        """Whether the mean power lies below -100 dB of full scale."""
        return float(np.mean(np.square(self.samples, dtype=np.float64))) < SILENCE_POWER


def read_audio(path: str | Path) -> Audio:
    """Reads an audio file that libsndfile knows (WAV, FLAC, OGG, MP3, ...).

    Raises:
        AudioError: If it is missing, a directory, not audio, empty, cut short, or holds
            samples that are NaN or infinite.
    """
    reader = AudioReader(path)
    blocks = list(reader.blocks())
    return Audio(np.concatenate(blocks, 1), reader.sample_rate, reader.name)


def open_audio(
    source, sample_rate: int | None = None, name: str = "audio"
) -> Audio | AudioReader:
    """Takes audio as people have it; a file's samples are not read yet.

    Args:
        source: A path, or a numpy array or torch tensor of floats, (samples,) or
            (channels, samples), or an :class:`Audio`.
        sample_rate: Rate of an array in Hz; not used for a path.
        name: What to call an array in messages.

    Returns:
        What has ``sample_rate``, ``channels``, ``frames``, ``name`` and ``blocks()``.

    Raises:
        AudioError: As :func:`read_audio`; for arrays of another shape or type, or
            without ``sample_rate``.
    """
    if isinstance(source, (Audio, AudioReader)):
        return source
    if isinstance(source, (str, os.PathLike)):
        return AudioReader(source)
    return _from_array(source, sample_rate, name)


def to_audio(source, sample_rate: int | None = None, name: str = "audio") -> Audio:
    """Like :func:`open_audio`, with the samples of a file read."""
    opened = open_audio(source, sample_rate, name)
    return opened if isinstance(opened, Audio) else read_audio(opened.path)


def array_shape(channels: int, frames: int) -> tuple[int, ...]:
    """Shape in which a file's audio is returned: (samples,) if it is mono."""
    return (channels, frames) if channels > 1 else (frames,)


def write_audio(
    path: str | Path,
    samples: np.ndarray,
    sample_rate: int,
    subtype: str | None = "float",
    comment: str | None = None,
) -> None:
    """Writes a file that appears whole or not at all (temporary name, then rename).

    Args:
        path: .wav, .flac, .ogg or .mp3; replaced if it exists.
        samples: (channels, samples) or (samples,) float32. Integer subtypes saturate
            at full scale.
        sample_rate: Hz.
        subtype: "float", "pcm16" or "pcm24"; None for .ogg and .mp3.
        comment: Text for the file's comment field.

    Raises:
        AudioError: If the format cannot hold it (FLAC: at most 8 channels) or the disk
            refuses.
    """
    samples = np.atleast_2d(samples)
    channels, frames = samples.shape
    with open_writer(path, sample_rate, channels, subtype, comment, frames) as writer:
        writer.write(samples)


def _from_array(source, sample_rate: int | None, name: str) -> Audio:
    if hasattr(source, "detach"):
        source = source.detach().cpu()
        if source.is_floating_point():
            source = source.float()
        source = source.numpy()
    samples = np.asarray(source)
    if not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(
            f"{name}: needs floating-point samples within +-1, got {samples.dtype}; "
            "divide 16-bit integers by 32768 first"
        )
    if sample_rate is None:
        raise AudioError(f"{name}: an array needs its sample_rate in Hz")
    if not RATES[0] <= sample_rate <= RATES[1]:
        raise AudioError(
            f"{name}: sample_rate must lie in {RATES[0]}..{RATES[1]} Hz, not "
            f"{sample_rate}"
        )
    shape = samples.shape
    if samples.ndim == 1:
        samples = samples[None]
    if samples.ndim != 2 or samples.shape[0] > max(64, samples.shape[1]):
        raise AudioError(
            f"{name}: needs the shape (samples,) or (channels, samples), got {shape}"
        )
    if samples.size == 0:
        raise AudioError(f"{name}: is empty")
    return Audio(checked_samples(samples, name), int(sample_rate), name)
