"""Trained weights -> network, from an ESPnet folder, a model-zoo zip or a zoo name.

A checkpoint is data: weights are loaded with ``weights_only=True``, may be no larger
than the network of the configuration, and every weight must be the one it asks for.
ESPnet itself is not needed.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from espnet2_caresep.config import check_keys
from espnet2_caresep.inference.network_config import build_network, size_in_bytes
from espnet2_caresep.inference.package import (
    ModelError,
    Package,
    open_files,
    open_package,
)
from espnet2_caresep.inference.presence.listening_rule import ListeningRule
from espnet2_caresep.inference.presence.share_rule import ShareRule
from espnet2_caresep.inference.results import Query
from espnet2_caresep.inference.zoo import fetch_model
from espnet2_caresep.network.base import QuerySeparator
from espnet2_caresep.network.query_layout import QueryLayout

SURE = np.float32(10)  # logit of what is certain
PREFIX = "extractor.network."  # where ESPnetCaRESepModel keeps the network


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what is known of it.

    Attributes:
        network: In evaluation mode, on the CPU.
        labels: Class names in the order of the network's tags; None if unnamed.
        fingerprint: First 16 hexadecimal digits of the weights' SHA-256.
        name: Where it came from.
        presence_rule: How the presence of a sound is scored.
        class_queries: Label -> query of the class's most typical training clip; empty
            if the model brings none, or those of other weights.
    """

    network: QuerySeparator
    labels: list[str] | None
    fingerprint: str
    name: str
    presence_rule: ShareRule | ListeningRule
    class_queries: Mapping[str, Query]


def load_checkpoint(source: str | Path) -> Checkpoint:
    """Loads a model.

    In a folder the weights are the first of: ``valid.mixture_sdr_other.best.pth``,
    ``valid.mixture_sdr.best.pth``, the n-best average ``valid.*.ave.pth``,
    ``latest.pth``.

    Args:
        source: ESPnet experiment folder (with ``config.yaml``), a zip made by
            ``espnet2.bin.pack enh``, or the name of a model in the zoo.

    Raises:
        ModelError: If anything about it does not fit.
    """
    path = Path(source)
    if not path.exists():
        path = fetch_model(str(source))
    return _build(open_package(path))


def load_files(config_file: str | Path, model_file: str | Path) -> Checkpoint:
    """Loads a training configuration and a weights file.

    Raises:
        ModelError: If one is missing, unreadable, or they do not fit each other.
    """
    return _build(open_files(Path(config_file), Path(model_file)))


def _build(package: Package) -> Checkpoint:
    name, config = package.name, package.config
    network = build_network(config, name)
    labels = _labels(config, network.num_classes, name)
    weights = package.read_weights(2 * size_in_bytes(network) + 2**24)
    state = _load_state(weights, name, size_in_bytes(network))
    network.load_state_dict(_network_state(state, network, name))
    network.eval().requires_grad_(False)
    fingerprint = hashlib.sha256(weights).hexdigest()[:16]
    return Checkpoint(
        network,
        labels,
        fingerprint,
        name,
        _presence_rule(config, name),
        _class_queries(
            package.class_queries, fingerprint, network.layout, labels or [], name
        ),
    )


def _labels(config: dict, count: int, name: str) -> list[str] | None:
    labels = config.get("labels") or None
    if labels is None:
        return None
    if not isinstance(labels, list) or not all(isinstance(x, str) for x in labels):
        raise ModelError(f"{name}: its labels are no list of names")
    if len(labels) != count:
        raise ModelError(f"{name}: {len(labels)} labels for {count} classes")
    return labels


def _presence_rule(config: dict, name: str) -> ShareRule | ListeningRule:
    conf = config.get("presence") or {}
    by_share = isinstance(conf, dict) and conf.keys() <= vars(ShareRule()).keys()
    kind = ShareRule if by_share else ListeningRule
    try:
        check_keys("presence", conf, kind)
        return kind(**conf)
    except ValueError as error:
        raise ModelError(f"{name}: {error}") from error


def _class_queries(
    content: bytes | None,
    fingerprint: str,
    layout: QueryLayout,
    labels: list[str],
    name: str,
) -> dict[str, Query]:
    """What ``espnet2_caresep.bin.class_queries`` wrote; none if of other weights."""
    if content is None:
        return {}
    from safetensors.numpy import load

    try:
        queries = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        made_with = (header.get("__metadata__") or {}).get("fingerprint")
    except Exception as error:  # its errors are of the library's own kinds
        raise ModelError(f"{name}: its class queries cannot be read") from error
    if made_with != fingerprint:
        return {}
    dim = layout.without_templates().size
    shapes = {(dim,), (dim + len(labels),)}
    for query in queries.values():
        fits = query.dtype == np.float32 and query.shape in shapes
        if not fits or not np.isfinite(query).all():
            raise ModelError(f"{name}: its class queries are damaged")
    found = {}
    for label, certain in zip(labels, np.eye(len(labels), dtype=bool)):
        if label in queries:
            embedding, tags = np.split(queries[label], [dim])
            embedding = np.pad(embedding, (0, layout.size - dim))
            # Files of earlier versions have no tags: the class alone
            found[label] = Query(
                embedding, tags if len(tags) else np.where(certain, SURE, -SURE)
            )
    return found


def _load_state(weights: bytes, name: str, expected: int) -> object:
    buffer = io.BytesIO(weights)
    try:
        if zipfile.is_zipfile(buffer):
            with zipfile.ZipFile(buffer) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > 2 * expected + 2**24:
                raise ValueError(f"they unpack to {unpacked} bytes")
        buffer.seek(0)
        return torch.load(buffer, map_location="cpu", weights_only=True)
    except Exception as error:  # damage makes the unpickler raise almost anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{name}: weights cannot be read ({reason[:200]})") from error


def _network_state(state: object, network: QuerySeparator, name: str) -> dict:
    """The network's part of a checkpoint, every key and shape checked."""
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor)
        for key, value in state.items()
    ):
        raise ModelError(f"{name}: holds no weights by name (a training checkpoint?)")
    given = {k.removeprefix(PREFIX): v for k, v in state.items() if PREFIX in k}
    wanted = network.state_dict()
    problems = {
        "missing": [k for k in wanted if k not in given],
        "unknown": [k for k in given if k not in wanted],
        "of another shape": [
            k for k in wanted if k in given and given[k].shape != wanted[k].shape
        ],
    }
    for kind, keys in problems.items():
        if keys:
            raise ModelError(
                f"{name}: {len(keys)} of the network's {len(wanted)} weights are {kind}"
                f", first {PREFIX}{keys[0]}; configuration and weights do not belong "
                "together"
            )
    return given
