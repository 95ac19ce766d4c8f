"""Draws a list of pairs to mix from a data directory.

Every clip is mixed twice, once as each source, with a partner that shares no label; a
list may keep some of these pairs. Each source also gets another clip of its class, the
query that a user would have. Segments begin where a clip is loudest.

The same data directory and seed give the same list. Scores on other lists do not compare.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import soundfile

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import read_table
from espnet2_caresep.data.mixing import loudest_start
from espnet2_caresep.data.pairs import (
    Catalogue,
    Pair,
    draw_partners,
    spread_over_labels,
    write_pairs,
)

GRID = 0.01  # starts are multiples of this many seconds, whole samples at every rate


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--data_dir",
        type=Path,
        required=True,
        help="has wav.scp and labels, and may have utt2class (finer classes) and "
        "utt2group (clips of one recording); no cuts",
    )
    parser.add_argument("--output", type=Path, required=True, help="the list (tsv)")
    parser.add_argument("--seconds", type=float, default=2.55, help="of a segment")
    parser.add_argument(
        "--clips", type=int, help="pair only this many, drawn label by label in turn"
    )
    parser.add_argument("--pairs", type=int, help="keep this many (default: all)")
    parser.add_argument("--exclude", nargs="*", default=[], help="labels to leave out")
    parser.add_argument(
        "--above",
        type=Path,
        help="lines 'label label...': a label and those that contain it, none of which "
        "is mixed with it",
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser


def find_start(path: str, seconds: float) -> float:
    """Returns where the loudest segment of a file begins, in seconds.

    A file that cannot be read begins at 0: stage 3 counts and names it.
    """
    try:
        if soundfile.info(path).duration <= seconds:
            return 0.0
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError):
        return 0.0
    first = loudest_start(audio.mean(axis=1), round(seconds * rate))
    return int(first / rate / GRID) * GRID


def read_catalogue(args: argparse.Namespace) -> Catalogue:
    """Reads the clips to pair: those of no excluded label and not alone with theirs.

    Raises:
        ValueError: If a list is missing or does not fit the others, or no clip is left.
    """
    tables = {}
    for name in ("labels", "utt2class", "utt2group"):
        path = args.data_dir / name
        if name == "labels" or path.exists():
            tables[name] = read_table(path)
    labels = {
        uid: names.split()
        for uid, names in tables["labels"].items()
        if not set(args.exclude).intersection(names.split())
    }
    above = {}
    if args.above is not None:
        above = {k: names.split() for k, names in read_table(args.above).items()}
    fine = tables.get("utt2class")
    try:
        everything = Catalogue(labels)
        labels = {u: n for u, n in labels.items() if not everything.is_alone(u)}
        if not labels:
            raise ValueError(f"{args.data_dir}: no two clips have a common label")
        return Catalogue(
            labels,
            None if fine is None else {uid: fine[uid].split() for uid in labels},
            tables.get("utt2group"),
            above,
        )
    except KeyError as error:
        raise ValueError(
            f"{args.data_dir}: {error} is in labels but not in every other list"
        ) from error


def draw_pairs(args: argparse.Namespace) -> None:
    """Draws and writes the list.

    Raises:
        ValueError: If a list cannot be used or there is no pairing.
    """
    draw = random.Random(f"{args.seed} {args.data_dir.name}")
    paths = read_table(args.data_dir / "wav.scp")
    catalogue = read_catalogue(args)
    uids = catalogue.uids
    if args.clips is not None:
        uids = spread_over_labels(catalogue.labels, args.clips, draw)
    drawn = list(draw_partners(uids, catalogue.clash, draw).items())
    draw.shuffle(drawn)
    pairs = []
    for number, sources in enumerate(drawn[: args.pairs], 1):
        others = [catalogue.draw_other(uid, draw) for uid in sources]
        columns = []
        for uid in (*sources, *others):
            if uid not in paths:
                raise ValueError(f"{args.data_dir}/wav.scp: misses {uid}")
            columns += [uid, find_start(paths[uid], args.seconds)]
        pairs.append(Pair(f"pair{number:04d}", *columns, args.seconds))
    write_pairs(args.output, pairs)
    print(f"{args.output}: {len(pairs)} pairs of {len(uids)} clips")


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), draw_pairs, cmd)


if __name__ == "__main__":
    main()
