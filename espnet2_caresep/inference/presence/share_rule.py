"""Whether a sound is there at all: one number per query, from what was separated.

The network has no output that says so. What it leaves in the target does: a sound that
is absent gets a small share of the mixture. A recording is cut into windows of one
second. The share of a window is the target's energy over the mixture's, in dB; the
loudest share counts, because a sound may last one second in an hour. Windows more than
40 dB below the loudest one are left out: there a share says nothing. Then

    presence = 1 / (1 + exp(-(share - midpoint_db) / width_db))

and a sound is judged present from ``threshold`` on. A model may bring its own numbers,
fitted on validation data, as ``presence: {midpoint_db, width_db, threshold}`` in its
configuration. The defaults are a guess, not a calibration: a share of 10 % is 0.5.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np

from espnet2_caresep.inference.presence.rule import (
    LARGEST,
    Rule,
    all_numbers,
    logistic,
)

WINDOW_SECONDS = 1.0
QUIET = 1e-4  # -40 dB


@dataclass(frozen=True)
class ShareRule(Rule):
    """How a share of energy becomes a score.

    Attributes:
        midpoint_db: Share in dB whose score is 0.5.
        width_db: dB by which the share must rise to take the score from 0.5 to 0.73.
        threshold: Score from which a sound is judged present, 0..1.
        absent: Score below which it is surely absent, 0..threshold.
        certain: Score from which a sound that is judged present surely is, 0..1.
    """

    midpoint_db: float = -10.0
    width_db: float = 2.0
    threshold: float = 0.5
    absent: float = 0.0
    certain: float = 0.0

    def __post_init__(self):
        values = astuple(self)
        if not all_numbers(values) or not (
            self.width_db > 0 and self._has_thresholds()
        ):
            raise ValueError(
                f"presence needs numbers below {LARGEST}, width_db above 0, threshold "
                f"and certain in 0..1 and absent not above threshold, not {values}"
            )

    def score(self, share_db: float) -> float:
        """Presence, 0..1, of a share in dB; -inf is allowed."""
        return logistic((share_db - self.midpoint_db) / self.width_db)


class PresenceMeter:
    """Gathers shares of energy block by block.

    Args:
        sample_rate: Hz.
        queries: Number of queries.
    """

    def __init__(self, sample_rate: int, queries: int):
        self._window = max(1, round(WINDOW_SECONDS * sample_rate))
        self._fill = 0  # samples in the last window
        # One row per window: energy of the mixture, then of each target.
        self._rows = [np.zeros(1 + queries)]

    def update(self, mixture: np.ndarray, targets: np.ndarray) -> None:
        """Takes the next mixture (channels, n) and targets (queries, channels, n)."""
        start = 0
        while start < mixture.shape[-1]:
            if self._fill == self._window:
                self._rows.append(np.zeros_like(self._rows[0]))
                self._fill = 0
            part = slice(start, start + self._window - self._fill)
            heard = mixture[None, :, part]
            for i, audio in enumerate((heard, targets[..., part])):
                energy = np.square(audio, dtype=np.float64).sum((1, 2))
                self._rows[-1][slice(1, None) if i else slice(0, 1)] += energy
            self._fill += heard.shape[-1]
            start += heard.shape[-1]

    def shares_db(self) -> list[float]:
        """Largest share of each query in dB; -inf where there is nothing."""
        rows = np.array(self._rows)
        # What is left at the end counts as a window only from a quarter second on.
        if len(rows) > 1 and self._fill < self._window / 4:
            rows = rows[:-1]
        heard = rows[:, 0] > QUIET * rows[:, 0].max()
        if not heard.any():
            return [-math.inf] * (rows.shape[1] - 1)
        shares = (rows[heard, 1:] / rows[heard, :1]).max(0)
        return [10 * math.log10(share) if share > 0 else -math.inf for share in shares]
