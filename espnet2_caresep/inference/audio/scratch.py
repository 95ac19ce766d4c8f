"""Room on disk for output that is not final yet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np

from espnet2_caresep.inference.audio.reader import AudioError
from espnet2_caresep.inference.stream import Block


class Scratch:
    """Stems and residual on disk, in a file that has no name and so leaves no trace."""

    def __init__(self, file: IO[bytes], folder: Path, residual: bool):
        self.residual = residual
        self.samples = 0
        self._file = file
        self._folder = folder
        self._shapes: list[tuple[int, ...]] = []

    def append(self, block: Block) -> None:
        """Keeps a block: the rows are the stems and, if wanted, the residual."""
        rows = [*block.stems, *([block.residual] if self.residual else [])]
        audio = np.stack(rows)
        self.samples += audio.shape[-1]
        self._shapes.append(audio.shape)
        left = memoryview(audio.tobytes())
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise AudioError(
                f"{self._folder}: cannot be written ({error.strerror})"
            ) from error

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields (rows, channels, n) float32 as they were kept."""
        self._file.seek(0)
        for shape in self._shapes:
            size = 4 * math.prod(shape)
            yield np.frombuffer(self._file.read(size), np.float32).reshape(shape)


@contextmanager
def open_scratch(folder: Path, residual: bool) -> Iterator[Scratch]:
    """Opens a scratch file in a folder, which is made if it is not there.

    Raises:
        AudioError: If the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a full disk is met when writing, not again when closing.
            file = stack.enter_context(TemporaryFile(buffering=0, dir=folder))
        except OSError as error:
            raise AudioError(
                f"{folder}: cannot be written ({error.strerror})"
            ) from error
        yield Scratch(file, folder, residual)


@contextmanager
def no_empty_folders(folders: Iterable[Path]) -> Iterator[None]:
    """Takes away, at the end, those of the folders that were not there and are empty."""
    new = {p for f in folders for p in (f, *f.parents) if not p.exists()}
    try:
        yield
    finally:
        for folder in sorted(new, key=lambda path: -len(path.parts)):
            with suppress(OSError):  # it holds something, or was never made
                folder.rmdir()
