"""Learning-rate schedules, as ESPnet schedulers.

Both are closed forms of a counter, and the counter is all that a checkpoint keeps: a
resumed training follows the schedule that its configuration states now.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from espnet2.schedulers.abs_scheduler import (
    AbsBatchStepScheduler,
    AbsEpochStepScheduler,
)
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class _Multiplier(LRScheduler):
    """Base learning rates times ``multiplier(count)``."""

    def multiplier(self, count: int) -> float:
        """Factor on the base rates after ``count`` steps."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        """Rates of the parameter groups at this count."""
        factor = self.multiplier(self.last_epoch)
        return [rate * factor for rate in self.base_lrs]

    def state_dict(self) -> dict[str, int]:
        """The counters, nothing that the configuration says."""
        return {"last_epoch": self.last_epoch, "_step_count": self._step_count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on from ``state`` with the rates that hold there."""
        self.last_epoch = state["last_epoch"]
        self._step_count = state["_step_count"]
        for group, rate in zip(self.optimizer.param_groups, self.get_lr()):
            group["lr"] = rate
        self._last_lr = self.get_lr()


class CaRESepLR(_Multiplier, AbsEpochStepScheduler):
    """The paper's schedule, one step per epoch (section 3.2; HTS-AT's form of it).

    The paper gives 0.05, 0.1, 0.2 for the first three epochs and then halves every ten
    epochs down to 0.05. These are multipliers of the optimizer's rate (1e-3 in HTS-AT),
    and HTS-AT counts the tens from the second epoch on: 0.2 up to epoch 11, 0.1 up to
    epoch 21, 0.05 from there (epochs counted from 1).

    Args:
        optimizer: Its rates are multiplied.
        warmup: Multipliers of the first epochs; the last one is halved later.
        halve_every: Epochs between halvings.
        floor: Smallest multiplier.
        last_epoch: Epochs done before, -1 for none.

    Raises:
        ValueError: If an argument has no meaning.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup: Sequence[float] = (0.05, 0.1, 0.2),
        halve_every: int = 10,
        floor: float = 0.05,
        last_epoch: int = -1,
    ):
        if not warmup or min(warmup) <= 0:
            raise ValueError(f"warmup needs multipliers above 0, got {warmup}")
        if halve_every < 1:
            raise ValueError(f"halve_every must be at least 1, got {halve_every}")
        if floor < 0:
            raise ValueError(f"floor must be at least 0, got {floor}")
        self.warmup = tuple(warmup)
        self.halve_every = halve_every
        self.floor = floor
        super().__init__(optimizer, last_epoch)

    def multiplier(self, count: int) -> float:
        """Factor in epoch ``count``, counted from 0."""
        if count < len(self.warmup):
            return self.warmup[count]
        halvings = max(0, count - 1) // self.halve_every
        return max(self.floor, self.warmup[-1] * 0.5**halvings)


class WarmupCosineLR(_Multiplier, AbsBatchStepScheduler):
    """Linear warm-up, then half a cosine down to a floor; one step per update.

    For trainings whose length is known beforehand, such as a budget of CPU minutes.

    Args:
        optimizer: Its rates are multiplied.
        warmup_steps: Updates until the full rate is reached.
        total_steps: Updates after which the floor is reached.
        floor: Last multiplier.
        last_epoch: Updates done before, -1 for none.

    Raises:
        ValueError: If an argument has no meaning.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int = 100,
        total_steps: int = 1000,
        floor: float = 0.0,
        last_epoch: int = -1,
    ):
        if warmup_steps < 0 or total_steps < 1:
            raise ValueError(
                "warmup_steps must be at least 0 and total_steps at least 1, got "
                f"{warmup_steps} and {total_steps}"
            )
        if not 0 <= floor <= 1:
            raise ValueError(f"floor must be within 0 and 1, got {floor}")
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.floor = floor
        super().__init__(optimizer, last_epoch)

    def multiplier(self, count: int) -> float:
        """Factor in update ``count``, counted from 0."""
        if count < self.warmup_steps:
            return (count + 1) / self.warmup_steps
        span = max(1, self.total_steps - self.warmup_steps)
        progress = min(1.0, (count - self.warmup_steps) / span)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return self.floor + (1 - self.floor) * cosine
