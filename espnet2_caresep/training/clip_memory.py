"""What is known of clips, remembered: loading and analysing them is what they cost."""

from __future__ import annotations

import torch
from torch import Tensor

KEPT = 30000  # clips


class ClipMemory:
    """The newest clips: their features and labels.

    A training that goes on after a stop has forgotten those before it.

    Args:
        size: Clips that are kept.
    """

    def __init__(self, size: int = KEPT):
        self.size = size
        self.seen = 0
        self._features = self._labels = None

    def remember(self, features: Tensor, labels: Tensor) -> None:
        """Further clips, at most ``size``: features (B, ...) and labels (B, C)."""
        if self._features is None:
            self._features = features.new_zeros(self.size, *features.shape[1:])
            self._labels = labels.new_zeros(self.size, labels.shape[1])
        order = torch.arange(len(features), device=features.device)
        place = (self.seen + order) % self.size
        self._features[place], self._labels[place] = features.detach(), labels
        self.seen += len(features)

    @property
    def known(self) -> int:
        """Clips that are remembered."""
        return min(self.seen, self.size)

    @property
    def features(self) -> Tensor:
        """(known, ...)."""
        return self._features[: self.known]

    @property
    def labels(self) -> Tensor:
        """(known, C)."""
        return self._labels[: self.known]
