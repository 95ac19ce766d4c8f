"""Leaves out clips that are too short or too long (stage 4)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import read_table, write_table

# wav.scp comes last: where it is, the directory is whole
LISTS = ("labels", "utt2class", "utt2group", "utt2num_samples", "wav.scp")


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--fs", type=int, default=32000, help="sample rate in Hz")
    parser.add_argument("--min_wav_duration", type=float, default=0.1, help="seconds")
    parser.add_argument("--max_wav_duration", type=float, default=20.0, help="seconds")
    return parser


def filter_data(args: argparse.Namespace) -> None:
    """Writes the lists without the clips outside the range; audio stays where it is.

    Raises:
        ValueError: If a list is missing or no clip is left.
    """
    samples = read_table(args.data_dir / "utt2num_samples")
    kept = {
        uid
        for uid, number in samples.items()
        if args.min_wav_duration <= int(number) / args.fs <= args.max_wav_duration
    }
    if not kept:
        raise ValueError(
            f"{args.data_dir}: none of its {len(samples)} clips lasts between "
            f"{args.min_wav_duration:g} and {args.max_wav_duration:g} s"
        )
    args.output_dir.mkdir(parents=True, exist_ok=True)
    for name in LISTS:
        if (args.data_dir / name).exists():
            table = read_table(args.data_dir / name)
            write_table(
                args.output_dir / name,
                {uid: value for uid, value in table.items() if uid in kept},
            )
    print(
        f"{args.output_dir}: {len(kept)} of {len(samples)} clips last between "
        f"{args.min_wav_duration:g} and {args.max_wav_duration:g} s"
    )


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), filter_data, cmd)


if __name__ == "__main__":
    main()
