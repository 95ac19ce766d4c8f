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
    The weights are divided by their sum, so what is the same in both segments passes
    unchanged and there is no seam. Audio that fits one segment is processed whole. The
    last segment ends with the audio and overlaps its predecessor by as much as that
    takes: a short tail would leave the network without context.

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
    if samples <= segment:
        return process(audio)
    fade = int(segment * overlap)
    phase = (torch.arange(fade, device=audio.device) + 0.5) / max(fade, 1)
    window = audio.new_ones(segment)
    window[:fade] = torch.sin(phase * torch.pi / 2).square()
    window[segment - fade :] = window[:fade].flip(0)
    last = samples - segment
    out, weight = torch.zeros_like(audio), audio.new_zeros(samples)
    for start in [*range(0, last, segment - fade), last]:
        part = slice(start, start + segment)
        out[:, part] += window * process(audio[:, part])
        weight[part] += window
    return out / weight
