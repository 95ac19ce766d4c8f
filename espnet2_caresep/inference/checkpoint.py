"""Trained weights -> network, from an ESPnet folder or a model-zoo zip.

A checkpoint is data: weights are loaded with ``weights_only=True``, a zip is read
member by member and never unpacked, and every weight must be the one the network of the
configuration asks for. ESPnet itself is not needed.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from espnet2_caresep.config import check_keys
from espnet2_caresep.network.base import QuerySeparator
from espnet2_caresep.network.systems import SYSTEMS

PREFIX = "extractor.network."  # where ESPnetCaRESepModel keeps the network
CONFIG_LIMIT = 64 * 2**20  # bytes; configurations are some kilobytes
WEIGHTS_LIMIT = 8 * 2**30  # bytes; the 2048-d model has about 1.2 GB


class ModelError(ValueError):
    """A model that cannot be used, with a one-line reason."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what is known of it.

    Attributes:
        network: In evaluation mode, on the CPU.
        labels: Class names in the order of the network's tags; None if unnamed.
        fingerprint: First 16 hexadecimal digits of the weights' SHA-256.
        name: Where it came from.
    """

    network: QuerySeparator
    labels: list[str] | None
    fingerprint: str
    name: str


def load_checkpoint(source: str | Path) -> Checkpoint:
    """Loads a model folder or a model-zoo zip.

    In a folder the weights are the first of: ``valid.mixture_sdr.best.pth``, the n-best
    average ``valid.*.ave.pth``, ``latest.pth``.

    Args:
        source: ESPnet experiment folder (with ``config.yaml``), or a zip made by
            ``espnet2.bin.pack enh``.

    Raises:
        ModelError: If anything about it does not fit.
    """
    source = Path(source)
    if source.is_dir():
        return load_files(source / "config.yaml", _choose_weights(source))
    if not source.exists():
        raise ModelError(f"{source}: no such model folder or zip")
    if not zipfile.is_zipfile(source) or source.suffix == ".pth":
        raise ModelError(
            f"{source}: is neither a model folder nor a model-zoo zip (for a .pth file "
            "give the folder it is in)"
        )
    try:
        with zipfile.ZipFile(source) as archive:
            meta = _parse(_member(archive, "meta.yaml", CONFIG_LIMIT), source)
            names = meta.get("yaml_files"), meta.get("files")
            if not all(isinstance(entry, dict) for entry in names):
                raise ModelError(f"{source}: meta.yaml names no files")
            config = _member(archive, names[0].get("train_config"), CONFIG_LIMIT)
            weights = _member(archive, names[1].get("model_file"), WEIGHTS_LIMIT)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise ModelError(f"{source}: is damaged ({error})") from error
    return _build(config, weights, str(source))


def load_files(config_file: str | Path, model_file: str | Path) -> Checkpoint:
    """Loads a training configuration and a weights file.

    Raises:
        ModelError: If one is missing, unreadable, or they do not fit each other.
    """
    return _build(_read(config_file), _read(model_file), str(model_file))


def read_config(path: str | Path) -> dict:
    """Reads an ESPnet training configuration.

    Raises:
        ModelError: If it is missing or not a YAML mapping.
    """
    return _parse(_read(path), path)


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
        raise ModelError(f"{name}: extractor is {extractor!r}, not {known}")
    conf = config.get("extractor_conf") or {}
    try:
        check_keys("extractor_conf", conf, network_class)
        return network_class(**conf)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{name}: {str(error).splitlines()[0]}") from error


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error


def _choose_weights(folder: Path) -> Path:
    for pattern in ("valid.mixture_sdr.best.pth", "valid.*.ave.pth", "latest.pth"):
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    raise ModelError(
        f"{folder}: holds no weights (valid.mixture_sdr.best.pth, valid.*.ave.pth or "
        "latest.pth)"
    )


def _member(archive: zipfile.ZipFile, name: object, limit: int) -> bytes:
    # ESPnet stores absolute paths without their leading slash.
    entry = str(name).lstrip("/")
    if entry not in archive.namelist():
        raise ModelError(f"{archive.filename}: holds no {entry}")
    if archive.getinfo(entry).file_size > limit:
        raise ModelError(f"{archive.filename}: {entry} is larger than {limit} bytes")
    return archive.read(entry)


def _parse(content: bytes, name: object) -> dict:
    try:
        config = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{name}: its YAML cannot be read ({reason})") from error
    if not isinstance(config, dict):
        raise ModelError(f"{name}: its YAML holds no settings")
    return config


def _build(config_bytes: bytes, weights: bytes, name: str) -> Checkpoint:
    config = _parse(config_bytes, name)
    network = build_network(config, name)
    labels = config.get("labels") or None
    if labels is not None and len(labels) != network.num_classes:
        raise ModelError(
            f"{name}: {len(labels)} labels for {network.num_classes} classes"
        )
    try:
        state = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{name}: weights cannot be read ({reason})") from error
    network.load_state_dict(_network_state(state, network, name))
    network.eval().requires_grad_(False)
    fingerprint = hashlib.sha256(weights).hexdigest()[:16]
    return Checkpoint(network, labels, fingerprint, name)


def _network_state(state: object, network: QuerySeparator, name: str) -> dict:
    """The network's part of a checkpoint, every key and shape checked."""
    if not isinstance(state, dict) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
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
