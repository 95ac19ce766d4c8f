"""One segment of audio and several queries through the network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from espnet2_caresep.network.base import QuerySeparator


def separate_segments(
    network: QuerySeparator,
    audio: Tensor,
    queries: Tensor,
    partition: bool = False,
    lengths: Tensor | None = None,
    batch_size: int = 4,
    unwanted: int = 0,
) -> Tensor:
    """What each query points at in each piece of audio.

    The spectrum of a piece is computed once for all queries. With ``partition`` the
    masks M_q of a piece are divided by max(1, sum of M_q): where the queries together
    claim more of a bin than there is they share it in proportion, elsewhere nothing
    changes, and what is left over is never negative. Unwanted queries take their part
    in that way from every wanted one, whether or not those share among themselves.

    Args:
        network: In evaluation mode.
        audio: (batch, n) float32, n at most a segment, on the network's device.
        queries: (queries, query_dim), same device; the unwanted ones are last.
        partition: Whether the masks of all queries may add up to 1 at most.
        lengths: (batch,) samples that count; all by default.
        batch_size: Masks that the network computes at once.
        unwanted: How many of the queries are unwanted.

    Returns:
        (batch, wanted queries, n) float32, zero beyond ``lengths``.
    """
    size = audio.shape[-1]
    if lengths is None:
        lengths = torch.full(audio.shape[:1], size, device=audio.device)
    valid = torch.arange(size, device=audio.device) < lengths[:, None]
    padded = F.pad(audio * valid, (0, network.segment_samples - size))
    spectrum, frames = network.stft(padded), network.stft.frames(lengths)
    count = len(queries)
    rows = torch.arange(len(audio) * count, device=audio.device).split(batch_size)
    masks = [
        network.mask(spectrum[i // count], queries[i % count], frames[i // count])
        for i in rows
    ]
    mask = torch.cat(masks)[:, : spectrum.shape[1]]
    mask = mask.view(len(audio), count, *mask.shape[1:])
    wanted = count - unwanted
    mask, others = mask[:, :wanted], mask[:, wanted:]
    if partition or unwanted:
        claimed = mask.sum(1, keepdim=True) if partition else mask
        mask = mask / (claimed + others.sum(1, keepdim=True)).clamp(min=1)
    target = network.stft.inverse((spectrum[:, None] * mask).flatten(0, 1), size)
    return target.view(len(audio), wanted, size) * valid[:, None]
