"""A progress bar that is quiet in log files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from tqdm import tqdm


def progress(items: Sequence, name: str) -> Iterable:
    """Yields the items with a bar on stderr: live on a terminal, else every 10 s.

    Args:
        items: What is worked through.
        name: What is done to them.
    """
    every = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(items, desc=name, unit="item", mininterval=every)
