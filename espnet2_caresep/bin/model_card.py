"""Stage 11: the page that presents a model, from its scores and its configuration."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import write_whole


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Write the model card of a scored model",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--results", required=True, help="RESULTS.json of stage 8")
    parser.add_argument("--train_config", required=True, help="config.yaml of training")
    parser.add_argument("--name", required=True, help="what to give to --model")
    parser.add_argument("--license", default="apache-2.0", help="of the weights")
    parser.add_argument("--license_note", default="", help="what else is to be said")
    parser.add_argument("--output", required=True, help="file to write (README.md)")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Makes the card.

    Raises:
        ValueError: If an input cannot be used.
    """
    from espnet2_caresep.inference.network_config import read_config
    from espnet2_caresep.model_card import model_card
    from espnet2_caresep.scoring.results import read_results

    results = read_results(args.results)
    config = read_config(args.train_config)
    try:
        card = model_card(args.name, results, config, args.license, args.license_note)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{args.results}: holds no scores ({error!r})") from error
    with write_whole(Path(args.output)) as part:
        part.write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
