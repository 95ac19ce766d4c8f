"""From clips to a query bank."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from espnet2_caresep.inference.audio import read_audio
from espnet2_caresep.inference.bank import Bank, Source


def embed_clip(separator, path: str | Path) -> tuple[np.ndarray, Source]:
    """Embeds a clip for a bank.

    Args:
        separator: A :class:`~espnet2_caresep.inference.CaRESeparator`.
        path: Audio file.

    Returns:
        (query_dim,) float32 and where it came from.

    Raises:
        ValueError: If the clip cannot be a query.
    """
    clip = read_audio(path)
    seconds = clip.samples.shape[-1] / clip.sample_rate
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    embedding = separator.embed(clip)
    return embedding, Source(Path(path).name, digest, round(seconds, 3))


def extend_bank(
    name: str,
    separator,
    clips: Sequence[tuple[np.ndarray, Source]],
    bank: Bank | None = None,
) -> Bank:
    """Puts embedded clips into a bank.

    Args:
        name: Name of the bank.
        separator: The CaRESeparator that embedded the clips.
        clips: From :func:`embed_clip`, at least one.
        bank: A bank of the same model to add to; by default a new one.
    """
    embeddings, sources = zip(*clips)
    if bank is not None:
        embeddings = (*bank.embeddings, *embeddings)
        sources = (*bank.sources, *sources)
    network = separator.network
    pooled = getattr(network, "pooled_dim", network.query_dim)
    return Bank(name, separator.fingerprint, np.stack(embeddings), sources, pooled)
