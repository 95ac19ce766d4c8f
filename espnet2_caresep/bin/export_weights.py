"""Stage 11: weights as they are handed out, in half precision.

Half the size of float32. They load wherever the float32 weights do, because loading
copies them into float32 parameters. Statistics of BatchNorm and counters stay as they
are: they are few, and not bounded.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import write_whole

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Write weights in half precision",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model_file", required=True, help="weights (.pth)")
    parser.add_argument("--output", required=True, help="file to write (.pth)")
    parser.add_argument("--dtype", choices=["float16", "float32"], default="float16")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Reads, converts and writes.

    Raises:
        ValueError: If the file holds no weights, or some are beyond float16.
    """
    import pickle

    import torch

    try:
        weights = torch.load(args.model_file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{args.model_file}: cannot be read ({reason})") from error
    if not isinstance(weights, dict) or not all(
        isinstance(value, torch.Tensor) for value in weights.values()
    ):
        raise ValueError(f"{args.model_file}: is no file of weights")
    dtype = getattr(torch, args.dtype)
    for name, value in weights.items():
        if value.is_floating_point() and not name.endswith(STATISTICS):
            weights[name] = value.to(dtype)
            if not weights[name].isfinite().all():
                raise ValueError(
                    f"{args.model_file}: {name} does not fit into {args.dtype}; give "
                    "--dtype float32"
                )
    Path(args.output).parent.mkdir(parents=True, exist_ok=True)
    with write_whole(Path(args.output)) as part:
        torch.save(weights, part)


if __name__ == "__main__":
    main()
