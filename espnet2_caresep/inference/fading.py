"""Stems and residual from the scratch file, faded where their sounds seem absent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from espnet2_caresep.inference.audio.scratch import Scratch
from espnet2_caresep.inference.partition import split_exactly
from espnet2_caresep.inference.presence.fade import Fade


class FadedParts:
    """What is to be written of a mixture, but for formats and a common gain.

    Args:
        scratch: What was separated.
        fades: Of each stem; None for one that stays as it is and is not written, whose
            sound the residual keeps.
    """

    def __init__(self, scratch: Scratch, fades: Sequence[Fade | None]):
        self.scratch = scratch
        self.fades = fades
        self.written = [fade is not None for fade in fades]

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields stems (stems, channels, n) float32 and what they and the residual add
        up to, (channels, n) float64."""
        start = 0
        for block in self.scratch.blocks():
            stems, whole = block[: len(self.fades)], block.sum(0, dtype=np.float64)
            stop = start + block.shape[-1]
            gains = np.ones((len(stems), 1, stop - start), np.float32)
            for gain, fade in zip(gains, self.fades):
                if fade is not None:
                    gain[:] = fade.between(start, stop)
            if gains.min() < 1:
                stems, _ = split_exactly(whole.astype(np.float32), stems * gains)
            yield stems, whole
            start = stop

    def levels(self) -> list[tuple[float | None, float]]:
        """RMS in dB re full scale, None for silence, and peak: of the stems, and of the
        residual if the scratch file holds one."""
        energy, peaks, count = 0.0, 0.0, 0
        for stems, whole in self.blocks():
            rows = [*stems]
            if self.scratch.residual:
                rows.append(whole - stems[self.written].sum(0, dtype=np.float64))
            audio = np.stack(rows)
            energy += np.square(audio, dtype=np.float64).sum((1, 2))
            peaks = np.maximum(peaks, np.abs(audio).max((1, 2)))
            count += whole.size
        return [
            (round(10 * math.log10(power), 2) if power > 0 else None, float(peak))
            for power, peak in zip(energy / count, peaks)
        ]
