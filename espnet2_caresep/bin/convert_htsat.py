"""Public HTS-AT checkpoint -> weights for ``--init_param``.

    python -m espnet2_caresep.bin.convert_htsat in.ckpt out.pth

The encoder, the connector's group and the token-semantic head of [15] become those of
CaRE-SEP, under the names of a trained model:

    --init_param out.pth                                                      shared
    --init_param out.pth:extractor.network:extractor.network.query_net    not shared

Where the classes are others than AudioSet's 527, ``out.pth:::extractor.network.head``
leaves the head out. It prints what was copied, what was not and why, and the options
that fit the weights.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Convert a public HTS-AT checkpoint to weights for --init_param"
    )
    parser.add_argument("checkpoint", help="checkpoint of HTS-AT (.ckpt)")
    parser.add_argument("output", help="weights to write (.pth)")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Reads, renames and writes the weights.

    Raises:
        ValueError: If the checkpoint cannot be used or the output exists.
    """
    from espnet2_caresep.htsat_weights import convert_htsat, load_htsat

    output = Path(args.output)
    if output.exists():
        raise ValueError(f"{output} exists; choose another name")
    if not output.parent.is_dir():
        raise ValueError(f"{output.parent}: no such folder")
    conversion = convert_htsat(load_htsat(args.checkpoint), args.checkpoint)
    _save(conversion.weights, output)
    _report(conversion, output)


def _save(weights: dict, output: Path) -> None:
    import torch

    temporary = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        torch.save(weights, temporary)
        temporary.replace(output)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        reason = str(error).splitlines()[0]
        raise ValueError(f"{output}: cannot be written ({reason})") from error


def _report(conversion, output: Path) -> None:
    from espnet2_caresep.htsat_weights import SOURCE, TARGET

    print("Copied:")
    for theirs, ours in conversion.copied:
        print(f"  {SOURCE}{theirs} -> {TARGET}{ours}")
    for title, prefix, entries in (
        ("Not copied:", SOURCE, conversion.left_out),
        ("Kept at their initial values:", TARGET, conversion.kept),
    ):
        print(title)
        for key, reason in entries:
            print(f"  {prefix}{key}: {reason}")
    print(f"Wrote {len(conversion.copied)} tensors to {output}; extractor_conf:")
    for key, value in conversion.options.items():
        print(f"  {key}: {value}")


if __name__ == "__main__":
    main()
