"""What models make of the clips of two classes (paper section 4.2).

A clip of a class is given to a model as query and as input: its query embedding is the
pooled output of the query's encoder, its separation feature the pooled output of the
connector when the clip is to be separated from itself. Nothing but the place where the
two are taken differs between them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from espnet2_caresep.data.files import read_table
from espnet2_caresep.data.mixing import loudest_start
from espnet2_caresep.inference.audio.recording import Audio, read_audio
from espnet2_caresep.network.base import QuerySeparator
from espnet2_caresep.progress import progress
from espnet2_caresep.scoring.divergence import MIN_CLIPS

logger = logging.getLogger("embeddings")

KINDS = ("separation feature", "query embedding")


def read_classes(data_dir: str | Path) -> tuple[dict[str, str], dict[str, set[str]]]:
    """The clips of a data directory.

    Args:
        data_dir: Holds ``wav.scp`` and ``labels``.

    Returns:
        Clip to path, and clip to its classes.

    Raises:
        ValueError: If a file cannot be used, or they share no clip.
    """
    paths = read_table(Path(data_dir, "wav.scp"))
    labels = read_table(Path(data_dir, "labels"))
    classes = {uid: set(labels[uid].split()) for uid in paths if uid in labels}
    if not classes:
        raise ValueError(f"{data_dir}: no clip of wav.scp is in labels")
    return paths, classes


def largest_classes(classes: Mapping[str, set[str]]) -> list[str]:
    """The two classes with the most clips, by name among equals.

    Raises:
        ValueError: If there are fewer than two.
    """
    counts = Counter(name for names in classes.values() for name in names)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    if len(ranked) < 2:
        raise ValueError("there are fewer than two classes of clips")
    return ranked[:2]


def candidates(
    classes: Mapping[str, set[str]], pair: Sequence[str], seed: int
) -> dict[str, list[str]]:
    """Clips of each of two classes in random order; clips of both belong to neither.

    Raises:
        ValueError: If the two are one, or one has fewer than ``MIN_CLIPS`` such clips.
    """
    if pair[0] == pair[1]:
        raise ValueError(f"two classes are needed, not {pair[0]} twice")
    known = {name for names in classes.values() for name in names}
    rng = np.random.default_rng(seed)
    found = {}
    for name, other in zip(pair, reversed(pair)):
        if name not in known:
            raise ValueError(f"there is no clip of class {name}")
        # Sorted: the draw must not depend on the order of the lists.
        uids = sorted(u for u, names in classes.items() if names & set(pair) == {name})
        if len(uids) < MIN_CLIPS:
            raise ValueError(
                f"class {name}: {len(uids)} clips are not also of {other}, {MIN_CLIPS} "
                "are needed; choose --classes"
            )
        found[name] = [uids[i] for i in rng.permutation(len(uids))]
    return found


def embed_clips(
    networks: Sequence[QuerySeparator],
    device: torch.device,
    paths: Mapping[str, str],
    uids: Sequence[str],
    number: int,
) -> dict[str, list[list[np.ndarray]]]:
    """Embeds the first ``number`` usable clips with every network.

    All networks hear the same part of a clip: the loudest one of the length of the
    shortest segment among them. Clips that cannot be used are skipped and logged.

    Args:
        networks: On ``device``, in evaluation mode.
        device: Where to compute.
        paths: Clip to audio file.
        uids: Clips in the order in which to take them.
        number: How many to take.

    Returns:
        Clip to, for each network, the vectors of :data:`KINDS`.
    """
    done = {}
    bar = progress(range(min(number, len(uids))), "embed")
    waiting = iter(uids)
    for _ in bar:
        for uid in waiting:
            try:
                audio = _loudest(read_audio(paths[uid]), networks)
            except ValueError as error:
                logger.warning("skipped %s: %s", uid, error)
                continue
            done[uid] = [_embed(network, device, audio) for network in networks]
            break
    return done


def seconds_heard(networks: Sequence[QuerySeparator]) -> float:
    """Length of the longest piece that is a segment for every network."""
    return min(net.segment_samples / net.sample_rate for net in networks)


def _loudest(audio: Audio, networks: Sequence[QuerySeparator]) -> Audio:
    audio = audio.mono()
    if audio.is_silent():
        raise ValueError("is silent")
    samples = audio.samples[0]
    size = int(seconds_heard(networks) * audio.sample_rate)
    window = max(net.n_fft / net.sample_rate for net in networks)
    if len(samples) < window * audio.sample_rate:
        raise ValueError(f"is shorter than an analysis window ({window:.3f} s)")
    start = loudest_start(samples, size)
    return Audio(samples[None, start : start + size], audio.sample_rate, audio.name)


@torch.inference_mode()
def _embed(
    network: QuerySeparator, device: torch.device, audio: Audio
) -> list[np.ndarray]:
    samples = audio.at(network.sample_rate).samples[:, : network.segment_samples]
    clip = torch.from_numpy(samples).to(device)
    query = network.embed(clip)
    feature = network.separation_feature(clip, query)
    vectors = [feature[0], query[0, : network.pooled_dim]]
    return [vector.float().cpu().numpy() for vector in vectors]
