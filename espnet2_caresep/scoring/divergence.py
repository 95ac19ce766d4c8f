"""Kullback-Leibler divergence between two classes of embeddings, from few clips.

The paper gives divergences (figure 3) but no estimator. The one here compares distances
to the k-th neighbour (Wang, Kulkarni and Verdu, "Divergence estimation for
multidimensional densities via k-nearest-neighbor distances", 2009). It assumes no shape
of the classes, and nearly no bias where they are alike; a Gaussian fitted to 70 clips
finds nats between halves of one class. In hundreds of dimensions any estimator drowns
in noise, so the embeddings are first projected on the leading principal components of
both classes together; what is left out can only make the divergence smaller.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NEIGHBOUR = 3  # less spread than the first neighbour, little more bias
MAX_DIMS = 8
CLIPS_PER_DIM = 4  # of the smaller class
MIN_CLIPS = 2 * CLIPS_PER_DIM  # a plane at least, and more clips than neighbours
SHUFFLES = 100


class Divergence(NamedTuple):
    """Divergences of two classes P and Q in nats.

    An estimate may be a little below 0. Classes that do not touch have estimates that
    grow with the logarithm of their distance only: read large ones as lower bounds.
    """

    forward: float  # D(P || Q)
    backward: float  # D(Q || P)
    mean: float  # of the two
    chance: float  # what the mean is when clips are dealt to the classes at random
    chance_std: float


def class_divergence(p: np.ndarray, q: np.ndarray, seed: int) -> Divergence:
    """Divergences between two classes of embeddings, and what chance would give.

    Args:
        p: (n, E) embeddings of one class.
        q: (m, E) of the other.
        seed: Seed of the random deals.

    Raises:
        ValueError: If a class has fewer than ``MIN_CLIPS`` embeddings, or more than
            ``NEIGHBOUR`` equal ones.
    """
    points = project(np.concatenate([p, q]), dimensions(len(p), len(q)))
    ours = points[: len(p)], points[len(p) :]
    forward, backward = knn_divergence(*ours), knn_divergence(*ours[::-1])
    rng = np.random.default_rng(seed)
    dealt = []
    for _ in range(SHUFFLES):
        order = rng.permutation(len(points))
        halves = points[order[: len(p)]], points[order[len(p) :]]
        dealt.append((knn_divergence(*halves) + knn_divergence(*halves[::-1])) / 2)
    mean = (forward + backward) / 2
    return Divergence(forward, backward, mean, np.mean(dealt), np.std(dealt))


def dimensions(n: int, m: int) -> int:
    """Principal components that classes of ``n`` and ``m`` clips are compared in."""
    if min(n, m) < MIN_CLIPS:
        raise ValueError(
            f"a class needs {MIN_CLIPS} clips for its divergence, not {min(n, m)}"
        )
    return min(MAX_DIMS, min(n, m) // CLIPS_PER_DIM)


def project(points: np.ndarray, dims: int) -> np.ndarray:
    """Points (n, E) -> (n, dims) on their leading principal components."""
    centred = points.astype(np.float64) - points.mean(0, dtype=np.float64)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:dims].T


def knn_divergence(p: np.ndarray, q: np.ndarray, k: int = NEIGHBOUR) -> float:
    """Estimate of D(P || Q) in nats from samples.

    d / n * sum of log(nu / rho) + log(m / (n - 1)), where rho is the distance of a
    sample of P to its k-th neighbour in P and nu that to its k-th neighbour in Q.

    Args:
        p: (n, d) samples of P, n > k.
        q: (m, d) samples of Q, m >= k.
        k: Which neighbour.

    Raises:
        ValueError: If there are more than ``k`` equal samples.
    """
    rho = np.partition(_distances(p, p), k, axis=1)[:, k]  # the 0-th is the sample
    nu = np.partition(_distances(p, q), k - 1, axis=1)[:, k - 1]
    if not (rho.all() and nu.all()):
        raise ValueError(f"more than {k} clips have the same embedding")
    return float(p.shape[1] * np.mean(np.log(nu / rho)) + np.log(len(q) / (len(p) - 1)))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a[:, None] - b[None], axis=-1)
