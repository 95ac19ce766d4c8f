"""``caresep separate``: one mixture, one query, one target."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.description = (
        "Separate what sounds like the query from a mixture. The output has the "
        "rate, length, channels and level of the mixture."
    )
    parser.add_argument("mixture", metavar="MIX", type=Path, help="audio file")
    parser.add_argument(
        "--query", type=Path, required=True, help="example of the wanted sound"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="target, .wav or .flac"
    )
    parser.add_argument(
        "--residual", type=Path, help="also write the rest, mixture - target"
    )
    parser.add_argument(
        "--model", type=Path, required=True, help="model zip or experiment folder"
    )
    parser.add_argument(
        "--subtype",
        choices=["float", "pcm16", "pcm24"],
        help="sample format (default: float for .wav, pcm24 for .flac)",
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or mps (default: auto)"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace existing outputs"
    )


def run(args: argparse.Namespace) -> int:
    """Separates and writes.

    Raises:
        ValueError: If an input, an output or the model cannot be used.
    """
    from espnet2_caresep.inference.audio import read_audio, write_audio
    from espnet2_caresep.inference.audio_writer import check_output

    if args.threads is not None and args.threads < 1:
        raise ValueError(f"--threads must be at least 1, not {args.threads}")
    outputs = [path for path in (args.output, args.residual) if path is not None]
    for path in outputs:
        if not path.parent.is_dir():
            raise ValueError(f"{path.parent}: no such folder")
    subtypes = [check_output(path, args.subtype, args.overwrite) for path in outputs]
    _check_distinct([args.mixture, args.query], outputs)
    mixture, query = read_audio(args.mixture), read_audio(args.query)

    # Everything that needs no torch has been checked by now.
    import torch

    from espnet2_caresep.inference.separator import CaRESeparator

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    separator = CaRESeparator.from_pretrained(args.model, args.device)
    result = separator.separate(mixture, query)
    for path, subtype, samples in zip(
        outputs, subtypes, (result.target, result.residual)
    ):
        peak = float(abs(samples).max())
        if subtype != "float" and peak > 1:
            print(
                f"caresep separate: warning: {path}: peaks at {peak:.2f} are clipped "
                f"in {subtype}; --subtype float keeps them",
                file=sys.stderr,
            )
        write_audio(path, samples, result.sample_rate, subtype)
    return 0


def _check_distinct(inputs: list[Path], outputs: list[Path]) -> None:
    seen = {path.resolve(): path for path in inputs}
    for path in outputs:
        if path.resolve() in seen:
            raise ValueError(f"{path}: is named twice; an output needs its own name")
        seen[path.resolve()] = path
