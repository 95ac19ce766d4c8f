"""Scores the presence of queries while their mixture is separated, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from espnet2_caresep.inference.audio.recording import SILENCE_POWER
from espnet2_caresep.inference.presence.fade import Fade
from espnet2_caresep.inference.presence.listening_rule import (
    ListeningRule,
    Signs,
    likeness,
    log_expectation,
    spectral_likeness,
)
from espnet2_caresep.inference.presence.share_rule import PresenceMeter, ShareRule
from espnet2_caresep.inference.presence.stretches import Stretches
from espnet2_caresep.inference.results import Query
from espnet2_caresep.network.query_layout import QueryLayout


class Verdict(NamedTuple):
    """Whether a wanted sound is there.

    Attributes:
        presence: Score, 0..1.
        fade: How far its stem is turned down where it seems not to be.
    """

    presence: float
    fade: Fade


class ShareJudge:
    """Judges by shares of energy alone, and all of a recording alike.

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

    def verdicts(self) -> list[Verdict]:
        """One for each query."""
        scores = [self.rule.score(share) for share in self._meter.shares_db()]
        return [Verdict(score, Fade(self.rule.level(score))) for score in scores]


class ListeningJudge:
    """Judges by what the model hears in each stretch of target and mixture.

    Args:
        rule: The model's.
        queries: What is wanted.
        layout: What the numbers of an embedding are.
        length: Samples of a stretch.
        hear: Pieces (samples,) at the mixture's rate, at most a stretch -> what they
            would be as queries.
    """

    def __init__(
        self,
        rule: ListeningRule,
        queries: Sequence[Query],
        layout: QueryLayout,
        length: int,
        hear: Callable[[Sequence[np.ndarray]], Sequence[Query]],
    ):
        self.rule, self._queries, self._hear = rule, queries, hear
        self._spectrum = slice(layout.pooled, layout.pooled + layout.bins)
        self._stretches = Stretches(length, len(queries))
        # Of each stretch, (queries, 4) signs; NaN where the target is silent
        self._heard: list[np.ndarray] = []

    def update(self, mixture: np.ndarray, targets: np.ndarray) -> None:
        """Takes the next mixture (channels, n) and targets (queries, channels, n)."""
        for rows in self._stretches.update(mixture, targets):
            self._heard.append(self._listen(rows))

    def verdicts(self) -> list[Verdict]:
        """One for each query."""
        return [self._judge(column) for column in self._columns()]

    def signs(self) -> list[list[Signs]]:
        """What speaks for each query in the stretches in which its target is."""
        return [_told(column) for column in self._columns()]

    def _columns(self) -> list[list[list[float]]]:
        """Of each query: what was heard in each stretch."""
        rest = self._stretches.rest()
        rows = self._heard if rest is None else [*self._heard, self._listen(rest)]
        return np.stack(rows, 1).tolist() if rows else [[] for _ in self._queries]

    def _judge(self, column: list[list[float]]) -> Verdict:
        rule = self.rule
        score = rule.score(_told(column))
        level = rule.level(score)
        alone = [rule.score(_told([heard])) for heard in column]
        best = max(alone, default=0.0)
        gains = tuple(min(level, rule.level_beside(one, best)) for one in alone)
        return Verdict(score, Fade(level, self._stretches.length, gains))

    def _listen(self, rows: np.ndarray) -> np.ndarray:
        mixture, *targets = rows
        energy, energies = _energy(mixture), [*map(_energy, targets)]
        found = np.full((len(targets), len(Signs._fields)), np.nan)
        loud = [i for i, x in enumerate(energies) if x > mixture.size * SILENCE_POWER]
        if not loud:
            return found
        *of_targets, of_mixture = self._hear([*(targets[i] for i in loud), mixture])
        for i, target in zip(loud, of_targets):
            # Channels may cancel out: the mixture can be less than its target
            whole, query = max(energy, energies[i]), self._queries[i]
            spectra = (x.embedding[self._spectrum] for x in (query, target))
            found[i] = (
                energies[i] / whole,
                likeness(query.tags, target.tags),
                log_expectation(query.tags, of_mixture.tags),
                spectral_likeness(*spectra),
            )
        return found


def _told(column: list[list[float]]) -> list[Signs]:
    """Signs of the stretches in which a target is not silent."""
    return [Signs(*signs) for signs in column if not math.isnan(signs[0])]


def _energy(samples: np.ndarray) -> float:
    return float(np.square(samples, dtype=np.float64).sum())
