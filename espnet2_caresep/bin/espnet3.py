"""Trains under ESPnet3, with Lightning.

    python -m espnet2_caresep.bin.espnet3 --training_config conf/espnet3.yaml

The configuration is ESPnet3's and complete: its template for recognition, with which
``espnet3.systems.launch`` would fill gaps, asks for shape files that nothing here needs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet2_caresep.config import check_file
from espnet2_caresep.data.command import run_command


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description="Train under ESPnet3")
    parser.add_argument(
        "--training_config", required=True, help="such as conf/espnet3.yaml"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Runs the training stage.

    Raises:
        ValueError: If the configuration is missing.
    """
    check_file("--training_config", args.training_config)
    from espnet3.systems.base.training import train
    from espnet3.utils.config_utils import load_config_with_defaults

    train(load_config_with_defaults(args.training_config))


if __name__ == "__main__":
    main()
