"""Query banks as files.

A bank is a safetensors file (numbers and text, nothing that runs) with the tensors

- ``embeddings`` (clips, query_dim) float32, one row per clip,
- ``tags`` (clips, classes) float32, their class logits,
- ``mean`` (query_dim,) float32, the query that the bank stands for,
- ``dispersion`` () float32, see :attr:`Bank.dispersion`,

and in its metadata the fingerprint of the model that made it, its name and the list of
clips with their hashes. An embedding means something to its own model alone, so a bank
of another model is refused.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np

from espnet2_caresep.data.files import write_whole
from espnet2_caresep.inference.banks.bank import Bank, BankError, Source

FORMAT = "caresep-bank-3"
EARLIER = ("caresep-bank-1", "caresep-bank-2")  # had no tags, or no layout
SUFFIX = ".safetensors"
FILE_LIMIT = 256 * 2**20  # bytes; a clip with 16 templates has 100 kB
NAME = re.compile(r"\w[\w.+ -]{0,63}")


def bank_folder() -> Path:
    """Where banks live: ``$XDG_DATA_HOME/caresep/banks``, by default in ~/.local."""
    data = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification says to ignore a path that is not absolute.
    home = Path(data) if os.path.isabs(data) else Path.home() / ".local" / "share"
    return home / "caresep" / "banks"


def bank_path(name_or_path: str | Path) -> Path:
    """File of a bank: a path that ends in .safetensors, or a name in the bank folder.

    Raises:
        BankError: If it can be neither.
    """
    text = str(name_or_path).removeprefix("@")
    if text.endswith(SUFFIX):
        return Path(text)
    if not NAME.fullmatch(text):
        raise BankError(
            f"{text!r} names no bank: letters, digits, spaces and . _ + - (at most 64), "
            f"or a path that ends in {SUFFIX}"
        )
    return bank_folder() / (text + SUFFIX)


def save_bank(path: str | Path, bank: Bank) -> None:
    """Writes a bank, whole or not at all; its folder is made.

    Raises:
        BankError: If the disk refuses.
    """
    from safetensors.numpy import save

    path = Path(path)
    tensors = {
        "embeddings": np.ascontiguousarray(bank.embeddings, dtype=np.float32),
        "tags": np.ascontiguousarray(bank.tags, dtype=np.float32),
        "mean": bank.query.embedding,
        "dispersion": np.array(bank.dispersion, np.float32),
    }
    metadata = {
        "format": FORMAT,
        "name": bank.name,
        "fingerprint": bank.fingerprint,
        "layout": json.dumps(bank.layout),
        "sources": json.dumps([asdict(source) for source in bank.sources]),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as part:
            part.write_bytes(save(tensors, metadata))
    except OSError as error:
        raise BankError(f"{path}: cannot be written ({error.strerror})") from error


def read_bank(name_or_path: str | Path) -> Bank:
    """Reads a bank of whatever model.

    Raises:
        BankError: If there is none, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    from espnet2_caresep.network.query_layout import QueryLayout

    path = bank_path(name_or_path)
    if not path.is_file():
        raise BankError(f"{name_or_path}: no such bank (see caresep bank list)")
    if path.stat().st_size > FILE_LIMIT:
        raise BankError(f"{path}: is larger than a bank can be")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") in EARLIER:
                raise BankError(
                    f"{path}: was made by an earlier version; make it again"
                )
            if metadata.get("format") != FORMAT:
                raise BankError(f"{path}: is not a query bank")
            embeddings, tags = map(file.get_tensor, ("embeddings", "tags"))
        sources = tuple(_source(entry) for entry in json.loads(metadata["sources"]))
        bank = Bank(
            metadata["name"],
            metadata["fingerprint"],
            embeddings,
            tags,
            sources,
            QueryLayout(*map(int, json.loads(metadata["layout"]))),
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, BankError):
            raise
        raise BankError(f"{path}: is damaged ({_one_line(error)})") from error
    shape = embeddings.shape
    if (
        embeddings.dtype != np.float32
        or tags.dtype != np.float32
        or not len(shape) == tags.ndim == 2
        or not shape[0] == len(tags) == len(sources)
        or min(bank.layout) < 0
        or not 1 <= bank.layout.pooled <= bank.layout.size == shape[1]
        or not np.isfinite(embeddings).all()
        or not np.isfinite(tags).all()
        or not sources
        or not (bank.name + bank.fingerprint).isprintable()
    ):
        raise BankError(f"{path}: is damaged (its clips and embeddings do not fit)")
    return bank


def load_bank(name_or_path: str | Path, fingerprint: str) -> Bank:
    """Reads a bank to use it with a model.

    Args:
        name_or_path: Name of a bank, with or without a leading ``@``, or its file.
        fingerprint: The model's fingerprint, ``CaRESeparator.fingerprint``.

    Returns:
        The bank; ``bank.query`` is what to search for.

    Raises:
        BankError: If there is none, it is damaged, or another model made it.
    """
    bank = read_bank(name_or_path)
    if bank.fingerprint != fingerprint:
        raise BankError(
            f"bank {bank.name}: was made with another model ({bank.fingerprint}, this "
            f"one is {fingerprint}); make it again with this model"
        )
    return bank


def _source(entry: dict) -> Source:
    """A clip as the file describes it, which may come from a stranger."""
    source = Source(**entry)
    texts = (source.file, source.sha256)
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise ValueError("a clip has no name")
    if not isinstance(source.seconds, (int, float)) or not 0 < source.seconds < 1e9:
        raise ValueError("a clip has no length")
    return source


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
