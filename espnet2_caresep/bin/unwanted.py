"""Measures what naming an unwanted sound is worth.

    python -m espnet2_caresep.bin.unwanted --model MODEL --data_dir dump/raw/valid_mix

prints the mean SDR in dB of both sources of every pair of stage 3, without and with the
interferer named, and the gain with its standard error. The query is the target's own
clip or another one of its class, and the interferer is named in the same way. With
three sources, the first one of another pair is added, at equal energy, and is not
named.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from espnet2_caresep.bin.measuring import (
    open_model,
    parser_with_model,
    require_positive,
)
from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.mixing import balance_energy
from espnet2_caresep.data.mixture_pairs import read_mixture_pairs

QUERIES = ("own", "other")
AWAY = 7  # pairs from one to that of its third source


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = parser_with_model(__doc__.splitlines()[0], "mixtures of pairs (stage 3)")
    parser.add_argument("--every", type=int, default=1, help="use every n-th pair")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Measures and prints a table.

    Raises:
        ValueError: If the data, the model or a value cannot be used.
    """
    require_positive(args, "every")
    separator = open_model(args)
    print("sources  query  items  alone, dB  against, dB  gain, dB")
    for sources in (2, 3):
        for query in QUERIES:
            rows = list(measure(separator, args.data_dir, query, sources, args.every))
            alone, against = np.array(rows).T
            gain = against - alone
            error = gain.std() / len(gain) ** 0.5
            print(
                f"{sources:7}  {query:5}  {len(rows):5}  {alone.mean():9.2f}  "
                f"{against.mean():11.2f}  {gain.mean():5.2f} +- {error:.2f}",
                flush=True,
            )


def measure(
    separator, data_dir: Path, query: str, sources: int, every: int = 1
) -> Iterator[tuple[float, float]]:
    """Yields the SDR in dB of every item, alone and against the interferer."""
    from espnet2_caresep.inference.audio.recording import read_audio
    from espnet2_caresep.scoring.metrics import sdr

    def read(path: str) -> np.ndarray:
        return read_audio(path).samples[0]

    pairs, rate = list(read_mixture_pairs(data_dir).values()), separator.sample_rate
    for index in range(0, len(pairs), every):
        pair = pairs[index]
        mixture, targets = read(pair.mixture), [read(s.audio) for s in pair.sources]
        if sources == 3:
            third = pairs[(index + AWAY) % len(pairs)].sources[0]
            mixture = mixture + balance_energy(read(third.audio), targets[0])
        queries = [separator.query(getattr(s, query)) for s in pair.sources]
        for target, wanted, other in zip(targets, queries, reversed(queries)):
            alone, against = (
                separator.separate(mixture, wanted, rate, unwanted=unwanted).target
                for unwanted in ((), (other,))
            )
            yield float(sdr(target, alone)), float(sdr(target, against))


if __name__ == "__main__":
    main()
