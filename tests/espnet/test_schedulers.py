import math

import pytest
import torch

from espnet2_caresep.training.schedulers import CaRESepLR, WarmupCosineLR


def optimizer(rate=1e-3):
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=rate)


def rates(scheduler, steps):
    """Rate of each step, as a training sees them."""
    seen = []
    for _ in range(steps):
        seen.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return seen


def test_the_schedule_of_the_paper():
    # Written by hand: three epochs of warm-up, 0.2 to epoch 11, then halved.
    table = [0.05, 0.1, 0.2] + 8 * [0.2] + 10 * [0.1] + 15 * [0.05]
    assert rates(CaRESepLR(optimizer(1e-3)), 36) == pytest.approx(
        [1e-3 * factor for factor in table]
    )


def test_warm_up_and_cosine():
    seen = rates(WarmupCosineLR(optimizer(1.0), 4, 12, floor=0.1), 14)
    cosine = [0.1 + 0.9 * (1 + math.cos(math.pi * k / 8)) / 2 for k in range(9)]
    assert seen == pytest.approx([0.25, 0.5, 0.75, 1.0] + cosine + [0.1])


@pytest.mark.parametrize(
    "make",
    [CaRESepLR, lambda optimizer: WarmupCosineLR(optimizer, 3, 20)],
    ids=["caresep", "warmup_cosine"],
)
@pytest.mark.parametrize("stop", [0, 1, 5, 13])
def test_a_resumed_schedule_goes_on(make, stop, tmp_path):
    whole = rates(make(optimizer()), 25)
    first = make(optimizer())
    rates(first, stop)
    states = {"o": first.optimizer.state_dict(), "s": first.state_dict()}
    torch.save(states, tmp_path / "states.pth")

    states = torch.load(tmp_path / "states.pth", weights_only=True)
    second = make(optimizer())
    second.optimizer.load_state_dict(states["o"])
    second.load_state_dict(states["s"])
    assert rates(second, 25 - stop) == pytest.approx(whole[stop:])


def test_a_resumed_schedule_follows_its_configuration():
    first = WarmupCosineLR(optimizer(), 2, 10)
    rates(first, 5)
    second = WarmupCosineLR(optimizer(), 2, 100)
    second.load_state_dict(first.state_dict())
    assert second.get_last_lr() == pytest.approx(
        [rates(WarmupCosineLR(optimizer(), 2, 100), 6)[-1]]
    )


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="halve_every"):
        CaRESepLR(optimizer(), halve_every=0)
    with pytest.raises(ValueError, match="total_steps"):
        WarmupCosineLR(optimizer(), total_steps=0)
