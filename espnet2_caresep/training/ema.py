"""Exponential moving average of the weights under training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

# Keys of the optimizer's state, which the checkpoint keeps
RAW = "trained_weight"
START = "weight_at_the_start"
STEPS = "averaged_steps"


class WeightAverage:
    """Averages what the optimizers change, and lends the average to the model.

    The model holds the average while it is validated and saved, and its trained
    weights while it learns. Meanwhile the trained weights lie in the optimizer's
    state: one checkpoint holds both, and a resumed training goes on with both.

    Where a training goes on from another one, the weights at its start may be mixed
    into the average that is lent: half-way back, a model keeps most of what it has
    gained and loses little of what it could before (Wortsman et al., "Robust
    fine-tuning of zero-shot models", 2022, there for classifiers).

    Args:
        optimizers: Of the model.
        decay: Share of the average that a step keeps, reached after a start in which
            (1 + n) / (10 + n) is smaller, n counting the steps.
        start_share: Share of the start in what is lent.
    """

    def __init__(
        self, optimizers: Sequence[Optimizer], decay: float, start_share: float = 0.0
    ):
        self.optimizers = optimizers
        self.decay = decay
        self.start_share = start_share
        self.start: dict[Tensor, Tensor] = {}
        self.average: dict[Tensor, Tensor] = {}
        for optimizer in optimizers:
            optimizer.register_step_post_hook(self._update)

    @torch.no_grad()
    def to_training(self) -> None:
        """Gives the model its trained weights back."""
        for optimizer, weight in self._weights():
            state = optimizer.state.get(weight, {})
            average = weight.detach().clone()
            if self.start_share:
                start = self.start[weight] = state.pop(START, average)
                average = (average - self.start_share * start) / (1 - self.start_share)
            self.average[weight] = average
            if RAW in state:
                weight.copy_(state.pop(RAW))

    @torch.no_grad()
    def to_average(self) -> None:
        """Gives the model the average."""
        for optimizer, weight in self._weights():
            state = optimizer.state.get(weight)
            # Frozen weights have none, and optimizers refuse to load a half-filled one.
            if not state:
                continue
            state[RAW] = weight.detach().clone()
            weight.copy_(self.average[weight])
            if self.start_share:
                state[START] = self.start[weight]
                weight.lerp_(state[START], self.start_share)

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
