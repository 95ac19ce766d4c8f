"""Runs a command of ESPnet that knows this package's parts.

    python -m espnet2_caresep.bin.espnet -m espnet2.bin.enh_s2t_train --config ...

ESPnet has no plugins: what is registered (docs/espnet.md) is known only in a process
that has imported it. A script of ESPnet's recipes takes this in place of its Python:
``--python "python3 -m espnet2_caresep.bin.espnet"``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

# At import and not in main(): the processes of a multi-GPU training are started anew
# and import this module again, but do not run it.
import espnet2_caresep.task  # noqa: F401

USAGE = "usage: python -m espnet2_caresep.bin.espnet [-m] espnet2.bin.NAME [OPTION]..."


def main(cmd: Sequence[str] | None = None) -> None:
    """Calls ``main`` of the module that the arguments name.

    Args:
        cmd: Arguments, by default those of the process.

    Raises:
        SystemExit: With status 2 if there is no such command; what the command ends
            with otherwise.
    """
    arguments = list(sys.argv[1:] if cmd is None else cmd)
    if arguments[:1] == ["-m"]:
        arguments.pop(0)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        raise SystemExit(0 if arguments else 2)
    name = arguments.pop(0)
    try:
        command = importlib.import_module(name).main
    except (ModuleNotFoundError, AttributeError) as error:
        print(
            f"espnet: error: {name} is no command of ESPnet: {error}", file=sys.stderr
        )
        raise SystemExit(2) from error
    command(arguments)


if __name__ == "__main__":
    main()
