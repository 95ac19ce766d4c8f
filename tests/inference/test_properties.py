"""Whatever is given: the mixture's shape comes back and adds up, or one line says why."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from espnet2_caresep.inference import CaRESeparator

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck)
)
DTYPES = ["f2", "f4", "f8", ">f4", "i2", "u1", "c8", "?", "O"]
TENSORS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int16]


@pytest.fixture(scope="module")
def separator(tiny_model):
    return CaRESeparator.from_pretrained(tiny_model, "cpu")


@pytest.fixture(scope="module")
def query(separator):
    noise = np.random.default_rng(0).uniform(-1, 1, 9000).astype(np.float32)
    return separator.query(noise, 32000)


def _holds(separator, query, mixture, rate):
    """Separates; returns whether the mixture was used."""
    try:
        found = separator.separate(mixture, query, rate)
    except ValueError as error:
        assert str(error) and "\n" not in str(error)
        return False
    for part in (found.target, found.residual):
        assert part.shape == tuple(mixture.shape) and part.dtype == np.float32
        assert np.isfinite(part).all()
    if hasattr(mixture, "detach"):
        mixture = mixture.float().numpy()
    mixture = mixture.astype(np.float32)
    gap = np.abs(found.target + found.residual - mixture)
    bound = np.abs(mixture) + np.abs(found.target) + np.abs(found.residual)
    assert (gap <= bound * 2**-22).all()
    assert found.sample_rate == rate and 0 <= found.presence <= 1
    return True


@quick
@given(
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=2500),
    st.sampled_from(DTYPES),
    st.sampled_from([0, -5, 999, 1000, 8000, 11025, 32000, 96000, 1_000_001]),
    st.integers(0, 99),
)
def test_any_array(separator, query, shape, dtype, rate, seed):
    if np.prod(shape, dtype=float) > 2e5:
        shape = shape[-1:]
    rng = np.random.default_rng(seed)
    mixture = np.asarray(rng.uniform(-1, 1, shape)).astype(dtype)
    used = _holds(separator, query, mixture, rate)
    flat = len(shape) == 1 or (len(shape) == 2 and 0 < shape[0] <= max(64, shape[1]))
    usable = dtype in ("f2", "f4", "f8", ">f4") and 1000 <= rate <= 1_000_000 and flat
    long_enough = bool(shape) and shape[-1] * 32000 > 1025 * rate
    if usable and long_enough:
        assert used
    if used:
        assert usable


@quick
@given(
    st.integers(1, 4),
    st.integers(1, 9000),
    st.sampled_from(TENSORS),
    st.booleans(),
)
def test_any_tensor(separator, query, channels, length, dtype, needs_grad):
    torch.manual_seed(length)
    mixture = (2 * torch.rand(channels, length) - 1).to(dtype)
    if needs_grad and dtype.is_floating_point:
        mixture.requires_grad_()
    usable = dtype.is_floating_point and length >= max(1024, channels)
    assert _holds(separator, query, mixture.detach(), 32000) == usable
    if usable and needs_grad:
        assert separator.separate(mixture, query, 32000).target.shape == mixture.shape


@quick
@given(st.floats(-300, 300), st.integers(0, 9))
def test_any_level(separator, query, level_db, seed):
    """Also far beyond what float32 can square: used, or refused in one line."""
    rng = np.random.default_rng(seed)
    mixture = (rng.uniform(-1, 1, 5000) * 10 ** (level_db / 20)).astype(np.float32)
    used = _holds(separator, query, mixture, 32000)
    assert used or abs(level_db) > 200


@quick
@given(st.permutations(range(4)))
def test_channels_do_not_know_of_each_other(separator, query, order):
    rng = np.random.default_rng(0)
    mixture = rng.uniform(-1, 1, (4, 4000)).astype(np.float32)
    found = separator.separate(mixture, query, 32000).target
    other = separator.separate(mixture[list(order)], query, 32000).target
    assert np.allclose(other, found[list(order)], atol=1e-5)


def test_views_that_are_not_contiguous(separator, query):
    rng = np.random.default_rng(0)
    wide = rng.uniform(-1, 1, (8000, 4)).astype(np.float32)
    view = wide[::2, 1:3].T
    before = wide.copy()
    found = separator.separate(view, query, 32000)
    copied = separator.separate(view.copy(), query, 32000)
    assert np.array_equal(found.target, copied.target)
    assert np.array_equal(wide, before)  # what is given is left as it is
