"""What the commands that measure a finished model have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from espnet2_caresep.inference import CaRESeparator


def parser_with_model(
    description: str, data: str | None = None
) -> argparse.ArgumentParser:
    """A parser that shows defaults and knows ``--model`` and ``--num_threads``.

    Args:
        description: Of the command.
        data: What ``--data_dir`` holds, if there is to be one.
    """
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="zip or experiment folder")
    parser.add_argument("--num_threads", type=int, default=1, help="CPU threads")
    if data is not None:
        parser.add_argument("--data_dir", type=Path, required=True, help=data)
    return parser


def require_positive(args: argparse.Namespace, *names: str) -> None:
    """Refuses options below 1.

    Raises:
        ValueError: If one of them is.
    """
    if min(getattr(args, name) for name in names) < 1:
        listed = " and ".join(f"--{name}" for name in names)
        raise ValueError(f"{listed} must be at least 1")


def open_model(args: argparse.Namespace, **options: float) -> CaRESeparator:
    """Loads ``--model`` on the CPU, on which it takes ``--num_threads``.

    Args:
        args: What :func:`parser_with_model` parsed.
        options: Of the separator.

    Raises:
        ValueError: If the model or the number of threads cannot be used.
    """
    require_positive(args, "num_threads")
    # Late: --help must not wait for torch
    import torch

    from espnet2_caresep.inference import CaRESeparator

    torch.set_num_threads(args.num_threads)
    return CaRESeparator.from_pretrained(args.model, "cpu", **options)
