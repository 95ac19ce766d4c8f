"""Measures what cutting a recording into segments does to the result.

    python -m espnet2_caresep.bin.borders --model MODEL --query CLIP MIX

prints, for several overlaps,

- *blocks*: SDR in dB of the result in blocks of random lengths against the result at
  once (infinite: the same bits),
- *shift*: SDR of the result against that of the same recording with segments that begin
  half a hop elsewhere, the least favourable place, without the first and last segment,
- *seams*: roughness (mean square of the second difference) of the target within 2 ms of
  the places where segments begin or end, in dB over that of the same places where
  segments begin half a hop elsewhere (0: no trace of them),
- *time*: seconds of work per second of audio.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np

from espnet2_caresep.bin.measuring import open_model, parser_with_model
from espnet2_caresep.data.command import run_command

NEAR = 0.002  # seconds around a border


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = parser_with_model("Measure what cutting a recording into segments does")
    parser.add_argument("mixture", metavar="MIX", help="longer than three segments")
    parser.add_argument("--query", required=True, help="example of a sound in it")
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
        ValueError: If an input or the model cannot be used.
    """
    from espnet2_caresep.inference.audio.recording import read_audio

    separator = open_model(args)
    mixture = read_audio(args.mixture).mono().at(separator.sample_rate)
    segment = separator.network.segment_samples
    if mixture.frames <= 3 * segment:
        raise ValueError(
            f"{args.mixture}: has {mixture.frames / mixture.sample_rate:.1f} s, more "
            f"than {3 * segment / mixture.sample_rate:.1f} s are needed"
        )
    query = separator.query(args.query)
    print("overlap  blocks, dB  shift, dB  seams, dB  time")
    for overlap in args.overlap:
        separator.overlap = overlap
        found = measure(separator, mixture.samples[0], query)
        print("{:7.2f}  {:10.1f}  {:9.1f}  {:9.1f}  {:4.2f}".format(overlap, *found))
        sys.stdout.flush()


def measure(separator, mixture: np.ndarray, query) -> tuple[float, ...]:
    """Figures of one overlap.

    Args:
        separator: A ``CaRESeparator`` with that overlap.
        mixture: (samples,) float32 at its rate.
        query: A ``Query``.

    Returns:
        blocks, shift and seams in dB, time.
    """
    from espnet2_caresep.scoring.metrics import sdr

    rate, segment = separator.sample_rate, separator.network.segment_samples
    hop = separator.hop
    start = time.perf_counter()
    whole = separator.separate(mixture, query, rate).target
    seconds = time.perf_counter() - start
    cuts = np.random.default_rng(0).integers(1, 2 * rate, len(mixture) // rate)
    blocks = np.split(mixture, np.unique(np.minimum(cuts.cumsum(), len(mixture))))
    pieces = separator.stream((b for b in blocks if len(b)), query, rate)
    joined = np.concatenate([piece.target for piece in pieces])
    moved = _moved(separator, mixture, query)
    return (
        float(sdr(whole, joined)),
        _agreement(separator, whole, *moved),
        _seams(whole, *moved, segment, hop, round(NEAR * rate)),
        seconds * rate / len(mixture),
    )


def shifted(separator, mixture: np.ndarray, whole: np.ndarray, query) -> float:
    """SDR in dB of a target against that with segments half a hop elsewhere."""
    return _agreement(separator, whole, *_moved(separator, mixture, query))


def _moved(separator, mixture: np.ndarray, query) -> tuple[int, np.ndarray]:
    """Half a hop in samples, and the target of what follows."""
    shift, rate = separator.hop // 2, separator.sample_rate
    return shift, separator.separate(mixture[shift:], query, rate).target


def _agreement(separator, whole: np.ndarray, shift: int, moved: np.ndarray) -> float:
    from espnet2_caresep.scoring.metrics import sdr

    segment = separator.network.segment_samples
    inner = slice(segment, len(moved) - segment)
    return float(sdr(whole[shift:][inner], moved[inner]))


def _seams(
    whole: np.ndarray, shift: int, moved: np.ndarray, segment: int, hop: int, near: int
) -> float:
    """Roughness of a target near its borders in dB over that of a moved one there."""
    starts = np.arange(hop, len(whole) - segment, hop)
    at_border = np.zeros(len(moved) - 2, bool)
    for border in (*starts, *(starts[:-1] + segment)):
        border -= shift
        at_border[max(0, border - near) : border + near] = True
    rough = [
        np.square(np.diff(audio.astype(np.float64), 2))[at_border].mean() + 1e-30
        for audio in (whole[shift:], moved)
    ]
    return float(10 * np.log10(rough[0] / rough[1]))


if __name__ == "__main__":
    main()
