"""One segment of audio and several queries through the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from espnet2_caresep.network.base import QuerySeparator
from espnet2_caresep.network.level import mean_power_around


def separate_segments(
    network: QuerySeparator,
    audio: Tensor,
    pieces: Sequence[slice],
    queries: Tensor,
    partition: bool = False,
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
        audio: (channels, n) float32, on the network's device.
        pieces: Which samples to separate, in slices of one length, at most a segment;
            what surrounds them has a say (:func:`mean_power_around`).
        queries: (queries, query_dim), same device; the unwanted ones are last.
        partition: Whether the masks of all queries may add up to 1 at most.
        batch_size: Masks that the network computes at once.
        unwanted: How many of the queries are unwanted.

    Returns:
        (pieces, channels, wanted queries, samples of a piece) float32.
    """
    around = mean_power_around(network.stft, audio, pieces)
    channels = len(audio)
    audio = torch.cat([audio[:, piece] for piece in pieces])
    size = audio.shape[-1]
    spectrum = network.stft(F.pad(audio, (0, network.segment_samples - size)))
    frames = network.stft.frames(torch.full(audio.shape[:1], size, device=audio.device))
    count = len(queries)
    rows = torch.arange(len(audio) * count, device=audio.device).split(batch_size)
    masks = [
        network.mask(
            spectrum[i // count],
            queries[i % count],
            frames[i // count],
            None if around is None else around[i // count],
        )
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
    return target.view(len(pieces), channels, wanted, size)
