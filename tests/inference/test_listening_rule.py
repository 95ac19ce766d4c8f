"""A rule that weighs what the model hears: bounded, monotone, and what its signs are."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_caresep.inference.presence.listening_rule import (
    ListeningRule,
    Signs,
    likeness,
    log_expectation,
    spectral_likeness,
)

weight = st.floats(0, 9)


@settings(deadline=None)
@given(
    st.floats(-3, 3),
    st.tuples(weight, weight, weight, weight),
    st.floats(0, 1),
    st.integers(0, 3),
)
def test_scores_are_bounded_and_rise(bias, weights, more, sign):
    rule = ListeningRule(bias, *weights)
    signs = Signs(0.3, 0.2, -3.0, 0.6)
    better = Signs(*(x + more * (i == sign) for i, x in enumerate(signs)))
    assert 0 <= rule.score([signs]) <= rule.score([better]) <= 1
    share, target, mixture, spectrum = weights
    z = bias + 0.3 * share + 0.2 * target - 3 * mixture + 0.6 * spectrum
    assert rule.score([signs]) == pytest.approx(1 / (1 + math.exp(-z)))
    assert rule.score([]) == 0 == ListeningRule(bias=-1e5).score([signs])
    # The best of two counts, at odds of one to the root of two
    two = rule.score([signs, better])
    odds = rule.score([better]) / (1 - rule.score([better])) / math.sqrt(2)
    assert two == rule.score([better, signs]) == pytest.approx(odds / (1 + odds))


@pytest.mark.parametrize(
    "values",
    [
        {"bias": math.nan},
        {"share_weight": -1},
        {"bias": 10**400},
        {"mixture_weight": math.inf},
        {"threshold": 1.5},
        {"threshold": -0.1},
        {"certain": 1.1},
    ],
)
def test_rules_that_cannot_be(values):
    with pytest.raises(ValueError, match="presence needs a bias"):
        ListeningRule(**values)


def test_likeness_is_a_correlation():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 21)).astype(np.float32)
    expected = np.corrcoef(one, other)[0, 1]
    assert likeness(one, other) == pytest.approx(expected, abs=1e-6)
    assert likeness(one, 3 * one - 7) == pytest.approx(1)
    assert likeness(one, -one) == pytest.approx(-1)
    assert likeness(one, np.ones(21)) == 0 == likeness(one[:1], other[:1])


def test_spectra_are_alike_whatever_their_level():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 21)).astype(np.float32)
    a, b = (torch.from_numpy(x).double().exp() for x in (one, other))
    expected = torch.nn.functional.cosine_similarity(a, b, dim=0).item()
    assert spectral_likeness(one, other) == pytest.approx(expected)
    assert spectral_likeness(one, one + 3) == pytest.approx(1)
    apart = np.where(np.arange(21) < 9, one, -np.inf)
    assert spectral_likeness(apart, np.where(np.arange(21) < 9, -np.inf, one)) == 0
    # A model without spectra, and a query that somebody made up
    assert spectral_likeness(one[:0], other[:0]) == 0
    assert spectral_likeness(1e30 * np.abs(one), one) <= 1 + 1e-9


def test_doubt_lies_between_present_and_surely_present():
    rule = ListeningRule(threshold=0.5, certain=0.8)
    scores = (0.4, 0.5, 0.79, 0.8)
    assert [*map(rule.is_present, scores)] == [False, True, True, True]
    assert [*map(rule.is_surely_present, scores)] == [False, False, False, True]
    # A rule that names no such score doubts nothing that it judges present
    assert ListeningRule().is_surely_present(0.5)
    assert not ListeningRule().is_surely_present(0.49)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.5, 1))
def test_stretches_are_measured_by_the_best(one, other, certain):
    rule = ListeningRule(absent=0.1, certain=certain)
    worse, best = sorted([one, other])
    assert 0.01 <= rule.level_beside(worse, best) <= rule.level(worse)
    assert rule.level_beside(best, best) == rule.level(best)
    if worse >= certain:  # beyond doubt, whatever else there is
        assert rule.level_beside(worse, best) == 1
    # A rule that says nothing of doubt, or is not calibrated
    assert ListeningRule(absent=0.1).level_beside(worse, best) == rule.level(worse)
    assert ListeningRule(certain=certain).level_beside(worse, best) == 1


def test_a_class_of_the_query_is_expected_whatever_else_sounds():
    """The mean over classes drawn by the query's probabilities."""
    query, mixture = np.array([1.0, 0.0, -2.0]), np.array([-1.0, 2.0, 0.5])
    wanted, heard = (1 / (1 + np.exp(-x)) for x in (query, mixture))
    expected = math.log(np.average(heard, weights=wanted))
    assert log_expectation(query, mixture) == pytest.approx(expected)
    sure = np.array([9.0, -90.0, -90.0])
    assert log_expectation(sure, np.array([0.0, 9, 9])) == pytest.approx(math.log(0.5))
    least = log_expectation(sure, np.array([-1e30, 9, 9]))
    assert least == pytest.approx(math.log(1e-4))
    assert log_expectation(sure, sure) == pytest.approx(0, abs=1e-3)
