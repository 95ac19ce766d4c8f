"""Heads that are trained last, on what a finished network says of a clip (ours)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .standardised import Standardised


class TagHeads(Standardised):
    """Several small networks whose clip logits are averaged.

    Each sees the same standardised features. They are batched products, as fast as one
    network of the same size.

    Args:
        dim: Features of a clip, D.
        num_classes: Classes, C.
        count: Heads, H.
        hidden: Hidden units of each of two layers.
        dropout: Dropout of the hidden units.
        input_dropout: Dropout of the features.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        count: int,
        hidden: int = 128,
        dropout: float = 0.5,
        input_dropout: float = 0.3,
    ):
        super().__init__(dim)
        self.count = count
        self.dropout, self.input_dropout = dropout, input_dropout
        sizes = [dim, hidden, hidden, num_classes]
        self.weights = nn.ParameterList(
            (2 * torch.rand(count, a, b) - 1) * a**-0.5 for a, b in pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(count, 1, b) for b in sizes[1:])
        self.register_buffer("settled", torch.tensor(False))  # mean and scale are final

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, D) -> mean logits (B, C) in float32."""
        return self.each(features.expand(self.count, -1, -1)).mean(0)

    def each(self, features: Tensor) -> Tensor:
        """Features (H, B, D) for each head -> its logits (H, B, C) in float32."""
        with torch.autocast(features.device.type, enabled=False):
            x = self.standardise(features)
            x = F.dropout(x, self.input_dropout, self.training)
            for i, (weight, bias) in enumerate(zip(self.weights, self.biases)):
                if i:
                    x = F.dropout(F.gelu(x), self.dropout, self.training)
                x = torch.baddbmm(bias, x, weight)
        return x
