"""Clips of any length through the encoder: embeddings and tags, segment by segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from espnet2_caresep.inference.audio.reader import AudioError, AudioReader
from espnet2_caresep.inference.audio.recording import SILENCE_POWER, Audio
from espnet2_caresep.inference.audio.resampling import Resampler, resample
from espnet2_caresep.inference.results import Query, Tags
from espnet2_caresep.network.base import AnchorEncoder
from espnet2_caresep.network.query_layout import QueryLayout, mean_query
from espnet2_caresep.network.swin_unet import TOKEN_FRAMES


def embed(
    network: AnchorEncoder,
    source: Audio | AudioReader,
    device: torch.device,
    start: float = 0.0,
    end: float | None = None,
) -> Query:
    """Embedding and class logits of a clip, downmixed to mono.

    A clip longer than a segment is cut into segments of which both are averaged, each
    weighted by its length; segments below -100 dB are left out.

    Args:
        network: In evaluation mode.
        source: The clip.
        device: The network's.
        start: Seconds at which the example begins.
        end: Seconds at which it ends; by default the clip's end.

    Raises:
        AudioError: If the clip is silent, too short, not finite, or does not reach
            from ``start`` to ``end``.
    """
    seconds = source.frames / source.sample_rate
    end = seconds if end is None else end
    if not 0 <= start < min(end, seconds):
        raise AudioError(
            f"{source.name}: {start:g} to {end:g} s lie outside its {seconds:.2f} s"
        )
    anchors, weights = [], []
    first, last = (round(second * source.sample_rate) for second in (start, end))
    size = network.segment_samples
    for part in _segments(network, source, size, size, first, last):
        if np.mean(np.square(part, dtype=np.float64)) >= SILENCE_POWER:
            anchors.append(network.encode_anchor(torch.from_numpy(part).to(device)))
            weights.append(part.shape[1])
    if not weights:
        raise AudioError(f"{source.name}: the query is silent")
    queries = torch.stack([anchor.query.float() for anchor in anchors], 1)
    tags = torch.stack([anchor.clip_logits.float() for anchor in anchors], 1)
    weight = torch.tensor([weights], dtype=torch.float32, device=device)
    found = Query(
        mean_query(queries, weight, network.layout)[0].cpu().numpy(),
        mean_query(tags, weight, QueryLayout(network.num_classes))[0].cpu().numpy(),
    )
    if not np.isfinite(found.embedding).all():
        raise AudioError(
            f"{source.name}: its embedding is not finite; are its samples far beyond "
            "+-1, or the weights damaged?"
        )
    return found


def hear(
    network: AnchorEncoder,
    pieces: Sequence[np.ndarray],
    sample_rate: int,
    device: torch.device,
    batch_size: int,
) -> list[Query]:
    """Embeds and tags pieces of audio that are already known to be usable.

    Args:
        network: In evaluation mode.
        pieces: At least one, (samples,) float32, of a segment at most.
        sample_rate: Their rate in Hz.
        device: The network's.
        batch_size: Pieces that the network treats at once.

    Returns:
        One for each piece.
    """
    longest, found = network.segment_samples, []
    inside = [
        resample(piece[None], sample_rate, network.sample_rate)[0, :longest]
        for piece in pieces
    ]
    for start in range(0, len(inside), batch_size):
        part = [torch.from_numpy(piece) for piece in inside[start : start + batch_size]]
        lengths = torch.tensor([len(piece) for piece in part])
        audio = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
        anchor = network.encode_anchor(audio.to(device), lengths)
        embeddings, tags = (
            x.float().cpu().numpy() for x in (anchor.query, anchor.clip_logits)
        )
        found += map(Query, embeddings, tags)
    return found


def tag(
    network: AnchorEncoder,
    source: Audio | AudioReader,
    device: torch.device,
    labels: list[str] | None,
) -> Tags:
    """Tags a clip of any length, downmixed to mono.

    A clip longer than a segment is cut into segments whose logits are averaged, each
    weighted by its length. They overlap a little, so that all but the last are as long
    as those of training.

    Raises:
        AudioError: If it is too short or not finite.
    """
    size, hop = network.segment_samples, TOKEN_FRAMES * network.hop_length
    # Steps of whole token frames keep the frames of a long clip on one grid.
    step = size // hop * hop or size
    clips, frames, weights = [], [], []
    for part in _segments(network, source, size, step):
        if clips and part.shape[1] < network.n_fft:
            continue  # less than a window is left: nothing to judge
        clip_logits, frame_logits = network.tag(torch.from_numpy(part).to(device))
        clips.append(clip_logits[0].float())
        frames.append(frame_logits[0, : -(-part.shape[1] // hop)].float())
        weights.append(part.shape[1])
    # Where segments overlap, a frame is the later one's.
    frames[:-1] = [part[: max(1, step // hop)] for part in frames[:-1]]
    weight = torch.tensor(weights, device=device) / sum(weights)
    clip_logits = (torch.stack(clips) * weight[:, None]).sum(0)
    return Tags(
        labels,
        clip_logits.sigmoid().cpu().numpy(),
        torch.cat(frames).sigmoid().cpu().numpy(),
        hop / network.sample_rate,
    )


def _segments(
    network: AnchorEncoder,
    source: Audio | AudioReader,
    size: int,
    step: int,
    first: int = 0,
    last: int | None = None,
) -> Iterator[np.ndarray]:
    """Mono pieces (1, size) at the network's rate, each a step after the one before;
    the last one, which ends where the audio ends, may be shorter."""
    converter = Resampler(source.sample_rate, network.sample_rate, 1)
    held, whole = np.zeros((1, 0), np.float32), True
    for block in source.blocks(first, last):
        mono = converter.push(block.mean(0, keepdims=True))
        held = np.concatenate([held, mono], 1)
        while held.shape[1] > size:
            yield held[:, :size]
            held, whole = held[:, step:], False
    held = np.concatenate([held, converter.finish()], 1)
    if whole and held.shape[1] < network.n_fft:
        raise AudioError(
            f"{source.name}: is shorter than one analysis window "
            f"({1000 * network.n_fft / network.sample_rate:.0f} ms)"
        )
    while held.shape[1] > size:
        yield held[:, :size]
        held = held[:, step:]
    yield held
