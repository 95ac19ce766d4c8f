"""Puts a packed model where a recipe looks for a trained one.

    python -m espnet2_caresep.bin.fetch_model --model MODEL.zip --config exp/X/config.yaml \
        --weights exp/X/MODEL.pth

Files that hold the same already are left as they are, so that what was made with them
counts as done.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import write_whole
from espnet2_caresep.zoo import fetch


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description="Unpack a model for a recipe")
    parser.add_argument(
        "--model", required=True, help="tag, URL or zip of ESPnet's model zoo"
    )
    parser.add_argument("--config", required=True, help="configuration to write")
    parser.add_argument("--weights", required=True, help="weights to write")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Copies configuration and weights.

    Raises:
        ValueError: If there is no such model.
    """
    files = fetch(args.model)
    if not {"train_config", "model_file"} <= set(files):
        raise ValueError(f"{args.model}: is no model of a separation task")
    for source, target in (
        (files["train_config"], Path(args.config)),
        (files["model_file"], Path(args.weights)),
    ):
        if target.exists() and filecmp.cmp(source, target, shallow=False):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(target) as part:
            shutil.copyfile(source, part)


if __name__ == "__main__":
    main()
