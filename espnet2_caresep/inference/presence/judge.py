"""Scores the presence of queries while their mixture is separated, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from espnet2_caresep.inference.presence.listening_rule import (
    ListeningRule,
    Signs,
    likeness,
    log_expectation,
)
from espnet2_caresep.inference.presence.share_rule import PresenceMeter, ShareRule
from espnet2_caresep.inference.presence.telling_stretches import TellingStretches


class ShareJudge:
    """Judges by shares of energy alone.

    Args:
        rule: The model's.
        queries: Number of queries.
        sample_rate: Rate of the mixture in Hz.
    """

    def __init__(self, rule: ShareRule, queries: int, sample_rate: int):
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

    Nothing is tagged before it is asked. However long the recording, that is at most two
    stretches of a segment for each query, target and mixture; queries with the same
    stretch share the latter.

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
        self._stretches = TellingStretches(length, len(tags))

    def update(self, mixture: np.ndarray, targets: np.ndarray) -> None:
        """Takes the next mixture (channels, n) and targets (queries, channels, n)."""
        self._stretches.update(mixture, targets)

    def scores(self) -> list[float]:
        """Presence of each query, 0..1."""
        return [self.rule.score(signs) for signs in self.signs()]

    def signs(self) -> list[list[Signs]]:
        """What speaks for each query in each of its stretches, if it has any."""
        best = self._stretches.best()
        chosen = [(i, stretch) for i, found in enumerate(best) for stretch in found]
        mixtures = {stretch.index: stretch.mixture for _, stretch in chosen}
        targets = [stretch.target for _, stretch in chosen]
        heard = self._hear([*targets, *mixtures.values()]) if chosen else []
        of_mixture = dict(zip(mixtures, heard[len(targets) :]))
        signs: list[list[Signs]] = [[] for _ in best]
        for (i, stretch), of_target in zip(chosen, heard):
            signs[i].append(
                Signs(
                    stretch.share,
                    likeness(self._tags[i], of_target),
                    log_expectation(self._tags[i], of_mixture[stretch.index]),
                )
            )
        return signs
