"""What rules of presence have in common: a logistic score, and thresholds on it."""

from __future__ import annotations

import math
from collections.abc import Iterable

LARGEST = 10**6  # of a rule's numbers; a configuration may say anything


class Rule:
    """Says from which score on a sound is judged present, and when it surely is not."""

    threshold: float
    absent: float

    def is_present(self, presence: float) -> bool:
        """Whether a sound of this score is judged present."""
        return presence >= self.threshold

    def is_surely_absent(self, presence: float) -> bool:
        """Whether a sound of this score is absent beyond reasonable doubt."""
        return presence < self.absent

    def _has_thresholds(self) -> bool:
        return 0 <= self.absent <= self.threshold <= 1


def logistic(z: float) -> float:
    """1 / (1 + exp(-z)), for -inf too."""
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def all_numbers(values: Iterable[object]) -> bool:
    """Whether values are numbers of a size that a rule can have."""
    return all(isinstance(v, (int, float)) and abs(v) < LARGEST for v in values)
