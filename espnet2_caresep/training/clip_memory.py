"""What is known of clips, remembered: loading and analysing them is what they cost."""

from __future__ import annotations

import torch
from torch import Tensor

KEPT = 30000  # clips


class ClipMemory:
    """What is known of the newest clips, by name.

    A training that goes on after a stop has forgotten those before it.

    Args:
        size: Clips that are kept.
    """

    def __init__(self, size: int = KEPT):
        self.size = size
        self.seen = 0
        self._held: dict[str, Tensor] = {}

    def remember(self, **clips: Tensor) -> None:
        """Further clips, at most ``size``: the same names each time, (B, ...) each."""
        count = len(next(iter(clips.values())))
        place = (self.seen + torch.arange(count)) % self.size
        for name, rows in clips.items():
            if name not in self._held:
                self._held[name] = rows.new_zeros(self.size, *rows.shape[1:])
            self._held[name][place.to(rows.device)] = rows.detach()
        self.seen += count

    def __getitem__(self, name: str) -> Tensor:
        """(known, ...)."""
        return self._held[name][: self.known]

    @property
    def known(self) -> int:
        """Clips that are remembered."""
        return min(self.seen, self.size)
