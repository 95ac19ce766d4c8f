"""From clips to a query bank."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from espnet2_caresep.inference.audio.recording import read_audio
from espnet2_caresep.inference.banks.bank import Bank, Source
from espnet2_caresep.inference.results import Query


def embed_clip(separator, path: str | Path) -> tuple[Query, Source]:
    """Embeds and tags a clip for a bank.

    Args:
        separator: A :class:`~espnet2_caresep.inference.CaRESeparator`.
        path: Audio file.

    Returns:
        What the model hears in it, and where it came from.

    Raises:
        ValueError: If the clip cannot be a query.
    """
    clip = read_audio(path)
    seconds = clip.samples.shape[-1] / clip.sample_rate
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return separator.query(clip), Source(Path(path).name, digest, round(seconds, 3))


def extend_bank(
    name: str,
    separator,
    clips: Sequence[tuple[Query, Source]],
    bank: Bank | None = None,
) -> Bank:
    """Puts embedded clips into a bank.

    Args:
        name: Name of the bank.
        separator: The CaRESeparator that embedded the clips.
        clips: From :func:`embed_clip`, at least one.
        bank: A bank of the same model to add to; by default a new one.
    """
    queries, sources = zip(*clips)
    embeddings = np.stack([query.embedding for query in queries])
    tags = np.stack([query.tags for query in queries])
    if bank is not None:
        embeddings = np.concatenate([bank.embeddings, embeddings])
        tags = np.concatenate([bank.tags, tags])
        sources = (*bank.sources, *sources)
    layout = separator.network.layout
    return Bank(name, separator.fingerprint, embeddings, tags, sources, layout)
