"""What rules of presence have in common: a logistic score, and thresholds on it."""

from __future__ import annotations

import math
from collections.abc import Iterable

LARGEST = 10**6  # of a rule's numbers; a configuration may say anything
FAINTEST = 0.01  # gain of the stem of a sound that is surely absent, -40 dB


class Rule:
    """Says what a score means: present, absent, and how surely."""

    threshold: float
    absent: float
    certain: float

    def is_present(self, presence: float) -> bool:
        """Whether a sound of this score is judged present."""
        return presence >= self.threshold

    def is_surely_present(self, presence: float) -> bool:
        """Whether a sound of this score is there beyond reasonable doubt."""
        return self.is_present(presence) and presence >= self.certain

    def is_surely_absent(self, presence: float) -> bool:
        """Whether a sound of this score is absent beyond reasonable doubt."""
        return presence < self.absent

    def level(self, presence: float) -> float:
        """Gain of the stem of a sound of this score, :data:`FAINTEST`..1.

        1 from the threshold on; below, the gain falls with the square of what the score
        still has above that of surely absent sounds, of which next to nothing is left.
        A rule that calls nothing surely absent is not calibrated, and fades nothing.
        """
        if self.is_present(presence) or not self.absent:
            return 1.0
        if self.is_surely_absent(presence):
            return FAINTEST
        left = (presence - self.absent) / (self.threshold - self.absent)
        return max(FAINTEST, left**2)

    def level_beside(self, presence: float, best: float) -> float:
        """Gain of a stretch of a recording of which another stretch scores best.

        Where the best one has the sound, what scores less is likelier to be another
        sound than if it were all there is: not above :meth:`level`, power falls with
        the odds, from the best one's on, or from where there is no doubt.
        """
        level = self.level(presence)
        reference = _odds(min(best, self.certain))
        if level == FAINTEST or not self.absent or not reference:
            return level
        return max(FAINTEST, min(level, math.sqrt(_odds(presence) / reference)))

    def _has_thresholds(self) -> bool:
        return 0 <= self.absent <= self.threshold <= 1 and 0 <= self.certain <= 1


def _odds(probability: float) -> float:
    return probability / max(1 - probability, 1e-9)


def logistic(z: float) -> float:
    """1 / (1 + exp(-z)), for -inf too."""
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def all_numbers(values: Iterable[object]) -> bool:
    """Whether values are numbers of a size that a rule can have."""
    return all(isinstance(v, (int, float)) and abs(v) < LARGEST for v in values)
