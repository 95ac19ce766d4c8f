"""Measures what fading does to recordings that hold the wanted sound, or part of it.

    python -m espnet2_caresep.bin.fading --model MODEL --data_dir dump/raw/valid_mix

makes recordings of five mixtures of stage 3 in a row and separates, with the model's
rule of presence, a sound that is

- *throughout*: a source of the first mixture, five times, over the other sources of all,
- *in passing*: a source of the third mixture,
- *absent*: a source of none of them,

where no other sound in them has one of its classes. The query is the source's own clip
or another one of its class. Printed are means over items, as it is and faded: the SDR in
dB, that of the part in which the sound is, and what the stem holds of the others, in dB
re the mixture (the median, for absent sounds).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from espnet2_caresep.bin.measuring import (
    open_model,
    parser_with_model,
    require_positive,
)
from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.mixture_pairs import MixturePair, Source, read_mixture_pairs

LENGTH = 5  # mixtures in a row
KINDS = ("throughout", "in passing", "absent")
QUERIES = ("own", "other")


@dataclass(frozen=True)
class Recording:
    """A long mixture and what is wanted of it.

    Attributes:
        kind: One of :data:`KINDS`.
        wanted: The source whose queries are taken.
        mixture: (samples,) float32.
        target: (samples,) float32.
        part: Where the target is.
    """

    kind: str
    wanted: Source
    mixture: np.ndarray
    target: np.ndarray
    part: slice


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = parser_with_model(__doc__.splitlines()[0], "mixtures of pairs (stage 3)")
    parser.add_argument(
        "--every", type=int, default=3, help="begin at each n-th mixture"
    )
    parser.add_argument("--overlap", type=float, default=0.75, help="of segments")
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
    pairs = list(read_mixture_pairs(args.data_dir).values())
    if len(pairs) < LENGTH:
        raise ValueError(f"{args.data_dir}: {LENGTH} mixtures are needed")
    separator = open_model(args, overlap=args.overlap)
    rows: dict[tuple[str, str], list[list[float]]] = {}
    for recording in recordings(pairs, args.every):
        for query in QUERIES:
            figures = measure(separator, recording, query)
            rows.setdefault((recording.kind, query), []).append(figures)
    print("sound       query  items     SDR   faded   there   faded  others   faded")
    for kind in KINDS:
        middle = np.median if kind == "absent" else np.mean
        for query in QUERIES:
            found = rows.get((kind, query), [])
            numbers = middle(found, 0) if found else []
            cells = ["" if np.isnan(x) else f"{x:.2f}" for x in numbers]
            line = f"{kind:10}  {query:5}  {len(found):5}"
            print("  ".join([line, *(f"{cell:>6}" for cell in cells)]))


def recordings(pairs: Sequence[MixturePair], every: int) -> Iterator[Recording]:
    """Yields recordings that begin at each n-th of the mixtures."""
    for start in range(0, len(pairs) - LENGTH + 1, every):
        row = pairs[start : start + LENGTH]
        yield from _throughout(row)
        parts = [_read(pair.mixture) for pair in row]
        yield from _in_passing(row, parts)
        yield from _absent(row, parts, [*pairs[start + LENGTH :], *pairs[:start]])


def _throughout(row: Sequence[MixturePair]) -> Iterator[Recording]:
    """Each source of the first mixture, repeated, over the other sources of all."""
    for i, wanted in enumerate(row[0].sources):
        others = [pair.sources[1 - i] for pair in row]
        if not any(wanted.labels & source.labels for source in others):
            parts = [_read(source.audio) for source in others]
            rest = np.concatenate([np.resize(part, len(parts[0])) for part in parts])
            target = np.resize(_read(wanted.audio), len(rest))
            yield Recording(KINDS[0], wanted, target + rest, target, slice(None))


def _in_passing(
    row: Sequence[MixturePair], parts: Sequence[np.ndarray]
) -> Iterator[Recording]:
    """Each source of the mixture in the middle."""
    middle, mixture = LENGTH // 2, np.concatenate(parts)
    around = [*row[:middle], *row[middle + 1 :]]
    first = sum(map(len, parts[:middle]))
    part = slice(first, first + len(parts[middle]))
    for wanted in row[middle].sources:
        if not any(wanted.labels & pair.labels for pair in around):
            target = np.zeros_like(mixture)
            target[part] = _read(wanted.audio)
            yield Recording(KINDS[1], wanted, mixture, target, part)


def _absent(
    row: Sequence[MixturePair],
    parts: Sequence[np.ndarray],
    others: Sequence[MixturePair],
) -> Iterator[Recording]:
    """The first source elsewhere of which the row has no class, if there is one."""
    heard = frozenset().union(*(pair.labels for pair in row))
    mixture = np.concatenate(parts)
    for source in (source for pair in others for source in pair.sources):
        if not source.labels & heard:
            silence = np.zeros_like(mixture)
            yield Recording(KINDS[2], source, mixture, silence, slice(0, 0))
            return


def _read(path: str) -> np.ndarray:
    from espnet2_caresep.inference.audio.recording import read_audio

    return read_audio(path).samples[0]


def measure(separator, recording: Recording, query: str) -> list[float]:
    """Figures of a recording and a query, ``own`` or ``other``.

    Returns:
        SDR, SDR where the sound is, level of the others; of each how it is and faded,
        NaN where there is no such part.
    """
    given = separator.query(getattr(recording.wanted, query))
    found = separator.separate(recording.mixture, given, separator.sample_rate)
    as_it_is, faded = (
        _figures(recording, stem) for stem in (found.target, found.faded().target)
    )
    return [figure for both in zip(as_it_is, faded) for figure in both]


def _figures(recording: Recording, stem: np.ndarray) -> tuple[float, float, float]:
    from espnet2_caresep.scoring.metrics import sdr, silence_sdr

    target, part = recording.target, recording.part
    elsewhere = np.ones(len(target), bool)
    elsewhere[part] = False
    there = sdr(target[part], stem[part]) if target[part].size else np.nan
    others = np.nan
    if elsewhere.any():
        others = -silence_sdr(recording.mixture[elsewhere], stem[elsewhere])
    return float(sdr(target, stem)), float(there), float(others)


if __name__ == "__main__":
    main()
