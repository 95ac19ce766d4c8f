"""The divergence estimate against Gaussians, whose divergence is known."""

import numpy as np
import pytest

from espnet2_caresep.scoring.divergence import (
    MIN_CLIPS,
    class_divergence,
    dimensions,
    knn_divergence,
    project,
)


def gaussian_divergence(mean1, cov1, mean2, cov2):
    """D(P || Q) of two Gaussians in closed form."""
    shift, inverse = mean2 - mean1, np.linalg.inv(cov2)
    volumes = np.linalg.slogdet(cov2)[1] - np.linalg.slogdet(cov1)[1]
    spread = np.trace(inverse @ cov1) + shift @ inverse @ shift
    return (spread - len(mean1) + volumes) / 2


@pytest.mark.parametrize("dims", [1, 2, 4])
def test_many_samples_give_the_divergence_of_gaussians(dims):
    rng = np.random.default_rng(0)
    mean1, mean2 = np.zeros(dims), np.full(dims, 1 / np.sqrt(dims))
    cov1, cov2 = np.eye(dims), np.diag(np.linspace(0.7, 1.3, dims))
    p = rng.multivariate_normal(mean1, cov1, 2000)
    q = rng.multivariate_normal(mean2, cov2, 1500)
    for (a, b), known in (
        ((p, q), gaussian_divergence(mean1, cov1, mean2, cov2)),
        ((q, p), gaussian_divergence(mean2, cov2, mean1, cov1)),
    ):
        assert knn_divergence(a, b) == pytest.approx(known, abs=0.12)


def test_the_figures_of_one_sample_by_hand():
    # Nearest neighbours on a line: rho 1, 1, 2; nu 4, 3, 1; d = 1, n = 3, m = 2.
    p, q = np.array([[0.0], [1.0], [3.0]]), np.array([[4.0], [9.0]])
    by_hand = (np.log(4) + np.log(3) + np.log(1 / 2)) / 3 + np.log(2 / 2)
    assert knn_divergence(p, q, k=1) == pytest.approx(by_hand)


def test_seventy_clips_of_one_class_differ_by_chance_alone():
    rng = np.random.default_rng(0)
    spread = 1 / np.arange(1, 101)
    found = [
        class_divergence(*(rng.standard_normal((2, 70, 100)) * spread), seed)
        for seed in range(8)
    ]
    assert abs(np.mean([d.mean for d in found])) < 0.15
    for d in found:
        assert abs(d.chance) < 0.15 and abs(d.mean - d.chance) < 4 * d.chance_std


def test_farther_classes_have_a_larger_divergence():
    rng = np.random.default_rng(0)
    p, q = rng.standard_normal((2, 70, 50))
    means = []
    for shift in (0, 2, 4, 8):
        d = class_divergence(p, q + shift * np.eye(50)[0], 0)
        assert d.mean == pytest.approx((d.forward + d.backward) / 2)
        means.append(d.mean)
    assert means == sorted(means) and means[-1] > 4 and means[0] < 0.5


def test_neither_place_nor_scale_nor_rotation_matter():
    rng = np.random.default_rng(0)
    p, q = rng.standard_normal((2, 20, 30))
    q[:, 0] += 2
    turn = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    moved = [100 + 7 * x @ turn for x in (p, q)]
    assert class_divergence(p, q, 1) == pytest.approx(class_divergence(*moved, 1))
    assert class_divergence(p, q, 1) != class_divergence(p, q, 2)  # other deals


def test_projection_keeps_the_largest_spread():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((40, 6)) * [1, 9, 2, 0.1, 5, 0.1]
    places = project(points, 2)
    assert np.abs(np.corrcoef(places[:, 0], points[:, 1])[0, 1]) > 0.99
    assert np.abs(np.corrcoef(places[:, 1], points[:, 4])[0, 1]) > 0.95


def test_few_clips_are_compared_in_few_dimensions():
    assert [dimensions(n, 90) for n in (8, 19, 32, 70)] == [2, 4, 8, 8]
    with pytest.raises(ValueError, match=f"needs {MIN_CLIPS} clips .* not 7"):
        dimensions(50, 7)


def test_equal_clips_are_refused():
    points = np.random.default_rng(0).standard_normal((10, 2))
    points[:5] = 0
    with pytest.raises(ValueError, match="more than 3 clips have the same embedding"):
        knn_divergence(points, points)
