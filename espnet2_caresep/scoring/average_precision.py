"""Scores of tagging."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espnet2_caresep.scoring.metrics import finite_array


@dataclass(frozen=True)
class AveragePrecision:
    """Mean average precision with what it is the mean of.

    Attributes:
        mean: Macro mean over the classes that have positives; NaN without any.
        per_class: (classes,) float64, NaN for classes without positives.
        dropped: Number of classes without positives.
    """

    mean: float
    per_class: np.ndarray
    dropped: int


def mean_average_precision(targets, scores) -> AveragePrecision:
    """Macro mean of scikit-learn's average precision (the paper's mAP).

    Args:
        targets: (items, classes), nonzero where the item has the class.
        scores: (items, classes) float, larger means more likely.

    Returns:
        The mean and each class's value; classes without a positive item have none and
        are dropped and counted.

    Raises:
        ValueError: If the shapes differ, are not 2-D, or a score is not finite.
    """
    from sklearn.metrics import average_precision_score

    targets, scores = finite_array(targets) != 0, finite_array(scores)
    if targets.shape != scores.shape or targets.ndim != 2:
        raise ValueError(
            "targets and scores must both be (items, classes), got "
            f"{targets.shape} and {scores.shape}"
        )
    per_class = np.full(targets.shape[1], np.nan)
    for index in np.flatnonzero(targets.any(0)):
        per_class[index] = average_precision_score(targets[:, index], scores[:, index])
    present = per_class[~np.isnan(per_class)]
    return AveragePrecision(
        mean=float(present.mean()) if present.size else np.nan,
        per_class=per_class,
        dropped=per_class.size - present.size,
    )
