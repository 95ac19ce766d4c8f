"""What a clip's bands do over time, in figures: a second opinion beside the tokens.

Small training sets let the encoder learn clips by heart. Means and deviations of bands and
cepstra, the features of classic audio classifiers, generalise better from few clips.
"""

import math

import torch
from torch import Tensor, nn

from .base import mean_over_valid

CEPSTRA = 20
FLOOR = 1e-3  # added to variances before logarithms; those of the bands are about 1


class ClipStatistics(nn.Module):
    """Statistics of a clip -> class logits and a change of its embedding (ours).

    The statistics are each band's mean, and the logarithms of deviations over time: of
    the bands and their differences from frame to frame, of the first cepstra, their
    differences and the differences of these. With the pooled embedding they enter a
    small network with much dropout. The change of the embedding starts at zero, so a
    network trained without statistics is undisturbed at first.

    Args:
        num_bands: Band features of a frame, K.
        dim: Length of the embedding, E.
        num_classes: Classes, C.
        hidden: Hidden units.
        dropout: Dropout of the hidden units; the inputs have half of it.
    """

    def __init__(
        self,
        num_bands: int,
        dim: int,
        num_classes: int,
        hidden: int = 256,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.register_buffer("cosines", cosines(num_bands), persistent=False)
        self.hidden = nn.Sequential(
            nn.Dropout(dropout / 2),
            nn.Linear(3 * sum(self.cosines.shape) + dim, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
        )
        self.to_logits = nn.Linear(hidden, num_classes)
        self.to_embedding = nn.Linear(hidden, dim)
        nn.init.zeros_(self.to_embedding.weight)
        nn.init.zeros_(self.to_embedding.bias)

    def forward(
        self, bands: Tensor, valid: Tensor, embedding: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits of a clip and the change of its embedding.

        Args:
            bands: (B, T, K) normalised bands.
            valid: (B, T) bool, frames that hold audio.
            embedding: (B, E) mean of the encoder's tokens.

        Returns:
            Logits (B, C) in float32 and what to add to the embedding, (B, E).
        """
        with torch.autocast(bands.device.type, enabled=False):
            figures = self.statistics(bands.float(), valid)
        hidden = self.hidden(torch.cat([figures, embedding.float()], -1))
        return self.to_logits(hidden).float(), self.to_embedding(hidden).float()

    def statistics(self, bands: Tensor, valid: Tensor) -> Tensor:
        """Bands (B, T, K), valid (B, T) -> (B, 3 (K + cepstra)); of padding nothing."""
        return statistics(bands, bands @ self.cosines, valid)


def statistics(bands: Tensor, cepstra: Tensor, valid: Tensor) -> Tensor:
    """Bands (B, T, K), cepstra (B, T, L), valid (B, T) -> (B, 3 (K + L))."""
    steps, step_valid = differences(bands, valid)
    cepstral_steps, _ = differences(cepstra, valid)
    return torch.cat(
        [
            mean_over_valid(bands, valid),
            deviation(bands, valid),
            deviation(steps, step_valid),
            deviation(cepstra, valid),
            deviation(cepstral_steps, step_valid),
            deviation(*differences(cepstral_steps, step_valid)),
        ],
        -1,
    )


def differences(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Steps from frame to frame (B, T-1, N), and which are between valid frames."""
    return x.diff(dim=1), valid[:, 1:] & valid[:, :-1]


def deviation(x: Tensor, valid: Tensor) -> Tensor:
    """Log standard deviation (B, N) over valid frames of (B, T, N)."""
    spread = (x - mean_over_valid(x, valid)[:, None]).square()
    return torch.log(mean_over_valid(spread, valid) + FLOOR) / 2


def cosines(num_bands: int) -> Tensor:
    """First columns of a DCT-II (K, cepstra), all of them of the same scale."""
    angle = math.pi / num_bands * (torch.arange(num_bands) + 0.5)
    orders = torch.arange(min(CEPSTRA, num_bands))
    return (2 / num_bands) ** 0.5 * torch.cos(angle[:, None] * orders)
