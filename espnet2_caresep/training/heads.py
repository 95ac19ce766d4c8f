"""Training of the tagging heads alone, on what a frozen network says of clips.

Learning from what it gave is cheap, so each clip passes it once and is remembered. A
training that goes on after a stop has forgotten the clips, but not the standardisation of
their features, and learns nothing until it knows enough of them again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from espnet2_caresep.network.tag_heads import TagHeads
from espnet2_caresep.training.clip_memory import ClipMemory

DRAWN = 96  # remembered clips from which each head learns in an update
LEAST = 512  # remembered clips before anything is learned
SETTLED = 2000  # clips after which the standardisation of features no longer changes


class HeadTraining:
    """Remembers features, and gives each head others of them.

    Args:
        heads: The heads to train.
        memory: Holds the clips.
        mixup_alpha: Features and labels of two clips are mixed in random proportion
            Beta(alpha, alpha); 0 is off.
    """

    def __init__(self, heads: TagHeads, memory: ClipMemory, mixup_alpha: float):
        self.heads, self.memory = heads, memory
        self.mixup_alpha = mixup_alpha

    def __call__(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and labels, (H * drawn, C) each, from which to learn.

        Args:
            features: (B, D) of new clips.
            labels: (B, C).
        """
        memory = self.memory
        memory.remember(features, labels)
        if not self.heads.settled:
            self.heads.standardise_to(memory.features)
            self.heads.settled.fill_(memory.seen >= SETTLED)
        drawn = (self.heads.count, DRAWN)
        place = torch.randint(memory.known, drawn, device=features.device)
        features, labels = memory.features[place], memory.labels[place]
        if self.mixup_alpha > 0:
            share = torch.distributions.Beta(self.mixup_alpha, self.mixup_alpha)
            share = share.sample((*place.shape, 1)).to(features)
            features = share * features + (1 - share) * features.roll(1, 1)
            labels = share * labels + (1 - share) * labels.roll(1, 1)
        logits = self.heads.each(features).flatten(0, 1)
        if memory.known < LEAST:
            logits = logits.detach() + 0 * logits
        return logits, labels.flatten(0, 1)
