"""Long audio through a network that sees one segment at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def overlap_add(
    process: Callable[[Tensor], Tensor],
    audio: Tensor,
    segment: int,
    overlap: float = 0.25,
) -> Tensor:
    """Processes overlapping segments and cross-fades their outputs.

    Where two segments meet, one fades out as cos^2 while the next fades in as sin^2.
    The weights sum to one at every sample, so what is the same in both segments passes
    unchanged and there is no seam. Audio that fits one segment is processed whole. The
    last segment is as short as what is left; it is always longer than an overlap.

    Args:
        process: (batch, n <= segment) -> (batch, n).
        audio: (batch, samples).
        segment: Longest input of ``process`` in samples.
        overlap: Share of a segment that overlaps the next one, 0 to 0.5.

    Returns:
        (batch, samples).

    Raises:
        ValueError: If ``overlap`` lies outside 0..0.5 or ``segment`` is below 2.
    """
    if not 0 <= overlap <= 0.5 or segment < 2:
        raise ValueError(
            "overlap must lie in 0..0.5 and segment be at least 2 samples, not "
            f"{overlap} and {segment}"
        )
    samples = audio.shape[-1]
    fade = int(segment * overlap)
    phase = (torch.arange(fade, device=audio.device) + 0.5) / max(fade, 1)
    rise = torch.sin(phase * torch.pi / 2).square().to(audio.dtype)
    out = torch.zeros_like(audio)
    # A further segment is needed only for samples that this one does not hold.
    for start in range(0, max(samples - fade, 1), segment - fade):
        end = min(start + segment, samples)
        part = process(audio[:, start:end]).clone()
        if start > 0:
            part[:, :fade] *= rise
        if end < samples:
            part[:, segment - fade :] *= 1 - rise
        out[:, start:end] += part
    return out
