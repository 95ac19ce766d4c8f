"""Options of all commands that use a model, and the model that they choose."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--model``, ``--device`` and ``--threads``."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        metavar="MODEL",
        help="model zip, experiment folder, or a name in the model zoo, which is "
        "downloaded once (default: the model that was installed along, see caresep "
        "models)",
    )
    group.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or mps (default: auto)"
    )
    group.add_argument(
        "--threads", type=at_least_one, help="CPU threads (default: all cores)"
    )


def chosen_model(args: argparse.Namespace) -> Path | str:
    """The model that ``--model`` names, by default the one that was installed along.

    Raises:
        ValueError: If none is named and none was installed.
    """
    if args.model is not None:
        return args.model
    from espnet2_caresep.inference.models import shipped_models

    shipped = shipped_models()
    if not shipped:
        raise ValueError(
            "give --model MODEL, a model zip or an experiment folder: none was "
            "installed along (caresep models lists what is at hand)"
        )
    return shipped[0]


def load_separator(args: argparse.Namespace):
    """The chosen model on the chosen device, as a CaRESeparator.

    Raises:
        ValueError: If the model or the device cannot be used.
    """
    source = chosen_model(args)
    import torch

    from espnet2_caresep.inference.separator import CaRESeparator

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    return CaRESeparator.from_pretrained(source, args.device)


def warn_of_untrained_tags(args: argparse.Namespace) -> None:
    """Says so if the chosen model was trained to separate and not to tag."""
    from espnet2_caresep.inference.package import open_package
    from espnet2_caresep.inference.zoo import fetch_model

    source = Path(chosen_model(args))
    if not source.exists():
        source = fetch_model(str(source))  # in the cache by now
    if open_package(source).config.get("mode") == "sep":
        print(
            f"caresep {args.command}: warning: {source}: was trained to separate, not "
            "to tag; its labels mean little",
            file=sys.stderr,
        )


def at_least_one(given: str) -> int:
    """Type of an option: a whole number from 1 on."""
    if not given.isascii() or not given.isdigit() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {given}")
    return int(given)
