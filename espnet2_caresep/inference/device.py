"""Where a network runs."""

from __future__ import annotations

import torch


def choose_device(name: str) -> torch.device:
    """The torch device of a name; "auto" is the first of cuda, mps, cpu that is there.

    Raises:
        ValueError: If the name is unknown or the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        has_mps = torch.backends.mps.is_available()
        return torch.device("mps" if has_mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"device must be auto, cpu, cuda or mps, not {name}"
        ) from error
    there = {"cpu": True, "cuda": torch.cuda.is_available()}
    there["mps"] = torch.backends.mps.is_available()
    if not there.get(device.type, False):
        raise ValueError(f"there is no device {name} here; use --device cpu or auto")
    return device
