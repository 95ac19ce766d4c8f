"""How the data commands end when their input is at fault."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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
