"""Batches as the collated data names give them, arranged for the network."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Triplets(NamedTuple):
    """Rows (input, target, anchor) of a batch; first all of source 1, then source 2."""

    mixture: Tensor  # (R, N)
    target: Tensor  # (R, N), zeros where the target is absent
    lengths: Tensor  # (R,) samples
    anchor: Tensor  # (R, M)
    anchor_lengths: Tensor  # (R,) samples


def triplets(batch: dict[str, Tensor]) -> Triplets:
    """The triplets (a, a1, e1) and (a, a2, e2) of the paper (section 2.1).

    Args:
        batch: ``speech_mix`` (B, N), ``speech_ref{n}`` (B, N), ``enroll_ref{n}``
            (B, M), each with ``_lengths`` (B,); ``speech_mix2`` where the input of the
            second triplet differs.

    Returns:
        B rows per source.
    """
    target, lengths = stack(batch, "speech_ref")
    anchor, anchor_lengths = stack(batch, "enroll_ref")
    mixture = torch.cat(
        [
            batch.get(f"speech_mix{n}", batch["speech_mix"])
            for n in numbers(batch, "speech_ref")
        ]
    )
    return Triplets(mixture, target, lengths, anchor, anchor_lengths)


def numbers(batch: dict[str, Tensor], prefix: str) -> list[int]:
    """Which of the sources 1 and 2 have an entry of this name."""
    return [n for n in (1, 2) if f"{prefix}{n}" in batch]


def stack(batch: dict[str, Tensor], prefix: str) -> tuple[Tensor, Tensor]:
    """Waveforms prefix1 and prefix2 below each other, padded to a common length.

    Returns:
        (R, N) waveforms and (R,) lengths.
    """
    names = [f"{prefix}{n}" for n in numbers(batch, prefix)]
    size = max(batch[name].shape[1] for name in names)
    audio = [F.pad(batch[name], (0, size - batch[name].shape[1])) for name in names]
    return torch.cat(audio), torch.cat([batch[f"{name}_lengths"] for name in names])


def labels(batch: dict[str, Tensor], prefix: str) -> Tensor | None:
    """Labels (R, C) of the sources that have ``prefix``; None if one has none."""
    names = [f"label{n}" for n in numbers(batch, prefix)]
    if not all(name in batch for name in names):
        return None
    return torch.cat([batch[name] for name in names])


def trim(audio: Tensor) -> tuple[Tensor, Tensor]:
    """Leaves out the zeros around clips, so that they look as they do at inference.

    Args:
        audio: (R, N) waveforms; a short clip lies somewhere between zeros.

    Returns:
        (R, N) waveforms that begin with sound, and (R,) samples that they hold.
    """
    size = audio.shape[1]
    sounds = (audio != 0).long()
    first, after = sounds.argmax(1), sounds.flip(1).argmax(1)
    place = torch.arange(size, device=audio.device) + first[:, None]
    return audio.gather(1, place % size), size - after - first


def mixup(audio: Tensor, labels: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Mixes each clip with another one of the batch (Zhang et al., "mixup", 2018).

    Args:
        audio: (R, N) waveforms; they are brought to equal level first, as the network
            does not see levels.
        labels: (R, C).
        alpha: Parameter of the Beta distribution of the proportions.

    Returns:
        Mixed waveforms and labels.
    """
    share = torch.distributions.Beta(alpha, alpha).sample((len(audio), 1)).to(audio)
    order = torch.randperm(len(audio), device=audio.device)
    level = audio.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-5)
    audio = audio / level
    audio = share * audio + (1 - share) * audio[order]
    return audio, share * labels + (1 - share) * labels[order]
