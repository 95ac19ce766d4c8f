"""Audio files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from espnet2_caresep.data.files import write_whole
from espnet2_caresep.inference.audio.reader import AudioError, native_path, reason

SUBTYPES = {"float": "FLOAT", "pcm16": "PCM_16", "pcm24": "PCM_24"}
BITS = {"pcm16": 16, "pcm24": 24}
# WAV counts bytes in 32 bits; RF64 is the same file with 64-bit counts.
WAV_LIMIT = 2**32 - 2**20
CHUNK = 2**14  # samples per call: libsndfile's Vorbis encoder overflows on long ones


@dataclass(frozen=True)
class Format:
    """What a kind of file can hold.

    Attributes:
        name: libsndfile's name.
        subtypes: Sample formats, the default first; none for lossy formats.
        channels: Largest number of channels.
        rate: Highest sample rate in Hz.
        rates: The only rates there are; None if any up to ``rate``.
    """

    name: str
    subtypes: tuple[str, ...]
    channels: int
    rate: int
    rates: tuple[int, ...] | None = None


# libsndfile crashes where Vorbis is asked for more than 200 kHz.
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
FORMATS = {
    "wav": Format("WAV", ("float", "pcm16", "pcm24"), 1024, 10**9),
    "flac": Format("FLAC", ("pcm24", "pcm16"), 8, 655_350),
    "ogg": Format("OGG", (), 255, 200_000),
    "mp3": Format("MP3", (), 2, 48_000, MP3_RATES),
}


def check_output(
    path: str | Path, subtype: str | None = None, overwrite: bool = False
) -> str | None:
    """Checks an output before any work is done for it.

    Args:
        path: File to write, .wav, .flac, .ogg or .mp3.
        subtype: "float", "pcm16" or "pcm24"; by default float for .wav and pcm24 for
            .flac, which holds no floats. Lossy formats have none.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The subtype to write, None for a lossy format.

    Raises:
        AudioError: If the path or the choice cannot work.
    """
    path = Path(path)
    form = _format(path)
    if path.is_dir():
        raise AudioError(f"{path}: is a directory, a file name is needed")
    if path.exists() and not overwrite:
        raise AudioError(f"{path}: exists; give --overwrite to replace it")
    if subtype is not None and subtype not in form.subtypes:
        if not form.subtypes:
            raise AudioError(f"{path}: {form.name} is lossy and has no --subtype")
        raise AudioError(f"{path}: FLAC holds integers, choose pcm16 or pcm24")
    return subtype or (form.subtypes[0] if form.subtypes else None)


def check_holds(path: str | Path, sample_rate: int, channels: int) -> None:
    """Checks that the format of ``path`` can hold such audio.

    Raises:
        AudioError: If not, with what it can hold.
    """
    form = _format(Path(path))
    if channels > form.channels:
        raise AudioError(
            f"{path}: {form.name} holds at most {form.channels} channels, not "
            f"{channels}; write .wav"
        )
    rates = form.rates
    if sample_rate > form.rate or (rates and sample_rate not in rates):
        known = ", ".join(map(str, rates)) if rates else f"up to {form.rate}"
        raise AudioError(
            f"{path}: {form.name} has sample rates {known} Hz, not {sample_rate}; "
            "write .wav"
        )


class AudioWriter:
    """An open audio file, made by :func:`open_writer`."""

    def __init__(self, file: soundfile.SoundFile, name: str, subtype: str | None):
        self._file = file
        self._name = name
        self._subtype = subtype

    def write(self, samples: np.ndarray) -> None:
        """Appends (channels, n) float32; integer formats saturate at full scale.

        Raises:
            AudioError: If the disk refuses.
        """
        if self._subtype in BITS:
            samples = to_integers(samples, BITS[self._subtype])
        with _disk_errors(self._name):
            for start in range(0, samples.shape[-1], CHUNK):
                self._file.write(samples[:, start : start + CHUNK].T)


@contextmanager
def open_writer(
    path: str | Path,
    sample_rate: int,
    channels: int,
    subtype: str | None = "float",
    comment: str | None = None,
    frames: int = 0,
) -> Iterator[AudioWriter]:
    """Opens a file that appears, whole, when the block succeeds.

    Args:
        path: .wav, .flac, .ogg or .mp3; replaced if it exists.
        sample_rate: Hz.
        channels: Number of channels.
        subtype: As :func:`check_output` returns it.
        comment: Text for the file's comment field.
        frames: Expected samples of a channel; more than 4 GB of WAV become RF64.

    Raises:
        AudioError: If the format cannot hold it or the disk refuses.
    """
    path = Path(path)
    check_holds(path, sample_rate, channels)
    form = _format(path).name
    size = frames * channels * (BITS.get(subtype or "", 32) // 8)
    if form == "WAV" and size > WAV_LIMIT:
        form = "RF64"
    with (
        _disk_errors(str(path)),
        write_whole(path) as part,
        soundfile.SoundFile(
            native_path(part),
            "w",
            samplerate=sample_rate,
            channels=channels,
            format=form,
            subtype=SUBTYPES.get(subtype),
        ) as file,
    ):
        if comment:
            file.comment = comment
        yield AudioWriter(file, str(path), subtype)


def to_integers(samples: np.ndarray, bits: int) -> np.ndarray:
    """Rounds float samples to ``bits``-bit integers, saturating at full scale.

    Returns:
        int16 for 16 bits; for 24 bits int32 with 8 empty low bits, as libsndfile takes
        them.
    """
    scale = 2 ** (bits - 1)
    # A power of two: the product is exact, and so is what lay on the grid already.
    steps = np.clip(np.round(samples.astype(np.float64) * scale), -scale, scale - 1)
    return steps.astype(np.int16) if bits == 16 else steps.astype(np.int32) << 8


def round_to(samples: np.ndarray, subtype: str | None) -> np.ndarray:
    """Float samples on the grid of an integer subtype, without saturation."""
    if subtype not in BITS:
        return samples
    scale = np.float32(2 ** (BITS[subtype] - 1))
    return np.round(samples * scale) / scale


def _format(path: Path) -> Format:
    form = FORMATS.get(path.suffix.lower().removeprefix("."))
    if form is None:
        known = ", ".join(f".{extension}" for extension in FORMATS)
        raise AudioError(f"{path}: the name of an output must end in one of {known}")
    return form


@contextmanager
def _disk_errors(name: str) -> Iterator[None]:
    try:
        yield
    except AudioError:
        raise
    except (soundfile.SoundFileError, OSError) as error:
        text = getattr(error, "strerror", None) or reason(error)
        if text == "System error":  # all that libsndfile says of it
            text += "; is the disk full?"
        raise AudioError(f"{name}: cannot be written ({text})") from error
