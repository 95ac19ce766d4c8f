"""What training changes of the sounds that it mixes, so that a clip is never heard
twice in the same way: speed, timbre, levels. The filters are soxr's and torchaudio's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import soxr
import torch
from torchaudio.functional import equalizer_biquad

from espnet2_caresep.config import ConfigError

LOWEST, HIGHEST = 100.0, 0.4  # centres of the bands: Hz, and share of the sampling rate
BANDS = 2  # peaking filters in a row
BAND_Q = 0.7  # a band of about two octaves
MAX_SPEED = 2.0


class SourceAugment:
    """Speed and timbre of one source.

    Args:
        sample_rate: Sampling rate in Hz.
        speed_range: Speed, drawn evenly in octaves between the two factors; pitch
            follows, as of a tape. None leaves it.
        eq_gain: Two peaking filters with random centres change the timbre by up to
            so many dB each; 0 leaves it.

    Raises:
        ConfigError: If a value has no meaning.
    """

    def __init__(
        self,
        sample_rate: int,
        speed_range: Sequence[float] | None = None,
        eq_gain: float = 0.0,
    ):
        self.sample_rate = sample_rate
        self.speed_range = check_range("speed_range", speed_range, "factors")
        if self.speed_range is not None and not (
            1 / MAX_SPEED <= self.speed_range[0] and self.speed_range[1] <= MAX_SPEED
        ):
            raise ConfigError(
                f"speed_range must lie within {1 / MAX_SPEED:g} and {MAX_SPEED:g}, "
                f"got {speed_range}"
            )
        if eq_gain < 0:
            raise ConfigError(f"eq_gain must be at least 0 dB, got {eq_gain}")
        self.eq_gain = eq_gain

    def speed(self, rng: np.random.Generator) -> float:
        """Draws how many seconds of a clip make one second of the source."""
        if self.speed_range is None:
            return 1.0
        low, high = self.speed_range
        return math.exp(rng.uniform(math.log(low), math.log(high)))

    def __call__(
        self, rng: np.random.Generator, audio: np.ndarray, num_samples: int
    ) -> np.ndarray:
        """Plays a cut so that it lasts ``num_samples``, and filters it.

        Args:
            rng: Source of randomness.
            audio: (samples,) float32.
            num_samples: Length of the result.

        Returns:
            (num_samples,) float32.
        """
        if len(audio) != num_samples:
            audio = soxr.resample(audio, len(audio), num_samples)[:num_samples]
            audio = np.pad(audio, (0, num_samples - len(audio)))
        peak = float(np.abs(audio).max(initial=0.0))
        if not self.eq_gain or not peak:
            return audio
        # torchaudio's filters clip at 1: the level is lowered by all they may add
        scale = peak / _from_db(-BANDS * self.eq_gain)
        wave = torch.from_numpy(audio / scale)
        highest = HIGHEST * self.sample_rate
        for _ in range(BANDS):
            centre = math.exp(rng.uniform(math.log(LOWEST), math.log(highest)))
            gain = rng.uniform(-self.eq_gain, self.eq_gain)
            wave = equalizer_biquad(wave, self.sample_rate, centre, gain, BAND_Q)
        return scale * wave.numpy()


class LevelAugment:
    """Levels of a mixture's two sources.

    Args:
        snr_range: Level of source 1 over source 2 in dB, uniform between the two
            values; None is 0 dB.
        gain_range: Gain on mixture and sources in dB, uniform between two values.

    Raises:
        ConfigError: If a range has no meaning.
    """

    def __init__(
        self,
        snr_range: Sequence[float] | None = None,
        gain_range: Sequence[float] | None = None,
    ):
        self.snr_range = check_range("snr_range", snr_range, "values in dB")
        self.gain_range = check_range("gain_range", gain_range, "values in dB")

    def __call__(
        self, rng: np.random.Generator, source1: np.ndarray, source2: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sources of equal energy -> sources at their levels, float32."""
        source2 = self.beside(rng, source2)
        if self.gain_range is not None:
            gain = _from_db(rng.uniform(*self.gain_range))
            source1, source2 = gain * source1, gain * source2
        return source1, source2

    def beside(self, rng: np.random.Generator, source: np.ndarray) -> np.ndarray:
        """Source of the first one's energy -> source at its level beside that."""
        if self.snr_range is None:
            return source
        return source * _from_db(-rng.uniform(*self.snr_range))


def check_range(
    name: str, limits: Sequence[float] | None, what: str
) -> tuple[float, float] | None:
    """Returns two ordered numbers, or None for None.

    Raises:
        ConfigError: If they are anything else.
    """
    if limits is None:
        return None
    if isinstance(limits, str) or len(limits) != 2 or limits[0] > limits[1]:
        raise ConfigError(f"{name} must be two {what}, [low, high], got {limits}")
    return tuple(limits)


def _from_db(decibels: float) -> np.float32:
    return np.float32(10 ** (decibels / 20))
