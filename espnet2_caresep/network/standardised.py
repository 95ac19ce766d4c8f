"""Features of mean 0 and deviation 1, as those that tag a clip last see them."""

import torch
from torch import Tensor, nn

LIMIT = 5.0  # standardised features beyond it are outliers
LEAST_SCALE = 1e-3


class Standardised(nn.Module):
    """Knows what features are like.

    Args:
        dim: Features of a clip, D.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    @torch.no_grad()
    def standardise_to(self, features: Tensor) -> None:
        """From now on features like these (B, D) have mean 0 and deviation 1."""
        if len(features) > 1:
            self.mean.copy_(features.mean(0))
            self.scale.copy_(features.std(0).clamp(min=LEAST_SCALE))

    def standardise(self, features: Tensor) -> Tensor:
        """Features (..., D) -> float32 of mean 0 and deviation 1, without outliers."""
        return ((features.float() - self.mean) / self.scale).clamp(-LIMIT, LIMIT)
