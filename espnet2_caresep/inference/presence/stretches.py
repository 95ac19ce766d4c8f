"""Cuts a recording and what was separated from it into stretches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


class Stretches:
    """Downmixes a stream to mono and cuts it.

    Stretches follow each other without overlap from the beginning on; in which blocks
    the stream comes changes nothing. Of what is left at the end, less than a quarter of
    a stretch is dropped unless it is all there is.

    Args:
        length: Samples of a stretch.
        queries: Number of queries.
    """

    def __init__(self, length: int, queries: int):
        self.length = length
        self._count = self._fill = 0
        # The stretch that comes in: the mixture, then each target
        self._rows = np.zeros((1 + queries, length), np.float32)

    def update(self, mixture: np.ndarray, targets: np.ndarray) -> Iterator[np.ndarray]:
        """Takes the next mixture (channels, n) and targets (queries, channels, n).

        Yields:
            Stretches that are full, (1 + queries, length); each only until the next.
        """
        mono = np.concatenate([mixture.mean(0)[None], targets.mean(1)])
        while mono.shape[1]:
            part = mono[:, : self.length - self._fill]
            self._rows[:, self._fill : self._fill + part.shape[1]] = part
            self._fill += part.shape[1]
            mono = mono[:, part.shape[1] :]
            if self._fill == self.length:
                yield self._rows
                self._count, self._fill = self._count + 1, 0

    def rest(self) -> np.ndarray | None:
        """The last stretch, (1 + queries, at most length), if there is one."""
        if not self._fill or self._count and self._fill < self.length / 4:
            return None
        return self._rows[:, : self._fill]
