"""Measures what the overlap of segments is worth on long mixtures.

    python -m espnet2_caresep.bin.overlap --model MODEL --data_dir dump/raw/test

makes mixtures of two classes each: up to three clips of a class one after the other, at
equal power, again and again, mixed at 0 dB. For several overlaps it prints

- *own*, *other*: mean SDR in dB of the target, where the query is the target itself or
  a clip of its class that is not in it,
- *shift*: mean (and lowest) SDR in dB of a result against that with segments that begin
  half a hop elsewhere,
- *time*: seconds of work per second of audio.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_caresep.bin.borders import shifted
from espnet2_caresep.bin.measuring import (
    open_model,
    parser_with_model,
    require_positive,
)
from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import read_table
from espnet2_caresep.data.mixing import balance_energy, mix_pair, read_segment

CLIPS = 3  # of a class in a mixture; one more is the query
LONGEST = 4.0  # seconds of a clip


@dataclass(frozen=True)
class Item:
    """A long mixture, (samples,) float32, with its target and a query."""

    mixture: np.ndarray
    target: np.ndarray
    other: np.ndarray


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = parser_with_model(
        "Measure what the overlap of segments is worth", "formatted clips (stage 3)"
    )
    parser.add_argument("--count", type=int, default=12, help="mixtures")
    parser.add_argument("--seconds", type=float, default=12.0, help="of a mixture")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument(
        "--overlap", type=float, nargs="+", default=[0.25, 0.5, 0.75, 0.9]
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
    require_positive(args, "count")
    separator = open_model(args)
    rate = separator.sample_rate
    if args.seconds * rate <= 3 * separator.network.segment_samples:
        raise ValueError(
            f"--seconds {args.seconds:g}: more than three segments are needed"
        )
    items = draw(args.data_dir, args.count, args.seconds, rate, args.seed)
    print("overlap  own, dB  other, dB  shift, dB (lowest)  time")
    for overlap in args.overlap:
        separator.overlap = overlap
        found = measure(separator, items)
        print(
            "{:7.2f}  {:7.2f}  {:9.2f}  {:9.1f} ({:6.1f})  {:4.2f}".format(
                overlap, *found
            )
        )
        sys.stdout.flush()


def draw(
    data_dir: Path, count: int, seconds: float, sample_rate: int, seed: int = 0
) -> list[Item]:
    """Draws mixtures of two classes of a data directory.

    Raises:
        ValueError: If there are no two classes of enough clips, or one is unreadable.
    """
    paths, classes = (read_table(data_dir / n) for n in ("wav.scp", "utt2class"))
    clips: dict[str, list[str]] = {}
    for uid in sorted(paths):
        clips.setdefault(classes[uid], []).append(paths[uid])
    usable = sorted(name for name, found in clips.items() if len(found) > CLIPS)
    if len(usable) < 2:
        raise ValueError(f"{data_dir}: needs two classes of {CLIPS + 1} clips")
    rng = np.random.default_rng(seed)
    size = round(seconds * sample_rate)
    items = []
    for _ in range(count):
        tracks = []
        for name in rng.choice(usable, 2, replace=False):
            chosen = rng.permutation(clips[name])[: CLIPS + 1]
            other, *rest = (
                read_segment(path, 0, LONGEST, sample_rate) for path in chosen
            )
            rest = [np.trim_zeros(clip, "b") for clip in rest]
            level = np.full(1, 0.05, np.float32)
            one_after_other = np.concatenate([balance_energy(x, level) for x in rest])
            tracks.append((np.resize(one_after_other, size), other))
        mixture, target, _ = mix_pair(tracks[0][0], tracks[1][0])
        items.append(Item(mixture, target, np.trim_zeros(tracks[0][1], "b")))
    return items


def measure(separator, items: Sequence[Item]) -> tuple[float, ...]:
    """Figures of one overlap.

    Returns:
        own, other, shift and lowest shift in dB, time.
    """
    from espnet2_caresep.scoring.metrics import sdr

    rate, rows, seconds, work = separator.sample_rate, [], 0.0, 0.0
    for item in items:
        row = []
        for example in (item.target, item.other):
            query = separator.query(example, rate)
            start = time.perf_counter()
            found = separator.separate(item.mixture, query, rate).target
            work += time.perf_counter() - start
            seconds += len(item.mixture) / rate
            row.append(float(sdr(item.target, found)))
            row.append(shifted(separator, item.mixture, found, query))
        rows.append(row)
    table = np.array(rows)
    own, other = table[:, [0, 2]].mean(0)
    shifts = table[:, [1, 3]]
    return own, other, shifts.mean(), shifts.min(), work / seconds


if __name__ == "__main__":
    main()
