"""Parts of a model that do not learn: their statistics and outputs must not move either."""

from __future__ import annotations

from contextlib import contextmanager

import torch


def hold_frozen(model: torch.nn.Module) -> None:
    """Puts the parts of which no parameter learns into evaluation mode."""
    for module in model.modules():
        learning = [p.requires_grad for p in module.parameters()]
        if learning and not any(learning):
            module.eval()


@contextmanager
def frozen(module: torch.nn.Module):
    """Evaluation mode without gradient, and back to the former mode of every part."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part in training:
            part.training = True
