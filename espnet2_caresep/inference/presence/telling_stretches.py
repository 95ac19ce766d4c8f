"""Where a sound shows best: the stretches of a recording that are worth listening to.

An hour has thousands of segments; tagging all of them would take nearly as long as
separating it, and the more one listens to, the more often one of them resembles
anything. So two are chosen for each query: those of which its target took the largest
share, where a stretch 40 dB below another needs ten times its share. (In ten seconds
with eight sounds, the loudest targets told less, and one stretch told less than two.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espnet2_caresep.inference.audio.recording import SILENCE_POWER

COUNT = 2  # stretches of a query
POWER = 0.75  # of the mixture's energy, by which the target's is divided


@dataclass(frozen=True)
class Stretch:
    """A piece of a recording, downmixed to mono, (samples,) float32 at its own rate.

    Attributes:
        index: Counts the pieces of the recording.
        share: Energy of the target over that of the mixture, 0..1.
        rank: Those of the chosen ones are the largest.
        mixture: The recording.
        target: What was separated there.
    """

    index: int
    share: float
    rank: float
    mixture: np.ndarray
    target: np.ndarray


class TellingStretches:
    """Cuts a stream into stretches and keeps two for each query.

    Stretches follow each other without overlap from the beginning on; in which blocks
    the stream comes changes nothing. Of what is left at the end, less than a quarter of
    a stretch is dropped unless it is all there is.

    Args:
        length: Samples of a stretch.
        queries: Number of queries.
    """

    def __init__(self, length: int, queries: int):
        self._length = length
        self._index = self._fill = 0
        # The stretch that comes in: the mixture, then each target
        self._rows = np.zeros((1 + queries, length), np.float32)
        self._best: list[list[Stretch]] = [[] for _ in range(queries)]

    def update(self, mixture: np.ndarray, targets: np.ndarray) -> None:
        """Takes the next mixture (channels, n) and targets (queries, channels, n)."""
        mono = np.concatenate([mixture.mean(0)[None], targets.mean(1)])
        while mono.shape[1]:
            if self._fill == self._length:
                self._best = self._with_last()
                self._index, self._fill = self._index + 1, 0
            part = mono[:, : self._length - self._fill]
            self._rows[:, self._fill : self._fill + part.shape[1]] = part
            self._fill += part.shape[1]
            mono = mono[:, part.shape[1] :]

    def best(self) -> list[list[Stretch]]:
        """The stretches of each query, best first; none if its target is silent."""
        if self._index and self._fill < self._length / 4:
            return self._best
        return self._with_last()

    def _with_last(self) -> list[list[Stretch]]:
        mixture, *targets = self._rows[:, : self._fill]
        heard, energy = mixture.copy(), _energy(mixture)
        best = []
        for before, target in zip(self._best, targets):
            loud = _energy(target)
            if loud <= target.size * SILENCE_POWER:
                best.append(before)
                continue
            # Channels may cancel out: the mixture can be less than its target
            whole = max(energy, loud)
            rank = loud / whole**POWER
            if len(before) == COUNT and rank <= before[-1].rank:
                best.append(before)
                continue
            new = Stretch(self._index, loud / whole, rank, heard, target.copy())
            best.append(sorted([*before, new], key=lambda x: -x.rank)[:COUNT])
        return best


def _energy(samples: np.ndarray) -> float:
    return float(np.square(samples, dtype=np.float64).sum())
