import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet2_caresep.training.losses import CaRESepLoss, negative_sdr


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@given(st.floats(-20, 25))
def test_sdr_below_the_threshold_is_the_plain_sdr(decibels):
    target, error = noise(1, 4000), noise(1, 4001)[:, :4000]
    error = error / error.norm() * target.norm() * 10 ** (-decibels / 20)
    loss = negative_sdr(target + error, target, 2 * target, threshold_db=60.0)
    assert -loss.item() == pytest.approx(decibels, abs=0.01)


def test_a_perfect_estimate_gets_the_threshold_and_no_gradient():
    target = noise(1, 1000)
    estimate = target.clone().requires_grad_()
    loss = negative_sdr(estimate, target, target, threshold_db=30.0)
    loss.backward()
    assert loss.item() == pytest.approx(-30, abs=1e-3)
    assert estimate.grad.abs().max() == 0


def test_the_gradient_has_halved_at_the_threshold():
    # With error energy x and the target's energy 1 the slope in dB per dB of error is
    # x / (x + tau), so one half where x = tau.
    target = noise(1, 1000)
    error = noise(1, 1001)[:, :1000]
    error = error / error.norm() * target.norm() * 10 ** (-30 / 20)
    gain = torch.ones((), requires_grad=True)
    negative_sdr(target + gain * error, target, target, 30.0).backward()
    plain = 20 / math.log(10)  # d/dg of 10 log10(g^2 x) at g = 1
    assert gain.grad.item() == pytest.approx(plain / 2, rel=1e-3)


def test_a_silent_target_is_scored_by_what_is_left_of_the_input():
    mixture = noise(1, 1000)
    estimate = (0.1 * mixture).requires_grad_()
    loss = negative_sdr(estimate, torch.zeros(1, 1000), mixture, 30.0)
    loss.backward()
    assert loss.item() == pytest.approx(10 * math.log10(0.01 + 0.001), abs=1e-3)
    # The step against the gradient makes the estimate quieter.
    assert (estimate.grad * estimate).sum() > 0


@pytest.mark.parametrize("mixture", [torch.zeros(2, 100), noise(2, 100)])
@pytest.mark.parametrize("estimate", [torch.zeros(2, 100), noise(2, 100)])
def test_silence_keeps_losses_and_gradients_finite(mixture, estimate):
    estimate = estimate.clone().requires_grad_()
    loss, stats = CaRESepLoss().separation(estimate, torch.zeros(2, 100), mixture)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(estimate.grad).all()
    assert all(torch.isfinite(value) for value in stats.values())


def test_losses_do_not_depend_on_the_level_of_an_item():
    target, mixture, estimate = noise(2, 500), noise(2, 501)[:, :500], noise(2, 500) / 3
    loss = CaRESepLoss()
    plain, _ = loss.separation(estimate, target, mixture)
    quiet, _ = loss.separation(estimate / 64, target / 64, mixture / 64)
    assert quiet.item() == pytest.approx(plain.item(), rel=1e-4)


def test_parts_and_weights():
    target, mixture, estimate = noise(2, 500), noise(2, 501)[:, :500], noise(2, 502)
    estimate = estimate[:, :500]
    loss = CaRESepLoss(mae_weight=2, mae_level="none", sdr_weight=0, sdr_threshold=30)
    total, stats = loss.separation(estimate, target, mixture)
    assert total.item() == pytest.approx(2 * (estimate - target).abs().mean().item())
    assert stats["mae"].item() == pytest.approx(total.item() / 2)
    # A logit of 0 costs log 2 whatever the label.
    bce, _ = CaRESepLoss(bce_weight=3).tagging(torch.zeros(2, 4), torch.eye(4)[:2])
    assert bce.item() == pytest.approx(3 * math.log(2))


@pytest.mark.parametrize(
    "conf",
    [{"mae_weight": -1}, {"mae_level": "target"}, {"sdr_threshold": 0}],
)
def test_bad_options_are_refused(conf):
    with pytest.raises(ValueError, match=next(iter(conf))):
        CaRESepLoss(**conf)
