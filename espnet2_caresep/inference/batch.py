"""Many short mixtures at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from espnet2_caresep.inference.audio.recording import Audio, array_shape, to_audio
from espnet2_caresep.inference.audio.resampling import resample
from espnet2_caresep.inference.results import Query, Separation
from espnet2_caresep.inference.stream import separate_whole


def separate_batch(
    separator,
    mixtures: Sequence,
    queries: Sequence,
    sample_rate: int | None,
    query_sample_rate: int | None,
) -> list[Separation]:
    """See ``CaRESeparator.separate_batch``."""
    if len(mixtures) != len(queries):
        raise ValueError(
            f"{len(mixtures)} mixtures and {len(queries)} queries: each mixture needs "
            "its own query"
        )
    items = [to_audio(mix, sample_rate, "mixture") for mix in mixtures]
    rate = query_sample_rate or sample_rate
    wanted = [separator.query(query, rate) for query in queries]
    shapes = [
        getattr(mix, "shape", None) or array_shape(item.channels, item.frames)
        for mix, item in zip(mixtures, items)
    ]
    targets = _short_targets(separator, items, wanted)
    results = []
    for item, query, shape, target in zip(items, wanted, shapes, targets):
        stream = separator.open_stream(
            [query], item.sample_rate, item.channels, name=item.name
        )
        if target is None:
            whole = separate_whole(stream, item.blocks())
        else:
            whole = stream.split(item.samples, target)
        (verdict,) = stream.judge.verdicts()
        results.append(
            Separation(
                whole.stems[0].reshape(shape),
                whole.residual.reshape(shape),
                item.sample_rate,
                *verdict,
            )
        )
    return results


@torch.inference_mode()
def _short_targets(
    separator, items: list[Audio], wanted: list[Query]
) -> list[np.ndarray | None]:
    """Targets at the items' rates; None of those that are not one segment long."""
    network, rows = separator.network, []
    for number, item in enumerate(items):
        inside = item.at(network.sample_rate)
        if network.n_fft <= inside.frames <= network.segment_samples:
            rows += [(number, channel) for channel in inside.samples]
    # Equal lengths side by side: the longest of a batch decides how far all are padded.
    rows.sort(key=lambda row: len(row[1]))
    found: dict[int, list[np.ndarray]] = {}
    size = separator.batch_size
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        lengths = torch.tensor([len(channel) for _, channel in part])
        audio = torch.zeros(len(part), int(lengths.max()))
        for row, (_, channel) in zip(audio, part):
            row[: len(channel)] = torch.from_numpy(channel)
        query = torch.from_numpy(np.stack([wanted[n].embedding for n, _ in part]))
        device = separator.device
        out = network.separate(audio.to(device), query.to(device), lengths)
        for (number, channel), target in zip(part, out.float().cpu().numpy()):
            found.setdefault(number, []).append(target[: len(channel)])
    targets: list[np.ndarray | None] = [None] * len(items)
    for number, channels in found.items():
        rate = items[number].sample_rate
        targets[number] = resample(np.stack(channels), network.sample_rate, rate)
    return targets
