"""Many strings as one object, which processes share instead of copying."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

import numpy as np


class Strings:
    """List of strings in one buffer of bytes."""

    def __init__(self, strings: Iterator[bytes] | Sequence[bytes]):
        buffer, ends = bytearray(), array("q", [0])
        for string in strings:
            buffer += string
            ends.append(len(buffer))
        self._buffer = bytes(buffer)
        self._ends = np.frombuffer(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._buffer[self._ends[index] : self._ends[index + 1]]
