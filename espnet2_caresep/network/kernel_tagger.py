"""Tags by likeness to known clips: kernel ridge regression of labels (ours).

Saunders, Gammerman and Vovk, "Ridge regression learning algorithm in dual variables",
1998, with a Gaussian kernel on principal components of what a finished network says of a
clip. It is surer of sounds like the known ones than trained heads are, and less good at
others; together they are good at both (docs/training.md).
"""

import torch
from torch import Tensor

from .standardised import Standardised

COMPONENTS = 48
SAY = 0.3
SHARPNESS = 8.0  # logits from -4 to 4 where labels from 0 to 1 are expected


class KernelTagger(Standardised):
    """Features of a clip -> logits, by its likeness to clips whose labels are known.

    Until it is fitted (:func:`espnet2_caresep.training.kernel.fit`) it knows no clip.
    It has no parameters: nothing of it is learned by gradient.

    Args:
        dim: Features of a clip, D.
        num_classes: Classes, C.
        known_clips: Clips that others are compared with at most, M.

    Attributes:
        say: Its share of the tags, once it is fitted; what else tags has the rest.
    """

    def __init__(self, dim: int, num_classes: int, known_clips: int):
        super().__init__(dim)
        self.say = SAY
        components = min(COMPONENTS, dim)
        self.register_buffer("axes", torch.zeros(dim, components))
        self.register_buffer("clips", torch.zeros(known_clips, components))
        self.register_buffer("nearness", torch.zeros(()))  # per squared distance
        self.register_buffer("weights", torch.zeros(known_clips, num_classes))
        self.register_buffer("prior", torch.zeros(num_classes))

    @property
    def fitted(self) -> Tensor:
        """() bool."""
        return self.nearness > 0

    def place(self, features: Tensor) -> Tensor:
        """Features (B, D) -> principal components (B, P)."""
        return self.standardise(features) @ self.axes

    def likeness(self, places: Tensor, clips: Tensor) -> Tensor:
        """Gaussian kernel (B, M), 0 to 1, of components (B, P) and (M, P)."""
        return torch.exp(-self.nearness * torch.cdist(places, clips).square())

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, D) -> logits (B, C) in float32."""
        with torch.autocast(features.device.type, enabled=False):
            alike = self.likeness(self.place(features), self.clips)
            return SHARPNESS * (self.prior + alike @ self.weights - 0.5)
