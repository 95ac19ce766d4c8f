"""Measures what likeness to known clips gives beside what else tags.

    python -m espnet2_caresep.bin.known_clips --model MODEL --data_dir dump/raw/valid

prints the mean average precision (mAP) of whole clips by the share of the say that
likeness has. With 0, what else tags is alone; with 1, likeness is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from espnet2_caresep.bin.measuring import open_model, parser_with_model
from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import read_table

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0)


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = parser_with_model(__doc__.splitlines()[0], "clips with labels (stage 3)")
    parser.add_argument(
        "--shares", type=float, nargs="+", default=SHARES, help="of the say"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Measures and prints a table.

    Raises:
        ValueError: If the data, the model or a value cannot be used.
    """
    from espnet2_caresep.scoring.average_precision import mean_average_precision

    if min(args.shares) < 0 or max(args.shares) > 1:
        raise ValueError("--shares must be within 0 and 1")
    separator = open_model(args)
    kernel = separator.network.anchor_net.kernel
    if kernel is None:
        raise ValueError(f"{args.model}: knows no clips (extractor_conf.known_clips)")
    audio, names = (read_table(args.data_dir / name) for name in ("wav.scp", "labels"))
    if missing := audio.keys() - names.keys():
        raise ValueError(f"{args.data_dir}/labels: lacks {min(missing)}")
    targets = np.array(
        [[label in names[uid].split() for label in separator.labels] for uid in audio]
    )
    print("share   mAP")
    for share in args.shares:
        kernel.say = share
        tags = [separator.tag(path).probabilities for path in audio.values()]
        score = mean_average_precision(targets, np.array(tags)).mean
        print(f"{share:5.2f}  {score:.3f}", flush=True)


if __name__ == "__main__":
    main()
