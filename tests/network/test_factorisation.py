"""Non-negative matrix factorisation against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import non_negative_factorization

from espnet2_caresep.network.factorisation import (
    Factors,
    factorise,
    unit_sum,
    update,
)

FRAMES, BINS, COUNT = 30, 50, 4


def _magnitude(seed: int = 0) -> torch.Tensor:
    return (
        torch.rand(1, FRAMES, BINS, generator=torch.Generator().manual_seed(seed)) * 2
    )


def _product(factors: Factors) -> torch.Tensor:
    return factors.activations @ factors.spectra


def _reference(magnitude, start: Factors, updates: int, fixed: bool) -> np.ndarray:
    activations, spectra, _ = non_negative_factorization(
        magnitude[0].double().numpy(),
        start.activations[0].double().numpy().copy(),
        start.spectra[0].double().numpy().copy(),
        n_components=COUNT,
        init="custom",
        update_H=not fixed,
        solver="mu",
        beta_loss="kullback-leibler",
        tol=0,
        max_iter=updates,
    )
    return activations @ spectra


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:When update_H=False")
@pytest.mark.parametrize("fixed", [False, True])
def test_updates_are_those_of_scikit_learn(fixed):
    magnitude = _magnitude()
    # Where spectra are fixed, scikit-learn starts from the same activation everywhere
    even = torch.full((1, FRAMES, COUNT), float((magnitude.mean() / COUNT).sqrt()))
    start = Factors(even, factorise(magnitude, COUNT, 0).spectra)
    found = update(magnitude, start, 12, COUNT if fixed else 0)
    expected = _reference(magnitude, start, 12, fixed)
    np.testing.assert_allclose(_product(found)[0].numpy(), expected, rtol=1e-4)
    if fixed:
        assert torch.equal(found.spectra, start.spectra)


def test_leading_spectra_stay_and_the_others_explain_the_rest():
    """Frames of a known spectrum and of an unknown one, each with its own course."""
    known, unknown = torch.zeros(2, BINS).unbind()
    known[:20], unknown[15:40] = 1.0, 2.0
    course = torch.rand(2, FRAMES, 1, generator=torch.Generator().manual_seed(1))
    magnitude = (course[0] * known + course[1] * unknown)[None]
    start = factorise(magnitude, 2, 0)
    spectra = torch.cat([unit_sum(known)[None, None], start.spectra[:, 1:]], 1)
    found = update(magnitude, Factors(start.activations, spectra), 300, fixed=1)
    assert torch.equal(found.spectra[:, :1], spectra[:, :1])
    of_known = found.activations[..., :1] @ found.spectra[:, :1]
    expected = (course[0] * known)[None]
    assert (of_known - expected).norm() < 0.05 * expected.norm()


def test_the_start_is_the_same_each_time_and_levels_scale_through():
    magnitude = _magnitude(2)
    first, second = factorise(magnitude, COUNT, 5), factorise(magnitude, COUNT, 5)
    assert torch.equal(first.spectra, second.spectra)
    loud = factorise(1000 * magnitude, COUNT, 5)
    torch.testing.assert_close(
        _product(loud), 1000 * _product(first), rtol=1e-4, atol=0
    )


def test_silence_stays_silent():
    found = factorise(torch.zeros(2, FRAMES, BINS), COUNT, 5)
    assert torch.equal(_product(found), torch.zeros(2, FRAMES, BINS))
    assert torch.equal(unit_sum(torch.zeros(3, BINS)), torch.zeros(3, BINS))
