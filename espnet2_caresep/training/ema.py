"""Exponential moving average of the weights under training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

RAW = "trained_weight"  # key of the optimizer's state, which the checkpoint keeps
STEPS = "averaged_steps"


class WeightAverage:
    """Averages what the optimizers change, and lends the average to the model.

    The model holds the average while it is validated and saved, and its trained
    weights while it learns. Meanwhile the trained weights lie in the optimizer's
    state: one checkpoint holds both, and a resumed training goes on with both.

    Args:
        optimizers: Of the model.
        decay: Share of the average that a step keeps, reached after a start in which
            (1 + n) / (10 + n) is smaller, n counting the steps.
    """

    def __init__(self, optimizers: Sequence[Optimizer], decay: float):
        self.optimizers = optimizers
        self.decay = decay
        self.average: dict[Tensor, Tensor] = {}
        for optimizer in optimizers:
            optimizer.register_step_post_hook(self._update)

    @torch.no_grad()
    def to_training(self) -> None:
        """Gives the model its trained weights back."""
        for optimizer, weight in self._weights():
            self.average[weight] = weight.detach().clone()
            if RAW in optimizer.state.get(weight, {}):
                weight.copy_(optimizer.state[weight].pop(RAW))

    @torch.no_grad()
    def to_average(self) -> None:
        """Gives the model the average."""
        for optimizer, weight in self._weights():
            optimizer.state[weight][RAW] = weight.detach().clone()
            weight.copy_(self.average[weight])

    @torch.no_grad()
    def _update(self, optimizer: Optimizer, *_) -> None:
        steps = optimizer.param_groups[0].get(STEPS, 0)
        optimizer.param_groups[0][STEPS] = steps + 1
        decay = min(self.decay, (1 + steps) / (10 + steps))
        for group in optimizer.param_groups:
            for weight in group["params"]:
                self.average[weight].lerp_(weight, 1 - decay)

    def _weights(self):
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    yield optimizer, weight
