"""Scores the presence of queries while their mixture is separated, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from espnet2_caresep.inference.listening_rule import (
    ListeningRule,
    Signs,
    likeness,
    log_expectation,
)
from espnet2_caresep.inference.presence import PresenceMeter, PresenceRule
from espnet2_caresep.inference.telling_stretch import TellingStretch


class ShareJudge:
    """Judges by shares of energy alone.

    Args:
        rule: The model's.
        queries: Number of queries.
        sample_rate: Rate of the mixture in Hz.
    """

    def __init__(self, rule: PresenceRule, queries: int, sample_rate: int):
        self.rule = rule
        self._meter = PresenceMeter(sample_rate, queries)

    def update(self, mixture: np.ndarray, targets: np.ndarray) -> None:
        """Takes the next mixture (channels, n) and targets (queries, channels, n)."""
        self._meter.update(mixture, targets)

    def scores(self) -> list[float]:
        """Presence of each query, 0..1."""
        return [self.rule.score(share) for share in self._meter.shares_db()]


class ListeningJudge:
    """Judges by the tags of what was separated, too.

    Nothing is tagged before it is asked. However long the recording, that is one stretch
    of a segment for each query, target and mixture; queries with the same stretch share
    the latter.

    Args:
        rule: The model's.
        tags: (queries, classes) class logits of the queries.
        length: Samples of a stretch.
        hear: Pieces (samples,) at the mixture's rate, at most a stretch -> their class
            logits (pieces, classes).
    """

    def __init__(
        self,
        rule: ListeningRule,
        tags: np.ndarray,
        length: int,
        hear: Callable[[Sequence[np.ndarray]], np.ndarray],
    ):
        self.rule, self._tags, self._hear = rule, tags, hear
        self._stretches = TellingStretch(length, len(tags))

    def update(self, mixture: np.ndarray, targets: np.ndarray) -> None:
        """Takes the next mixture (channels, n) and targets (queries, channels, n)."""
        self._stretches.update(mixture, targets)

    def scores(self) -> list[float]:
        """Presence of each query, 0..1."""
        return [self.rule.score(signs) for signs in self.signs()]

    def signs(self) -> list[Signs | None]:
        """What speaks for each query; None if its target is silent."""
        best = self._stretches.best()
        chosen = {i: stretch for i, stretch in enumerate(best) if stretch is not None}
        mixtures = {stretch.index: stretch.mixture for stretch in chosen.values()}
        targets = [stretch.target for stretch in chosen.values()]
        heard = self._hear([*targets, *mixtures.values()]) if chosen else []
        of_target = dict(zip(chosen, heard))
        of_mixture = dict(zip(mixtures, heard[len(targets) :]))
        signs: list[Signs | None] = [None] * len(best)
        for i, stretch in chosen.items():
            signs[i] = Signs(
                stretch.share,
                likeness(self._tags[i], of_target[i]),
                log_expectation(self._tags[i], of_mixture[stretch.index]),
            )
        return signs
