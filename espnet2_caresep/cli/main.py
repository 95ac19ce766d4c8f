"""The ``caresep`` command.

Exit codes: 0 done, 2 something the user can put right (one line on stderr says what),
130 interrupted. Imports here stay light; a subcommand imports what it needs when run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from espnet2_caresep.cli import separate


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command with all its subcommands."""
    parser = _Parser(
        prog="caresep",
        description="Separate the sound that an example points at (CaRE-SEP).",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    separate.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    args = get_parser().parse_args(argv)
    try:
        args.run(args)
    except KeyboardInterrupt:
        print("caresep: interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        # Torch reports a full GPU as a RuntimeError; any other one is a bug of ours.
        if isinstance(error, RuntimeError) and "out of memory" not in str(error):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"caresep {args.command}: error: {reason}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
