"""How the commands start, and how they end when their input is at fault."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def bad_input_exits() -> Iterator[None]:
    """Turns a ValueError of the block into one line on stderr and exit status 2.

    Yields:
        Nothing.

    Raises:
        SystemExit: With status 2, in place of a ValueError.
    """
    try:
        yield
    except ValueError as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def run_command(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], object],
    cmd: Sequence[str] | None,
) -> None:
    """Parses the arguments and does with them what the command does.

    Args:
        parser: The parser of the command.
        run: Takes the parsed arguments; what it returns is dropped.
        cmd: Arguments, by default those of the process.

    Raises:
        SystemExit: With status 2, and one line on stderr, if an option or an input
            cannot be used.
    """
    args = parser.parse_args(cmd)
    with bad_input_exits():
        run(args)
