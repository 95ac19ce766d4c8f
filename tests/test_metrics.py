"""Scores against museval, scikit-learn, naive loops and the written edge rules."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from espnet2_caresep.scoring import metrics
from espnet2_caresep.scoring.average_precision import mean_average_precision


def _museval():
    """museval's metrics module alone: importing the package asks for ffmpeg."""
    found = importlib.util.find_spec("museval")
    if found is None:
        pytest.skip("museval is not installed")
    path = Path(found.origin).parent / "metrics.py"
    spec = importlib.util.spec_from_file_location("museval_metrics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _pair(seed, distortion=0.3, samples=4000):
    rng = np.random.default_rng(seed)
    reference = rng.standard_normal(samples) * np.hanning(samples)
    return reference, reference + distortion * rng.standard_normal(samples)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s + 0.1 * np.roll(s, 17),
        lambda s: 0.5 * s,
        lambda s: np.roll(s, 3),
        lambda s: s + 1e-4 * np.random.default_rng(1).standard_normal(s.size),
        lambda s: np.random.default_rng(2).standard_normal(s.size),
        lambda s: -30 * s,
    ],
    ids=["echo", "half gain", "delay", "80 dB", "unrelated", "loud"],
)
def test_sdr_equals_museval(change):
    reference, _ = _pair(0)
    estimate = change(reference)
    expected, *_ = _museval().bss_eval(
        reference[None, :, None],
        estimate[None, :, None],
        window=np.inf,
        hop=np.inf,
        compute_permutation=False,
        filters_len=512,
        framewise_filters=False,
        bsseval_sources_version=False,
    )
    assert metrics.sdr(reference, estimate) == pytest.approx(expected.item(), abs=1e-3)


def test_scores_equal_naive_loops():
    reference, estimate = _pair(3, samples=300)
    mixture = reference + _pair(4, samples=300)[0]

    def naive_si(s, e):
        a = sum(x * y for x, y in zip(s, e)) / sum(x * x for x in s)
        up = sum((a * x) ** 2 for x in s)
        return 10 * np.log10(up / sum((a * x - y) ** 2 for x, y in zip(s, e)))

    def naive_sdr(s, e):
        return 10 * np.log10(
            sum(x * x for x in s) / sum((x - y) ** 2 for x, y in zip(s, e))
        )

    close = pytest.approx
    assert metrics.sdr(reference, estimate) == close(naive_sdr(reference, estimate))
    assert metrics.uss_sdr(reference, estimate) == close(naive_sdr(reference, estimate))
    assert metrics.si_sdr(reference, estimate) == close(naive_si(reference, estimate))
    assert metrics.sdr_improvement(reference, estimate, mixture) == close(
        naive_sdr(reference, estimate) - naive_sdr(reference, mixture)
    )
    assert metrics.si_sdr_improvement(reference, estimate, mixture) == close(
        naive_si(reference, estimate) - naive_si(reference, mixture)
    )
    assert metrics.silence_sdr(mixture, estimate) == close(
        10 * np.log10(sum(x * x for x in mixture) / sum(x * x for x in estimate))
    )


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_scale_rules(gain, level):
    reference, estimate = _pair(5, samples=200)
    free = metrics.si_sdr(reference, estimate)
    assert metrics.si_sdr(level * reference, gain * estimate) == pytest.approx(free)
    both = metrics.sdr(level * reference, level * estimate)
    assert both == pytest.approx(metrics.sdr(reference, estimate))


def test_tensors_batches_and_gradients():
    reference = torch.randn(2, 3, 100, requires_grad=True)
    estimate = torch.randn(2, 3, 100, dtype=torch.float64)
    score = metrics.sdr(reference, estimate)
    assert score.shape == (2, 3)
    alone = metrics.sdr(reference[1, 2].detach().numpy(), estimate[1, 2].numpy())
    assert isinstance(alone, float) and score[1, 2] == pytest.approx(alone)


def test_zero_reference_is_undefined():
    zeros, noise = np.zeros(50), np.ones(50)
    for estimate in (zeros, noise):
        assert np.isnan(metrics.sdr(zeros, estimate))
        assert np.isnan(metrics.si_sdr(zeros, estimate))


def test_zero_estimate_is_a_bad_answer():
    reference, _ = _pair(6)
    zeros = np.zeros_like(reference)
    assert metrics.sdr(reference, zeros) == 0
    assert metrics.si_sdr(reference, zeros) == -np.inf
    assert metrics.si_sdr(np.array([1.0, 0]), np.array([0.0, 1])) == -np.inf


def test_identity_is_infinite_and_has_no_improvement():
    reference, _ = _pair(7)
    assert metrics.sdr(reference, reference) == np.inf
    assert metrics.sdr(-reference, -reference) == np.inf
    assert np.isnan(metrics.sdr_improvement(reference, reference, reference))
    assert metrics.uss_sdr(np.ones(9), np.ones(9)) == pytest.approx(100)


def test_silence_sdr_floors():
    ones, zeros = np.ones(100), np.zeros(100)
    assert metrics.silence_sdr(ones, zeros) == pytest.approx(80)
    assert metrics.silence_sdr(zeros, zeros) == 0
    assert metrics.silence_sdr(1e-5 * ones, zeros) == 0
    assert metrics.silence_sdr(ones, 10 * ones) == pytest.approx(-20)
    # The paper's silence-SDR of 17.72 dB is a residual gain of 0.13.
    assert metrics.silence_sdr(ones, 0.13 * ones) == pytest.approx(17.72, abs=0.005)


def test_summary_rules():
    summary = metrics.summarize([1.0, 3.0, np.inf, np.nan, -np.inf])
    assert (summary.items, summary.undefined, summary.infinite) == (5, 1, 2)
    assert summary.infinite_share == 0.5
    assert summary.mean == pytest.approx((1 + 3 - 100) / 3)
    assert summary.median == 2
    assert metrics.summarize([np.inf, np.inf, 1]).median == np.inf
    empty = metrics.summarize([np.nan])
    assert empty.items == 1 and np.isnan(empty.mean) and np.isnan(empty.median)
    assert np.isnan(metrics.summarize([]).infinite_share)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="finite"):
        metrics.sdr(np.array([1.0, np.nan]), np.ones(2))
    with pytest.raises(ValueError, match="same shape"):
        metrics.sdr(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="at least one sample"):
        metrics.sdr(np.ones(0), np.ones(0))
    with pytest.raises(ValueError, match=r"\(items, classes\)"):
        mean_average_precision(np.ones((2, 3)), np.ones((2, 2)))


def test_map_equals_scikit_learn_and_drops_empty_classes():
    rng = np.random.default_rng(8)
    targets = rng.random((60, 7)) < 0.2
    targets[:, [2, 5]] = False
    scores = np.round(rng.random((60, 7)), 1)  # ties
    result = mean_average_precision(targets, torch.tensor(scores))
    kept = [0, 1, 3, 4, 6]
    assert result.dropped == 2
    assert np.isnan(result.per_class[[2, 5]]).all()
    assert result.mean == pytest.approx(
        average_precision_score(targets[:, kept], scores[:, kept], average="macro")
    )


def test_average_precision_by_hand():
    # Ranked +, -, +: precision 1 at the first hit and 2/3 at the second.
    result = mean_average_precision([[1], [0], [1]], [[0.9], [0.8], [0.1]])
    assert result.mean == pytest.approx((1 + 2 / 3) / 2)
    assert np.isnan(mean_average_precision([[0]], [[1.0]]).mean)
