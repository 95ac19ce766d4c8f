"""Trained weights -> network, from an ESPnet folder, a model-zoo zip or a zoo name.

A checkpoint is data: weights are loaded with ``weights_only=True``, may be no larger
than the network of the configuration, and every weight must be the one it asks for.
ESPnet itself is not needed.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from espnet2_caresep.config import ConfigError, check_keys
from espnet2_caresep.inference.package import (
    CONFIG_LIMIT,
    WEIGHTS_LIMIT,
    ModelError,
    Package,
    open_files,
    open_package,
    parse_yaml,
)
from espnet2_caresep.inference.presence import PresenceRule
from espnet2_caresep.inference.zoo import fetch_model
from espnet2_caresep.network.base import QuerySeparator
from espnet2_caresep.network.systems import SYSTEMS

PREFIX = "extractor.network."  # where ESPnetCaRESepModel keeps the network
LARGEST = 2**20  # of any number in a network's configuration
LONGEST = 64  # items of any list there


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what is known of it.

    Attributes:
        network: In evaluation mode, on the CPU.
        labels: Class names in the order of the network's tags; None if unnamed.
        fingerprint: First 16 hexadecimal digits of the weights' SHA-256.
        name: Where it came from.
        presence_rule: How the presence of a sound is scored.
        class_queries: Label -> (query_dim,) float32, the mean embedding of the class's
            training clips; empty if the model brings none, or those of other weights.
    """

    network: QuerySeparator
    labels: list[str] | None
    fingerprint: str
    name: str
    presence_rule: PresenceRule
    class_queries: Mapping[str, np.ndarray]


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


def read_config(path: str | Path) -> dict:
    """Reads an ESPnet training configuration.

    Raises:
        ModelError: If it is missing or not a YAML mapping.
    """
    try:
        with open(path, "rb") as file:
            return parse_yaml(file.read(CONFIG_LIMIT), path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error


def build_network(config: dict, name: str) -> QuerySeparator:
    """Builds the untrained network of an ESPnet training configuration.

    Args:
        config: The YAML's content; ``extractor`` names the system and
            ``extractor_conf`` holds its arguments.
        name: What to call the configuration in messages.

    Raises:
        ModelError: If it describes another model or cannot be built.
    """
    extractor = config.get("extractor", "caresep")
    network_class = SYSTEMS.get(str(extractor))
    if network_class is None:
        known = " or ".join(map(repr, SYSTEMS))
        raise ModelError(f"{name}: extractor is {str(extractor)[:80]!r}, not {known}")
    conf = config.get("extractor_conf") or {}
    try:
        check_keys("extractor_conf", conf, network_class)
        for key, value in conf.items():
            _check_size(f"extractor_conf: {key}", value)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # layers of size 0, refused with the weights
            # Built without memory first: a configuration may ask for any size.
            with torch.device("meta"):
                size = _bytes(network_class(**conf))
            if size > WEIGHTS_LIMIT:
                raise ValueError(f"its network would have {size} bytes of weights")
            return network_class(**conf)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{name}: {reason[:300]}") from error


def _check_size(name: str, value: object) -> None:
    values = value if isinstance(value, (list, tuple)) else [value]
    if len(values) > LONGEST:
        raise ValueError(f"{name} has {len(values)} items, at most {LONGEST} are usual")
    for item in values:
        if not isinstance(item, (int, float, str, type(None))):
            raise ConfigError(f"{name} must not hold lists of lists")
        if isinstance(item, (int, float)) and not abs(item) <= LARGEST:
            raise ValueError(f"{name} must not exceed {LARGEST}")


def _bytes(network: torch.nn.Module) -> int:
    return sum(v.numel() * v.element_size() for v in network.state_dict().values())


def _build(package: Package) -> Checkpoint:
    name, config = package.name, package.config
    network = build_network(config, name)
    labels = _labels(config, network.num_classes, name)
    weights = package.read_weights(2 * _bytes(network) + 2**24)
    state = _load_state(weights, name, _bytes(network))
    network.load_state_dict(_network_state(state, network, name))
    network.eval().requires_grad_(False)
    fingerprint = hashlib.sha256(weights).hexdigest()[:16]
    dim = network.query_dim
    return Checkpoint(
        network,
        labels,
        fingerprint,
        name,
        _presence_rule(config, name),
        _class_queries(package.class_queries, fingerprint, dim, name),
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


def _presence_rule(config: dict, name: str) -> PresenceRule:
    conf = config.get("presence") or {}
    try:
        check_keys("presence", conf, PresenceRule)
        return PresenceRule(**conf)
    except ValueError as error:
        raise ModelError(f"{name}: {error}") from error


def _class_queries(
    content: bytes | None, fingerprint: str, dim: int, name: str
) -> dict[str, np.ndarray]:
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
    for query in queries.values():
        fits = query.dtype == np.float32 and query.shape == (dim,)
        if not fits or not np.isfinite(query).all():
            raise ModelError(f"{name}: its class queries are damaged")
    return queries


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
