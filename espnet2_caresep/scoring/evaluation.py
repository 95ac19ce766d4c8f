"""Scores of every item of a test set, for a model and for what stands beside it.

A test set is a data directory: ``wav.scp`` (input), ``enroll_spk1.scp`` (query),
``labels`` and, unless the target is silence, ``spk1.scp`` (reference). The model's
outputs are another ``spk1.scp``. All systems are scored on the same items: those for
which the model gave an output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from espnet2_caresep.data.files import read_table
from espnet2_caresep.inference.audio.recording import read_audio
from espnet2_caresep.network.stft import STFT
from espnet2_caresep.progress import progress
from espnet2_caresep.scoring import baselines, metrics
from espnet2_caresep.scoring.average_precision import mean_average_precision

MODEL = "model"
KINDS = ("mixture", "matched", "clean", "silence")
QUERIES = ("own", "other")

# What can stand beside a model: each takes (input, query, reference, STFT) and gives
# what was separated; waveforms are tensors (samples,).
SYSTEMS: dict[str, Callable] = {
    "constant mask 0.5": lambda mix, query, target, stft: baselines.constant_mask(mix),
    "static mask of the query": lambda mix, query, target, stft: baselines.static_mask(
        mix, query, stft
    ),
    "oracle: ideal ratio mask": lambda mix, query, target, stft: (
        baselines.ideal_ratio_mask(mix, target, stft)
    ),
    "oracle: phase-sensitive mask": lambda mix, query, target, stft: (
        baselines.phase_sensitive_mask(mix, target, stft)
    ),
}


@dataclass(frozen=True)
class Item:
    """One item's scores.

    Attributes:
        test_set: ``<kind>_<query>``, such as mixture_own.
        uid: Its name.
        label: First of its labels.
        system: ``model`` or a key of :data:`SYSTEMS`.
        scores: Name of a score to dB.
    """

    test_set: str
    uid: str
    label: str
    system: str
    scores: dict[str, float]


def score_item(kind: str, mixture, reference, estimate) -> dict[str, float]:
    """The scores that have a meaning for a kind of test set.

    Args:
        kind: "mixture", "matched" (a mixture as well), "clean" (input = reference) or
            "silence" (no reference).
        mixture: Input, (samples,).
        reference: Target, (samples,).
        estimate: What was separated, (samples,).

    Returns:
        Name to dB: silence_sdr, or sdr, si_sdr and uss_sdr, with sdri and si_sdri
        where there is something to improve.
    """
    if kind == "silence":
        return {"silence_sdr": metrics.silence_sdr(mixture, estimate)}
    scores = {
        "sdr": metrics.sdr(reference, estimate),
        "si_sdr": metrics.si_sdr(reference, estimate),
        "uss_sdr": metrics.uss_sdr(reference, estimate),
    }
    if kind in ("mixture", "matched"):
        triple = reference, estimate, mixture
        scores["sdri"] = metrics.sdr_improvement(*triple)
        scores["si_sdri"] = metrics.si_sdr_improvement(*triple)
    return scores


def evaluate_set(
    folder: str | Path,
    outputs: str | Path,
    test_set: str,
    stft: STFT,
    systems: Mapping[str, Callable] = SYSTEMS,
) -> tuple[list[Item], list[str]]:
    """Scores a model's outputs on one test set, baselines and oracles beside them.

    Args:
        folder: The test set.
        outputs: ``spk1.scp`` of the model's outputs.
        test_set: ``<kind>_<query>``.
        stft: The model's spectrogram, on which baselines and oracles live too.
        systems: What stands beside the model.

    Returns:
        The items' scores, system by system within an item, and the uids without an
        output.

    Raises:
        ValueError: If a file is missing or cannot be read, lengths differ, or there is
            no output at all.
    """
    folder, kind = Path(folder), test_set.split("_")[0]
    inputs = read_table(folder / "wav.scp")
    queries = read_table(folder / "enroll_spk1.scp")
    labels = read_table(folder / "labels")
    references = {} if kind == "silence" else read_table(folder / "spk1.scp")
    estimates = read_table(outputs)
    missing = [uid for uid in inputs if uid not in estimates]
    present = [uid for uid in inputs if uid in estimates]
    if not present:
        raise ValueError(f"{outputs}: holds none of the items of {folder} (stage 7)")
    items = []
    for uid in progress(present, f"score {test_set}"):
        mixture = _mono(inputs[uid])
        query = _mono(queries[uid])
        target = torch.zeros_like(mixture)
        if references:
            target = _mono(references[uid])
        outputs_of = {MODEL: _mono(estimates[uid])}
        for name, system in systems.items():
            outputs_of[name] = system(mixture, query, target, stft)
        label = labels[uid].split()[0]
        for name, estimate in outputs_of.items():
            if estimate.shape != mixture.shape or target.shape != mixture.shape:
                raise ValueError(
                    f"{folder}: {uid}: input, reference and output must be equally "
                    f"long, {name} has {len(estimate)} and the input {len(mixture)} "
                    "samples"
                )
            scores = score_item(kind, mixture, target, estimate)
            items.append(Item(test_set, uid, label, name, scores))
    return items, missing


def evaluate_tags(tags: str | Path, labels: str | Path) -> dict:
    """mAP of a tag table against labels.

    Args:
        tags: Table of stage 7: a header ``uid``, class names; rows of probabilities.
        labels: Lines ``uid label [label ...]``.

    Returns:
        ``map``, ``items`` scored, ``classes`` with positives, ``dropped`` classes
        without, ``missing`` labelled items without tags, ``unknown_labels`` that the
        model has no class for, ``per_class`` name to average precision.

    Raises:
        ValueError: If a file cannot be read or no labelled item has tags.
    """
    truth = {uid: set(names.split()) for uid, names in read_table(labels).items()}
    classes, rows = _read_tags(tags)
    uids = [uid for uid in truth if uid in rows]
    if not uids:
        raise ValueError(f"{tags}: holds none of the items of {labels}")
    targets = np.array([[name in truth[uid] for name in classes] for uid in uids])
    result = mean_average_precision(targets, np.array([rows[uid] for uid in uids]))
    return {
        "map": result.mean,
        "items": len(uids),
        "classes": len(classes) - result.dropped,
        "dropped": result.dropped,
        "missing": len(truth) - len(uids),
        "unknown_labels": sorted(set().union(*truth.values()) - set(classes)),
        "per_class": dict(zip(classes, map(float, result.per_class))),
    }


def summarize_items(items: Iterable[Item]) -> dict[str, dict[str, metrics.Summary]]:
    """Groups items by system and ``<test set>/<score>`` and sums each group up."""
    groups: dict[str, dict[str, list[float]]] = {}
    for item in items:
        for name, value in item.scores.items():
            entry = groups.setdefault(item.system, {})
            entry.setdefault(f"{item.test_set}/{name}", []).append(value)
    return {
        system: {name: metrics.summarize(values) for name, values in entry.items()}
        for system, entry in groups.items()
    }


def _mono(path: str) -> torch.Tensor:
    audio = read_audio(path)
    if len(audio.samples) != 1:
        raise ValueError(f"{path}: must have one channel, has {len(audio.samples)}")
    return torch.from_numpy(audio.samples[0])


def _read_tags(path: str | Path) -> tuple[list[str], Mapping[str, list[float]]]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        header, *body = [line.split("\t") for line in lines]
        rows = {uid: [float(p) for p in row] for uid, *row in body}
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{path}: is not a table of tags ({error})") from error
    classes = header[1:]
    if any(len(row) != len(classes) for row in rows.values()):
        raise ValueError(f"{path}: rows and header differ in length")
    return classes, rows
