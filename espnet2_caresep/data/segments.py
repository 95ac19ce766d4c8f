"""Random segments of clips, and what is done about clips that cannot be used."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import soundfile

from espnet2_caresep.config import ConfigError
from espnet2_caresep.data.augment import SourceAugment
from espnet2_caresep.data.mixing import MIN_ENERGY, energy, read_segment

logger = logging.getLogger(__name__)

MIN_SECONDS = 0.05  # shorter clips hold no event
MAX_SECONDS = 30.0  # of longer clips a random part is read
ENERGETIC = 0.1  # share of the loudest window's energy that a segment must have


class SegmentReader:
    """Cuts random energetic segments from clips.

    Args:
        sample_rate: The rate that clips must have, in Hz.
        segment_samples: Length of a segment.
        max_retries: Unusable clips in a row after which to give up.
        augment: Changes each segment; None leaves them as they are.

    Attributes:
        skipped: Clips found unusable so far.
    """

    def __init__(
        self,
        sample_rate: int,
        segment_samples: int,
        max_retries: int = 20,
        augment: SourceAugment | None = None,
    ):
        self.sample_rate = sample_rate
        self.segment_samples = segment_samples
        self.min_samples = round(MIN_SECONDS * sample_rate)
        self.max_retries = max_retries
        self.augment = augment
        self.skipped = 0

    def read(self, rng: np.random.Generator, path: str) -> np.ndarray:
        """A random segment of a clip, among those that are not much quieter than the
        loudest one; a short clip is placed at random between zeros.

        Args:
            rng: Source of randomness.
            path: Audio file, mono, at the sample rate.

        Returns:
            (segment_samples,) float32.

        Raises:
            ValueError: If the clip is unreadable, too short, silent, not finite, not
                mono or has another rate.
        """
        try:
            frames = soundfile.info(path).frames
        except (soundfile.SoundFileError, OSError) as error:
            raise ValueError(f"{path}: cannot be read as audio ({error})") from error
        if frames < self.min_samples:
            raise ValueError(f"{path}: is shorter than {MIN_SECONDS} s")
        speed = 1.0 if self.augment is None else self.augment.speed(rng)
        size = round(speed * self.segment_samples)
        longest = max(round(MAX_SECONDS * self.sample_rate), size)
        start = int(rng.integers(max(0, frames - longest) + 1))
        audio = read_segment(
            path,
            start / self.sample_rate,
            min(frames, longest) / self.sample_rate,
            self.sample_rate,
        )
        segment = self._cut(rng, audio, size)
        if self.augment is not None:
            segment = self.augment(rng, segment, self.segment_samples)
        if energy(segment) <= MIN_ENERGY:
            raise ValueError(f"{path}: is silent")
        return segment

    def first_usable(
        self, rng: np.random.Generator, candidates: Iterator[tuple[object, str]]
    ) -> tuple[object, np.ndarray]:
        """The first candidate that yields a segment; the others are counted and logged.

        Args:
            rng: Source of randomness.
            candidates: Pairs of anything and a path.

        Returns:
            The first element of the pair and the segment.

        Raises:
            ConfigError: If too many candidates in a row are unusable.
        """
        for _ in range(self.max_retries + 1):
            key, path = next(candidates)
            try:
                return key, self.read(rng, path)
            except ValueError as error:
                reason = self._skip(error)
        raise ConfigError(
            f"{self.max_retries + 1} clips in a row cannot be used, the last one: "
            f"{reason}"
        )

    def read_or(
        self, rng: np.random.Generator, path: str, instead: np.ndarray
    ) -> np.ndarray:
        """A segment of the clip, or ``instead`` when the clip cannot be used."""
        try:
            return self.read(rng, path)
        except ValueError as error:
            self._skip(error)
            return instead

    def _skip(self, error: ValueError) -> str:
        self.skipped += 1
        logger.warning(f"skipped a clip ({self.skipped} so far): {error}")
        return str(error)

    def _cut(
        self, rng: np.random.Generator, audio: np.ndarray, size: int
    ) -> np.ndarray:
        if len(audio) <= size:
            before = int(rng.integers(size - len(audio) + 1))
            return np.pad(audio, (before, size - len(audio) - before))
        total = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
        hop = max(1, size // 32)
        starts = np.append(np.arange(0, len(audio) - size, hop), len(audio) - size)
        power = total[starts + size] - total[starts]
        start = int(rng.choice(starts[power >= ENERGETIC * power.max()]))
        return audio[start : start + size]
