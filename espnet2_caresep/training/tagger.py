"""Training of the convolutional tagger alone, on pictures of clips that it has seen.

A picture is small and varied anew each time, so clips are loaded once and remembered, as
a whole: pieces of a segment are cut from them when they are learned from. A training that
goes on after a stop learns nothing until it knows enough of them again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from espnet2_caresep.network.base import AnchorEncoder
from espnet2_caresep.training.clip_memory import ClipMemory
from espnet2_caresep.training.kernel import KernelTraining
from espnet2_caresep.training.pictures import add_noise, mix, vary

KEPT = 8192  # pictures
DRAWN = 64  # pictures of which an update learns
LEAST = 256  # pictures before anything is learned


class TaggerTraining:
    """Remembers pictures of clips, and has the tagger learn from variations of them.

    Args:
        network: Has the tagger; nothing else of it changes.
        mixup_alpha: Pictures are mixed, with shares of a distribution Beta(alpha,
            alpha); 0 is off.
        kernel: Is told of the clips, if it is there.
    """

    def __init__(
        self, network: AnchorEncoder, mixup_alpha: float, kernel: KernelTraining | None
    ):
        self.network, self.kernel = network, kernel
        self.mixup_alpha = mixup_alpha
        self.memory = ClipMemory(KEPT)

    @torch.no_grad()
    def remember(
        self,
        clips: tuple[Tensor, Tensor],
        segments: tuple[Tensor, Tensor],
        labels: Tensor,
    ) -> None:
        """New clips.

        Args:
            clips: (B, N) waveforms of any length, the same in each call, and the (B,)
                samples that count.
            segments: Likewise, a segment of each at most, for the kernel.
            labels: (B, C).
        """
        pictures, frames = self.network.clip_pictures(*clips)
        self.memory.remember(pictures=pictures.half(), frames=frames, labels=labels)
        if self.kernel is not None:
            features = self.network.encode_anchor(*segments).features
            self.kernel.memory.remember(features=features, labels=labels)

    def learn(self) -> tuple[Tensor, Tensor]:
        """Logits and labels (drawn, C) of remembered clips, from which to learn.

        A clip's chance goes with the inverse root of how often its class comes: half-way
        to as many of each, which would repeat the few clips of rare classes too often.
        """
        memory = self.memory
        rarity = memory["labels"].sum(0).clamp(min=1).rsqrt()
        chance = (memory["labels"] * rarity).amax(1)
        drawn = torch.multinomial(chance, DRAWN, replacement=True)
        pictures, frames, labels = (
            memory[name][drawn] for name in ("pictures", "frames", "labels")
        )
        pictures = vary(pictures.float(), frames, self.network.segment_frames)
        if self.mixup_alpha > 0:
            pictures, labels = mix(pictures, labels, self.mixup_alpha)
        tagger = self.network.conv_tagger
        logits = tagger(add_noise(pictures))
        if memory.known < LEAST:
            # Weights without gradient are passed over. Zeros would count, and Adam, whose
            # mean of squares they lower, would begin with steps several times too long.
            logits = logits.detach() + 0 * tagger.classes.bias
        return logits, labels
