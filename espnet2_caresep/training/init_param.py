"""Says what an ``--init_param`` file covers; ESPnet would load nothing in silence."""

from __future__ import annotations

import logging
from collections import Counter

import torch
from espnet2.torch_utils.safe_torch_load import safe_torch_load

from espnet2_caresep.config import ConfigError

logger = logging.getLogger(__name__)


def check_init_param(
    init_param: str, model: torch.nn.Module, ignore_mismatch: bool = False
) -> dict[str, list[str]]:
    """Compares a file of weights with the model that will get them.

    Args:
        init_param: ESPnet's ``file[:source prefix[:target prefix[:excluded,...]]]``.
        model: The model.
        ignore_mismatch: Whether weights of other names or shapes are left out
            (``--ignore_init_mismatch``) instead of refused.

    Returns:
        Names in the model: ``loaded``, ``not_covered`` (they keep their initial
        values), and names in the file: ``left_out``. It is logged, too.

    Raises:
        ConfigError: If the file cannot be read as weights, nothing matches, or a
            weight does not fit and mismatches are not ignored.
    """
    path, source, target, excluded = (init_param.split(":") + ["", "", ""])[:4]
    state = _load(path)
    for prefix in filter(None, excluded.split(",")):
        state = {k: v for k, v in state.items() if not k.startswith(prefix)}
    if source:
        state = {
            k[len(source) + 1 :]: v for k, v in state.items() if k.startswith(source)
        }
    try:
        part = model.get_submodule(target)
    except AttributeError as error:
        raise ConfigError(f"--init_param {init_param}: {error}") from error
    wanted = part.state_dict()
    loaded = [k for k, v in state.items() if k in wanted and _fits(v, wanted[k])]
    left_out = [k for k in state if k not in loaded]
    if not loaded:
        raise ConfigError(
            f"--init_param {init_param}: none of the {len(state)} weights fits the "
            f"model; it has {_examples(wanted)}, the file {_examples(state)}"
        )
    if left_out and not ignore_mismatch:
        raise ConfigError(
            f"--init_param {init_param}: {len(left_out)} weights have no place of "
            f"their shape in the model, such as {_examples(left_out)}; "
            "--ignore_init_mismatch true leaves them out"
        )
    not_covered = [k for k in wanted if k not in set(loaded)]
    logger.info(
        f"--init_param {init_param}: loads {len(loaded)} of {len(wanted)} tensors; "
        f"not covered: {_summary(not_covered)}; left out: {_summary(left_out)}"
    )
    return {"loaded": loaded, "not_covered": not_covered, "left_out": left_out}


def _load(path: str) -> dict[str, torch.Tensor]:
    try:
        state = safe_torch_load(path, map_location="cpu")
    except Exception as error:  # a damaged file can fail in any way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"--init_param {path}: not a file of weights ({reason})"
        ) from error
    state = state.get("module", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise ConfigError(
            f"--init_param {path}: must hold weights by name; of a checkpoint take "
            "the model files beside it (such as valid.mAP.best.pth)"
        )
    return state


def _fits(value: torch.Tensor, wanted: torch.Tensor) -> bool:
    return value.shape == wanted.shape


def _examples(names) -> str:
    return ", ".join(list(names)[:2]) or "nothing"


def _summary(names: list[str]) -> str:
    """Counts by the parts of the model, such as ``extractor.network.decoder (93)``."""
    counts = Counter(".".join(name.split(".")[:3]) for name in names)
    return ", ".join(f"{name} ({count})" for name, count in counts.items()) or "none"
