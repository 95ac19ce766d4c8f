"""Training losses (paper section 2.1: MAE and SDR; section 2.3: binary cross-entropy)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SILENT = 1e-6  # a target below this share of the mixture's energy counts as silence
EPS = 1e-10  # keeps digital silence finite; in units of mean square


def relative_mae(estimate: Tensor, target: Tensor, level: Tensor | None) -> Tensor:
    """Mean absolute error of waveforms.

    Args:
        estimate: (B, N) separated waveforms.
        target: (B, N) target waveforms.
        level: (B,) amplitudes to divide by, or None for the plain error.

    Returns:
        (B,) errors.
    """
    error = (estimate - target).abs().mean(-1)
    return error if level is None else error / level


def negative_sdr(
    estimate: Tensor, target: Tensor, mixture: Tensor, threshold_db: float
) -> Tensor:
    """Negative SDR with a soft threshold, in dB.

    -10 log10(P / (|s - s^|^2 + tau P)) with tau = 10^(-threshold / 10): the gradient
    fades once an item is better than the threshold, so easy items (identity) cannot
    rule a batch (the thresholded SDR of Wisdom et al., "Unsupervised sound separation
    using mixture invariant training", 2020). P is the target's energy. A silent
    target has none, so there P is the mixture's energy and the loss is the level of
    what is left, in dB relative to the input: finite, with a gradient towards zero.

    Args:
        estimate: (B, N) separated waveforms.
        target: (B, N) target waveforms, zeros where the target is absent.
        mixture: (B, N) inputs.
        threshold_db: SDR in dB at which the gradient has halved.

    Returns:
        (B,) losses between -threshold_db and a few dB.
    """
    energy = target.square().mean(-1)
    input_energy = mixture.square().mean(-1)
    silent = energy <= SILENT * input_energy
    reference = torch.where(silent, input_energy, energy) + EPS
    error = (estimate - target).square().mean(-1)
    tau = 10 ** (-threshold_db / 10)
    return 10 * torch.log10(error / reference + tau)


class CaRESepLoss(nn.Module):
    """Weighted sum of the losses; a weight of 0 switches a part off.

    Args:
        mae_weight: Weight of the waveform MAE.
        mae_level: "mixture" divides each item's MAE by the mixture's RMS, so that
            quiet clips count as much as loud ones; "none" is the plain MAE.
        sdr_weight: Weight of the negative SDR (lambda), per dB.
        sdr_threshold: Soft threshold of the SDR in dB.
        bce_weight: Weight of the tagging loss on the anchors.

    Raises:
        ValueError: If a weight is negative or an option has no meaning.
    """

    def __init__(
        self,
        mae_weight: float = 1.0,
        mae_level: str = "mixture",
        sdr_weight: float = 0.05,
        sdr_threshold: float = 30.0,
        bce_weight: float = 1.0,
    ):
        super().__init__()
        weights = {
            "mae_weight": mae_weight,
            "sdr_weight": sdr_weight,
            "bce_weight": bce_weight,
        }
        for name, weight in weights.items():
            if weight < 0:
                raise ValueError(f"{name} must be at least 0, got {weight}")
        if mae_level not in ("mixture", "none"):
            raise ValueError(f"mae_level must be mixture or none, got {mae_level!r}")
        if sdr_threshold <= 0:
            raise ValueError(f"sdr_threshold must be above 0 dB, got {sdr_threshold}")
        self.mae_weight = mae_weight
        self.mae_level = mae_level
        self.sdr_weight = sdr_weight
        self.sdr_threshold = sdr_threshold
        self.bce_weight = bce_weight

    def separation(
        self, estimate: Tensor, target: Tensor, mixture: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of separated waveforms.

        Args:
            estimate: (B, N) separated waveforms.
            target: (B, N) target waveforms.
            mixture: (B, N) inputs.

        Returns:
            The loss and its parts: ``mae``, ``sdr`` in dB (thresholded, larger is
            better).
        """
        estimate, target, mixture = estimate.float(), target.float(), mixture.float()
        level = None
        if self.mae_level == "mixture":
            level = (mixture.square().mean(-1) + EPS).sqrt()
        mae = relative_mae(estimate, target, level).mean()
        minus_sdr = negative_sdr(estimate, target, mixture, self.sdr_threshold).mean()
        loss = self.mae_weight * mae + self.sdr_weight * minus_sdr
        return loss, {"mae": mae.detach(), "sdr": -minus_sdr.detach()}

    def tagging(
        self, logits: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Binary cross-entropy of clip logits (B, C) with multi-hot labels (B, C)."""
        bce = F.binary_cross_entropy_with_logits(logits.float(), labels.float())
        return self.bce_weight * bce, {"bce": bce.detach()}
