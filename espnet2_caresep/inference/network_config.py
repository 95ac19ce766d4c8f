"""Training configuration -> untrained network; a configuration may come from anyone."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from espnet2_caresep.config import ConfigError, check_keys
from espnet2_caresep.inference.package import (
    CONFIG_LIMIT,
    WEIGHTS_LIMIT,
    ModelError,
    parse_yaml,
)
from espnet2_caresep.network.base import QuerySeparator
from espnet2_caresep.network.systems import SYSTEMS

LARGEST = 2**20  # of any number in a network's configuration
LONGEST = 64  # items of any list there


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
            # Layers of size 0 are refused with the weights
            warnings.simplefilter("ignore")
            # Built without memory first: a configuration may ask for any size.
            with torch.device("meta"):
                size = size_in_bytes(network_class(**conf))
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


def size_in_bytes(network: torch.nn.Module) -> int:
    """What the weights of a network take."""
    return sum(v.numel() * v.element_size() for v in network.state_dict().values())
