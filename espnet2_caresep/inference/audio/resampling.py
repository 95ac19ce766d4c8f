"""Rate conversion, at once or block by block with the same result."""

from __future__ import annotations

import numpy as np
import soxr

QUALITY = "VHQ"  # linear phase; flat to 0.91 of half the lower rate


class Resampler:
    """Band-limited rate conversion of a stream.

    What comes out is aligned in time with what goes in: the filter's delay is removed.

    Args:
        source_rate: Hz.
        target_rate: Hz.
        channels: Number of channels.
    """

    def __init__(self, source_rate: int, target_rate: int, channels: int):
        self.channels = channels
        self._stream = None
        if source_rate != target_rate:
            self._stream = soxr.ResampleStream(
                source_rate, target_rate, channels, dtype="float32", quality=QUALITY
            )

    def push(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """Converts the next (channels, n) float32; returns (channels, m), m may be 0."""
        if self._stream is None:
            return block
        out = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last)
        return np.ascontiguousarray(out.reshape(-1, self.channels).T)

    def finish(self) -> np.ndarray:
        """What is left after the last block, (channels, m)."""
        return self.push(np.zeros((self.channels, 0), np.float32), last=True)


def resample(samples: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Band-limited rate conversion over the last axis.

    Args:
        samples: (channels, samples) float32.
        source_rate: Hz.
        target_rate: Hz.

    Returns:
        (channels, round(samples * target_rate / source_rate)) float32.
    """
    if source_rate == target_rate:
        return samples
    converter = Resampler(source_rate, target_rate, len(samples))
    length = round(samples.shape[-1] * target_rate / source_rate)
    return fit_length(converter.push(samples, last=True), length)


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Cuts or pads the last axis with zeros to ``length`` samples."""
    missing = max(0, length - samples.shape[-1])
    return np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(0, missing)])[..., :length]
