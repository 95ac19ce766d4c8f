"""How far a stem is turned down, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fade:
    """Gain of a stem over time.

    From the middle of one stretch to that of the next the gain runs along straight
    lines. Where they meet it is that of the louder one: a sound that ends a little
    behind its stretch, or begins a little before, is not cut off.

    Attributes:
        level: Largest gain, 0..1: below 1 where the sound is judged absent.
        length: Samples of a stretch.
        gains: Gain of each stretch, 0..level; without any it is the level throughout.
    """

    level: float = 1.0
    length: int = 1
    gains: tuple[float, ...] = ()

    def between(self, start: int, stop: int) -> np.ndarray:
        """Gains (stop - start,) float32 of samples."""
        if not self.gains:
            return np.full(stop - start, self.level, np.float32)
        gains = np.array(self.gains)
        borders = np.maximum(gains, np.concatenate([gains[:1], gains[:-1]]))
        nodes = np.stack([borders, gains], 1).ravel()
        places = np.arange(len(nodes)) * self.length / 2
        found = np.interp(np.arange(start, stop), places, nodes)
        return found.astype(np.float32)
