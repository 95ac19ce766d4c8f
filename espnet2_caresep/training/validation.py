"""Figures of a validation set: of each item while it runs, of the epoch at its end."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from espnet2_caresep.scoring.average_precision import mean_average_precision
from espnet2_caresep.scoring.metrics import sdr, silence_sdr, summarize

SCORES = ("mixture_sdr", "mixture_sdr_other", "clean_sdr", "silence_sdr")


def separation_figures(
    target: Tensor,
    mixture_estimate: Tensor,
    clean_estimate: Tensor,
    other_estimate: Tensor | None = None,
    rest: Tensor | None = None,
    rest_estimate: Tensor | None = None,
) -> list[dict[str, float]]:
    """Scores in dB of each item; see :mod:`espnet2_caresep.scoring.metrics`.

    Args:
        target: (R, N) targets.
        mixture_estimate: (R, N) from the mixture, query from the target itself.
        clean_estimate: (R, N) from the target alone, same query.
        other_estimate: (R, N) from the mixture, query from another clip of the class.
        rest: (R, N) what the mixture holds beside the target.
        rest_estimate: (R, N) from ``rest``, query from the target itself.

    Returns:
        A dictionary per item, with the scores for which there is an estimate. What a
        network that has diverged gives (NaN, infinity) counts as silence.
    """
    columns = {
        "mixture_sdr": sdr(target, _finite(mixture_estimate)),
        "clean_sdr": sdr(target, _finite(clean_estimate)),
    }
    if other_estimate is not None:
        columns["mixture_sdr_other"] = sdr(target, _finite(other_estimate))
    if rest_estimate is not None:
        columns["silence_sdr"] = silence_sdr(rest, _finite(rest_estimate))
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def tagging_figures(labels: Tensor, logits: Tensor) -> list[dict[str, np.ndarray]]:
    """Labels and logits (classes,) of each anchor."""
    labels, logits = labels.cpu().numpy(), _finite(logits.detach()).cpu().numpy()
    return [{"labels": y, "logits": z} for y, z in zip(labels, logits)]


def epoch_scores(items: list[dict]) -> dict[str, float]:
    """Scores of a validation set.

    Args:
        items: Figures of its items.

    Returns:
        Means as :func:`espnet2_caresep.scoring.metrics.summarize` takes them, and ``mAP``;
        without the scores that no item has.
    """
    scores = {}
    for name in SCORES:
        values = [item[name] for item in items if name in item]
        if values:
            scores[name] = summarize(values).mean
    tagged = [item for item in items if "logits" in item]
    if tagged:
        scores["mAP"] = mean_average_precision(
            np.stack([item["labels"] for item in tagged]),
            np.stack([item["logits"] for item in tagged]),
        ).mean
    return scores


def _finite(values: Tensor) -> Tensor:
    return torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
