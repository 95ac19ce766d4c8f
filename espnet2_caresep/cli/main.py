"""The ``caresep`` command.

Exit codes: 0 done, 2 something the user can put right (one line on stderr says what),
3 the wanted sound was judged absent (only where asked for), 130 interrupted. Imports
here stay light: a subcommand's module is imported when it is chosen, and imports what
is heavy when it runs.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module, metadata

from espnet2_caresep.cli.errors import one_line

# Name -> module, one line of help. A module offers ``add_arguments(parser)``, which may
# set the parser's description and epilog, and ``run(args) -> int``, the exit code.
COMMANDS = {
    "separate": (
        "espnet2_caresep.cli.separate",
        "separate the sounds that examples point at from recordings",
    ),
    "tag": ("espnet2_caresep.cli.tag", "name what sounds in recordings, and when"),
    "scene": (
        "espnet2_caresep.cli.scene",
        "take a recording apart: events, stems and one page to listen to them",
    ),
    "bank": (
        "espnet2_caresep.cli.bank",
        "keep examples of a sound under a name, for --query @NAME",
    ),
    "models": (
        "espnet2_caresep.cli.models",
        "list the models at hand with their scores and licences",
    ),
    "doctor": (
        "espnet2_caresep.cli.doctor",
        "say what is installed, and try whether it separates",
    ),
    "demo": (
        "espnet2_caresep.cli.demo",
        "open a page to drop a mixture on, and listen to what is separated",
    ),
}


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


class _CommandParser(_Parser):
    """A subcommand's parser, which asks its module for options when it is chosen."""

    module: str | None = None

    def parse_known_args(self, args=None, namespace=None):
        if self.module is not None:
            module = import_module(self.module)
            self.module = None
            module.add_arguments(self)
            self.set_defaults(run=module.run)
        return super().parse_known_args(args, namespace)


class _Version(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        print(f"caresep {metadata.version('espnet2_caresep')}")
        parser.exit(0)


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command with all its subcommands."""
    parser = _Parser(
        prog="caresep",
        description="Separate the sound that an example points at (CaRE-SEP).",
        epilog="caresep COMMAND --help says more.",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the version and exit"
    )
    commands = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        required=True,
        parser_class=_CommandParser,
    )
    for name, (module, line) in COMMANDS.items():
        commands.add_parser(name, help=line, description=line).module = module
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    args = get_parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold bytes that are no text.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _ended_by_signal():
            return args.run(args)
    except KeyboardInterrupt:
        print("caresep: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Who read our output has gone; nothing more can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        reason = one_line(error)
        if reason is None:
            raise
        print(f"caresep {args.command}: error: {reason}", file=sys.stderr)
        return 2


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Lets a termination signal unwind the stack, so that no part of a file is left."""

    def end(signum, frame):
        raise SystemExit(128 + signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
