"""The presence score: monotone, bounded, and about the loudest share."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_caresep.inference.presence.share_rule import PresenceMeter, ShareRule


def _shares(mixture, targets, rate=1000, cuts=()):
    meter = PresenceMeter(rate, len(targets))
    edges = [0, *cuts, mixture.shape[-1]]
    for a, b in pairwise(edges):
        meter.update(mixture[:, a:b], targets[..., a:b])
    return meter.shares_db()


def test_a_sound_of_one_second_in_a_minute_counts():
    rng = np.random.default_rng(0)
    mixture = rng.standard_normal((1, 60000)).astype(np.float32)
    target = 0.01 * mixture
    target[:, 30000:31000] = mixture[:, 30000:31000]
    quiet = 0.01 * mixture
    shares = _shares(mixture, np.stack([target, quiet, 0 * mixture]))
    assert shares == [pytest.approx(0), pytest.approx(-40, abs=0.01), -math.inf]
    rule = ShareRule()
    assert [rule.is_present(rule.score(s)) for s in shares] == [True, False, False]


def test_near_silence_says_nothing():
    """Where the mixture is 60 dB down, a share of all is no sign of a sound."""
    mixture = np.ones((1, 4000), np.float32)
    mixture[:, 2000:] = 0.001
    target = np.where(mixture == 1, 0.1, mixture).astype(np.float32)
    assert _shares(mixture, target[None]) == [pytest.approx(-20)]
    assert _shares(0 * mixture, target[None]) == [-math.inf]


@settings(deadline=None)
@given(st.lists(st.integers(0, 5300), max_size=6).map(sorted))
def test_blocks_change_nothing(cuts):
    rng = np.random.default_rng(1)
    mixture = rng.standard_normal((2, 5300))
    targets = rng.uniform(0, 1, (3, 1, 5300)) * mixture
    assert _shares(mixture, targets, cuts=cuts) == pytest.approx(
        _shares(mixture, targets), abs=1e-9
    )


@settings(deadline=None)
@given(
    st.floats(-300, 60),
    st.floats(0, 50),
    st.floats(-60, 0),
    st.floats(0.1, 20),
)
def test_scores_are_bounded_and_rise(share, more, midpoint, width):
    rule = ShareRule(midpoint, width)
    assert 0 <= rule.score(share) <= rule.score(share + more) <= 1
    assert rule.score(midpoint) == 0.5 and rule.score(-math.inf) == 0


def test_stems_fade_from_judged_absent_to_surely_absent():
    rule = ShareRule(threshold=0.5, absent=0.1)
    assert [rule.level(score) for score in (1.0, 0.5)] == [1, 1]
    assert rule.level(0.3) == pytest.approx(0.25)  # half of the way, -12 dB
    assert [rule.level(score) for score in (0.1, 0.05, 0.0)] == [0.01] * 3
    # Nothing between, and no calibration
    assert ShareRule(threshold=0.5, absent=0.5).level(0.49) == 0.01
    assert ShareRule(threshold=0.5, absent=0.0).level(0.0) == 1


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
    st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
)
def test_levels_are_bounded_and_rise(thresholds, scores):
    absent, threshold = thresholds
    rule = ShareRule(threshold=threshold, absent=absent)
    low, high = map(rule.level, scores)
    assert 0.01 <= low <= high <= 1


@pytest.mark.parametrize(
    "values",
    [
        {"width_db": 0},
        {"threshold": 2},
        {"midpoint_db": math.nan},
        {"width_db": 10**400},
    ],
)
def test_rules_that_cannot_be(values):
    with pytest.raises(ValueError, match="presence needs"):
        ShareRule(**values)
