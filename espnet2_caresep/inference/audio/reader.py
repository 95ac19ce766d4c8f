"""Audio files, read block by block: a recording of any length needs no memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

BLOCK_VALUES = 2**18  # samples of all channels together in one block
RATES = (1_000, 1_000_000)  # Hz; rates outside are damage, not audio

# libsndfile reads what is there of a file that was cut short and says so in its log.
# Recorders that write to a pipe cannot know the size and give one near the limit.
_CUT_SHORT = re.compile(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_UNKNOWN_SIZE = 0x7FFF0000


class AudioError(ValueError):
    """Audio that cannot be used, with a one-line reason for the person who gave it."""


class AudioReader:
    """An audio file that libsndfile knows (WAV, FLAC, OGG, MP3, AIFF, ...).

    No file stays open between calls.

    Args:
        path: The file.

    Attributes:
        name: The path, for messages.
        sample_rate: Hz.
        channels: Number of channels.
        frames: Samples of a channel as the file declares them.
        subtype: libsndfile's name of the sample format.

    Raises:
        AudioError: If the file is missing, a directory, unreadable, not audio, empty,
            cut short, or of a rate outside 1 kHz to 1 MHz.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.name = str(path)
        if self.path.is_dir():
            raise AudioError(f"{path}: is a directory, an audio file is needed")
        if not self.path.exists():
            raise AudioError(f"{path}: no such file")
        if not self.path.is_file():
            raise AudioError(f"{path}: is not a regular file")
        if not os.access(self.path, os.R_OK):
            raise AudioError(f"{path}: may not be read (permission denied)")
        with self._open() as file:
            self.sample_rate = file.samplerate
            self.channels = file.channels
            self.frames = file.frames
            self.subtype = file.subtype
            cut = _CUT_SHORT.search(file.extra_info)
        if self.frames <= 0:
            raise AudioError(f"{path}: is empty")
        if not RATES[0] <= self.sample_rate <= RATES[1]:
            raise AudioError(
                f"{path}: has a sample rate of {self.sample_rate} Hz, needed are "
                f"{RATES[0]} to {RATES[1]} Hz"
            )
        if cut and int(cut[2]) < int(cut[1]) < _UNKNOWN_SIZE:
            raise AudioError(
                f"{path}: is cut short, only {cut[2]} of {cut[1]} bytes of audio are "
                "there"
            )

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Reads the file, or samples ``start`` to ``stop`` of it.

        Yields:
            (channels, samples) float32, finite.

        Raises:
            AudioError: If the file ends early or holds NaN or infinite samples.
        """
        stop = self.frames if stop is None else min(stop, self.frames)
        size = max(1024, BLOCK_VALUES // self.channels)
        with self._open() as file:
            try:
                if start:
                    file.seek(start)
                while start < stop:
                    block = file.read(min(size, stop - start), "float32", True)
                    if not len(block):
                        raise AudioError(
                            f"{self.name}: is cut short, only {start} of "
                            f"{self.frames} samples are there"
                        )
                    start += len(block)
                    yield checked_samples(block.T, self.name)
            except (soundfile.SoundFileError, OSError) as error:
                raise self._unreadable(error) from error

    def _open(self) -> soundfile.SoundFile:
        try:
            return soundfile.SoundFile(native_path(self.path))
        except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> AudioError:
        return AudioError(f"{self.name}: cannot be read as audio ({reason(error)})")


def native_path(path: Path) -> str | bytes:
    """A path as libsndfile takes it, also where its bytes are no valid text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def checked_samples(samples: np.ndarray, name: str) -> np.ndarray:
    """The samples as contiguous float32.

    Raises:
        AudioError: If one is NaN or infinite.
    """
    with np.errstate(over="ignore"):  # what overflows is found to be infinite
        samples = np.ascontiguousarray(samples, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise AudioError(f"{name}: holds samples that are NaN or infinite")
    return samples


def reason(error: Exception) -> str:
    """The last part of a library's message: libsndfile begins with the path."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].split(": ")[-1].rstrip(". ") or type(error).__name__
