"""Whether a sound is there at all, by what the model hears in what it separated.

The share of the mixture that a target took (share_rule.py) tells little where the query
is another clip of the wanted class. A model that tags knows more, and where the query is
the wanted sound itself, spectra do. Four signs (:class:`Signs`) of a stretch of the
recording (judge.py) are weighed:

    z = bias + share_weight * share + target_weight * target
        + mixture_weight * mixture + spectrum_weight * spectrum
    presence = 1 / (1 + exp(-z))

The stretch with the largest z counts. Of n stretches log(n) / 2 is taken off it, because
what resembles the query by chance has n occasions to. (In recordings of thirteen and 25
seconds nothing called absent sounds present too often, log(n) present ones absent.)

The numbers are fitted on validation data (``espnet2_caresep.bin.calibrate_presence``)
and stand in the model's configuration as ``presence:``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple

import numpy as np

from espnet2_caresep.inference.presence.rule import (
    LARGEST,
    Rule,
    all_numbers,
    logistic,
)

HIGHEST = 50.0  # log power; a query from a file may say anything
LEAST = 1e-4  # probability of a class below which it does not matter how small it is


class Signs(NamedTuple):
    """What speaks for the presence of a sound; the more, the larger each one is.

    Attributes:
        share: Energy of the target over that of the mixture, 0..1.
        target: :func:`likeness` of the query's tags and the target's.
        mixture: :func:`log_expectation` of the query's classes in the mixture.
        spectrum: :func:`spectral_likeness` of the query and the target.
    """

    share: float
    target: float
    mixture: float
    spectrum: float


@dataclass(frozen=True)
class ListeningRule(Rule):
    """How signs become a score.

    Attributes:
        bias: What is added to the weighed signs.
        share_weight: Weight of the share; 0 for a sign that does not count.
        target_weight: Weight of the target's likeness.
        mixture_weight: Weight of the mixture's log expectation.
        spectrum_weight: Weight of the target's spectral likeness.
        threshold: Score from which a sound is judged present, 0..1.
        absent: Score below which it is surely absent, 0..threshold.
        certain: Score from which a sound that is judged present surely is, 0..1.
    """

    bias: float = 0.0
    share_weight: float = 0.0
    target_weight: float = 0.0
    mixture_weight: float = 0.0
    spectrum_weight: float = 0.0
    threshold: float = 0.5
    absent: float = 0.0
    certain: float = 0.0

    def __post_init__(self):
        values = astuple(self)
        if not all_numbers(values) or not (
            min(values[1:]) >= 0 and self._has_thresholds()
        ):
            raise ValueError(
                f"presence needs a bias and weights below {LARGEST}, weights of 0 or "
                "more, threshold and certain in 0..1 and absent not above threshold, "
                f"not {values}"
            )

    def score(self, signs: Sequence[Signs]) -> float:
        """Presence, 0..1.

        Args:
            signs: Of each stretch; none where the target is silent throughout.
        """
        if not signs:
            return 0.0
        weights = (
            self.share_weight,
            self.target_weight,
            self.mixture_weight,
            self.spectrum_weight,
        )
        weighed = [sum(w * x for w, x in zip(weights, stretch)) for stretch in signs]
        z = self.bias + max(weighed) - math.log(len(signs)) / 2
        return logistic(z)


def likeness(query: np.ndarray, target: np.ndarray) -> float:
    """Correlation of two sounds' class logits (classes,), -1..1; 0 for equal logits."""
    return _cosine(
        query - query.mean(dtype=np.float64), target - target.mean(dtype=np.float64)
    )


def log_expectation(query: np.ndarray, mixture: np.ndarray) -> float:
    """Log of the mean probability, in a mixture, of a query's classes.

    A class weighs as much as the query's own tags make it probable. The mixture's other
    classes do not matter: it may hold any number of further sounds.

    Args:
        query: (classes,) logits of the query.
        mixture: (classes,) logits of the mixture.

    Returns:
        log(LEAST)..0.
    """
    wanted, heard = (
        1 / (1 + np.exp(-np.clip(x.astype(np.float64), -50, 50)))
        for x in (query, mixture)
    )
    return float(np.log(max(wanted @ heard / wanted.sum(), LEAST)))


def spectral_likeness(query: np.ndarray, target: np.ndarray) -> float:
    """Cosine of two sounds' mean power spectra, 0..1; 0 where there is none.

    Near 1 if the target is the query's own sound: mixtures hold few other sounds with
    the same partials in the same balance.

    Args:
        query: (bins,) log power.
        target: (bins,) log power.
    """
    return _cosine(_power(query), _power(target))


def _power(log_power: np.ndarray) -> np.ndarray:
    return np.exp(np.minimum(log_power.astype(np.float64), HIGHEST))


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of two vectors; 0 where one is zero."""
    size = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / size) if size else 0.0
