"""Word error rates: texts in, errors and intervals out. No toolkit needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SPOKEN = {
    "0": "zero",
    "1": "one",
    "2": "two",
    "3": "three",
    "4": "four",
    "5": "five",
    "6": "six",
    "7": "seven",
    "8": "eight",
    "9": "nine",
    "#": "pound",
    "*": "star",
}


@dataclass(frozen=True)
class Errors:
    """Of one hypothesis against its reference, in words."""

    words: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def total(self) -> int:
        """All three kinds."""
        return self.substitutions + self.deletions + self.insertions


def spoken_words(text: str) -> list[str]:
    """Words as they are said: lower case, single digits and signs spelled out.

    What stands in brackets is a remark and is not said. Other punctuation is dropped,
    apostrophes stay.
    """
    text = re.sub(r"\([^)]*\)|\[[^]]*\]", " ", text.lower())
    text = re.sub(r"[#*]|(?<!\d)\d(?!\d)", lambda m: f" {SPOKEN[m[0]]} ", text)
    words = re.sub(r"[^\w']+", " ", text).split()
    return [word for word in (w.strip("'_") for w in words) if word]


def count_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> Errors:
    """Fewest word edits that turn the reference into the hypothesis.

    Among alignments with as few edits, one with the most substitutions is counted.

    Args:
        reference: Words that were said.
        hypothesis: Words that were recognised.

    Returns:
        The counts.
    """
    # Each cell: edits, then deletions + insertions, then deletions.
    row = [(j, j, 0) for j in range(len(hypothesis) + 1)]
    for i, word in enumerate(reference, 1):
        above, row = row, [(i, i, i)]
        for j, other in enumerate(hypothesis, 1):
            edits, gaps, deleted = above[j - 1]
            best = (edits + (word != other), gaps, deleted)
            edits, gaps, deleted = above[j]
            best = min(best, (edits + 1, gaps + 1, deleted + 1))
            edits, gaps, deleted = row[j - 1]
            row.append(min(best, (edits + 1, gaps + 1, deleted)))
    edits, gaps, deleted = row[-1]
    return Errors(len(reference), edits - gaps, deleted, gaps - deleted)


def word_error_rate(errors: Sequence[Errors]) -> float:
    """All errors over all words of the references; NaN without words."""
    words = sum(item.words for item in errors)
    return sum(item.total for item in errors) / words if words else float("nan")


def bootstrap_interval(
    errors: Sequence[Errors],
    baseline: Sequence[Errors] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile interval of a word error rate over resampled utterances.

    Args:
        errors: Of each utterance.
        baseline: Of the same utterances under another condition: the interval is then
            that of the difference, errors - baseline, utterances resampled together.
        resamples: How many.
        seed: Of the resampling.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: If there is no utterance, or the two do not belong together.
    """
    if not errors or (baseline is not None and len(baseline) != len(errors)):
        raise ValueError("a bootstrap needs utterances, the same in both conditions")
    words = np.array([item.words for item in errors])
    wrong = np.array([item.total for item in errors])
    if baseline is not None:
        wrong = wrong - np.array([item.total for item in baseline])
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(words), size=(resamples, len(words)))
    rates = wrong[drawn].sum(1) / np.maximum(words[drawn].sum(1), 1)
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)
