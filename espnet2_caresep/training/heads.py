"""Training of the tagging heads alone, on what a frozen network says of clips.

The pass through the frozen network is what a clip costs; learning from what it gave is
cheap. So each clip passes it once and is remembered. A training that goes on after a stop
has forgotten the clips, but not the standardisation of their features, and learns nothing
until it knows enough of them again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from espnet2_caresep.network.kernel_tagger import KernelTagger
from espnet2_caresep.network.tag_heads import TagHeads
from espnet2_caresep.training.kernel import fit

KEPT = 30000  # clips
DRAWN = 96  # remembered clips from which each head learns in an update
LEAST = 512  # remembered clips before anything is learned
SETTLED = 2000  # clips after which the standardisation of features no longer changes


class HeadTraining:
    """Remembers features, and gives each head others of them.

    Args:
        heads: The heads to train.
        mixup_alpha: Features and labels of two clips are mixed in random proportion
            Beta(alpha, alpha); 0 is off.
        kernel: Fitted to all that is remembered, if there is one.
        embedding: Leading features that are the network's embedding.
    """

    def __init__(
        self,
        heads: TagHeads,
        mixup_alpha: float,
        kernel: KernelTagger | None = None,
        embedding: int = 0,
    ):
        self.heads = heads
        self.kernel, self.embedding = kernel, embedding
        self.mixup_alpha = mixup_alpha
        self.features = self.labels = None
        self.seen = self.fitted = 0

    def __call__(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and labels, (H * drawn, C) each, from which to learn.

        Args:
            features: (B, D) of new clips.
            labels: (B, C).
        """
        self._remember(features, labels)
        known = min(self.seen, KEPT)
        if not self.heads.settled:
            self.heads.standardise_to(self.features[:known])
            self.heads.settled.fill_(self.seen >= SETTLED)
        place = torch.randint(known, (self.heads.count, DRAWN), device=features.device)
        features, labels = self.features[place], self.labels[place]
        if self.mixup_alpha > 0:
            share = torch.distributions.Beta(self.mixup_alpha, self.mixup_alpha)
            share = share.sample((*place.shape, 1)).to(features)
            features = share * features + (1 - share) * features.roll(1, 1)
            labels = share * labels + (1 - share) * labels.roll(1, 1)
        logits = self.heads.each(features).flatten(0, 1)
        if known < LEAST:
            logits = logits.detach() + 0 * logits
        return logits, labels.flatten(0, 1)

    def finish(self) -> None:
        """Fits the kernel, if there are new clips."""
        if self.kernel is None or self.seen == self.fitted:
            return
        known = min(self.seen, KEPT)
        features = self.heads.standardise(self.features[:known])
        fit(self.kernel, features, self.labels[:known], self.embedding)
        self.fitted = self.seen

    def _remember(self, features: Tensor, labels: Tensor) -> None:
        if self.features is None:
            self.features = features.new_zeros(KEPT, features.shape[1])
            self.labels = labels.new_zeros(KEPT, labels.shape[1])
        order = torch.arange(len(features), device=features.device)
        place = (self.seen + order) % KEPT
        self.features[place], self.labels[place] = features, labels
        self.seen += len(features)
