"""Audio in and out: files, arrays and tensors; rates; whole files or none.

Inside the package audio is channels first, (channels, samples), float32.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from espnet2_caresep.data.files import write_whole

SILENCE_POWER = (
    1e-10  # mean square below which (-100 dB) there is nothing to learn from
)
FORMATS = {".wav": "WAV", ".flac": "FLAC"}
SUBTYPES = {"float": "FLOAT", "pcm16": "PCM_16", "pcm24": "PCM_24"}


class AudioError(ValueError):
    """Audio that cannot be used, with a one-line reason for the person who gave it."""


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
        AudioError: If it is missing, a directory, not audio, empty, or holds samples
            that are NaN or infinite.
    """
    path = Path(path)
    if path.is_dir():
        raise AudioError(f"{path}: is a directory, an audio file is needed")
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise AudioError(
            f"{path}: cannot be read as audio ({_reason(error)})"
        ) from error
    return _checked(samples.T, rate, str(path))


def to_audio(source, sample_rate: int | None = None, name: str = "audio") -> Audio:
    """Takes audio as people have it.

    Args:
        source: A path, or a numpy array or torch tensor of floats, (samples,) or
            (channels, samples).
        sample_rate: Rate of an array in Hz; not used for a path.
        name: What to call an array in messages.

    Returns:
        The audio, checked.

    Raises:
        AudioError: As :func:`read_audio`; for arrays of another shape or type, or
            without ``sample_rate``.
    """
    if isinstance(source, Audio):
        return source
    if isinstance(source, (str, os.PathLike)):
        return read_audio(source)
    if hasattr(source, "detach"):
        source = source.detach().cpu().float().numpy()
    samples = np.asarray(source)
    if not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(
            f"{name}: needs floating-point samples within +-1, got {samples.dtype}; "
            "divide 16-bit integers by 32768 first"
        )
    if sample_rate is None or sample_rate <= 0:
        raise AudioError(f"{name}: an array needs its sample_rate in Hz")
    if samples.ndim == 1:
        samples = samples[None]
    if samples.ndim != 2 or samples.shape[0] > max(64, samples.shape[1]):
        raise AudioError(
            f"{name}: needs the shape (samples,) or (channels, samples), got "
            f"{np.shape(source)}"
        )
    return _checked(samples, int(sample_rate), name)


def resample(samples: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Band-limited rate conversion over the last axis (soxr, very high quality).

    Args:
        samples: (channels, samples) float32.
        source_rate: Hz.
        target_rate: Hz.

    Returns:
        (channels, round(samples * target_rate / source_rate)) float32.
    """
    if source_rate == target_rate:
        return samples
    import soxr

    length = round(samples.shape[-1] * target_rate / source_rate)
    converted = [soxr.resample(c, source_rate, target_rate, "VHQ") for c in samples]
    return fit_length(np.stack(converted).astype(np.float32), length)


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Cuts or pads the last axis with zeros to ``length`` samples."""
    missing = max(0, length - samples.shape[-1])
    return np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(0, missing)])[..., :length]


def check_output(
    path: str | Path, subtype: str | None = None, overwrite: bool = False
) -> str:
    """Checks an output before any work is done for it.

    Args:
        path: File to write, .wav or .flac.
        subtype: "float", "pcm16" or "pcm24"; by default float for .wav and pcm24 for
            .flac, which holds no floats.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The subtype to write.

    Raises:
        AudioError: If the path or the choice cannot work.
    """
    path = Path(path)
    extension = path.suffix.lower()
    if extension not in FORMATS:
        known = " or ".join(FORMATS)
        raise AudioError(f"{path}: the name of an output must end in {known}")
    if path.is_dir():
        raise AudioError(f"{path}: is a directory, a file name is needed")
    if path.exists() and not overwrite:
        raise AudioError(f"{path}: exists; give --overwrite to replace it")
    if not path.parent.is_dir():
        raise AudioError(f"{path.parent}: no such folder")
    subtype = subtype or ("pcm24" if extension == ".flac" else "float")
    if not soundfile.check_format(FORMATS[extension], SUBTYPES[subtype]):
        raise AudioError(f"{path}: FLAC holds integers, choose pcm16 or pcm24")
    return subtype


def write_audio(
    path: str | Path,
    samples: np.ndarray,
    sample_rate: int,
    subtype: str = "float",
    comment: str | None = None,
) -> None:
    """Writes a file that appears whole or not at all (temporary name, then rename).

    Integer subtypes clip at full scale.

    Args:
        path: .wav or .flac; replaced if it exists.
        samples: (channels, samples) or (samples,) float32.
        sample_rate: Hz.
        subtype: "float", "pcm16" or "pcm24".
        comment: Text for the file's comment field.

    Raises:
        AudioError: If the format cannot hold it (FLAC: at most 8 channels) or the disk
            refuses.
    """
    path = Path(path)
    samples = np.atleast_2d(samples)
    try:
        with (
            write_whole(path) as part,
            soundfile.SoundFile(
                part,
                "w",
                samplerate=sample_rate,
                channels=samples.shape[0],
                format=FORMATS[path.suffix.lower()],
                subtype=SUBTYPES[subtype],
            ) as file,
        ):
            if comment:
                file.comment = comment
            file.write(samples.T)
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise AudioError(f"{path}: cannot be written ({_reason(error)})") from error


def _checked(samples: np.ndarray, sample_rate: int, name: str) -> Audio:
    if samples.size == 0:
        raise AudioError(f"{name}: is empty")
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise AudioError(f"{name}: holds samples that are NaN or infinite")
    return Audio(samples, sample_rate, name)


def _reason(error: Exception) -> str:
    """The last part of a library's message: libsndfile begins with the path."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].split(": ")[-1].rstrip(". ")
