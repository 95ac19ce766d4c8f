"""Small files of a data directory, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_whole(path: str | Path) -> Iterator[Path]:
    """Gives a temporary name beside ``path`` and renames it when the block succeeds.

    A reader, or a run that goes on after a kill, never meets half a file.

    Args:
        path: The file that shall appear.

    Yields:
        The name to write to; it keeps the suffix, from which libraries tell the format.
    """
    path = Path(path)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_table(path: str | Path) -> dict[str, str]:
    """Reads a Kaldi-style file of lines ``key value``.

    Args:
        path: The file (wav.scp, labels, utt2group, ...).

    Returns:
        Key to value; the value is the rest of the line and may hold spaces.

    Raises:
        ValueError: If the file is missing, a line has no value, or a key comes twice.
    """
    table: dict[str, str] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    for number, line in enumerate(lines, 1):
        key, _, value = line.strip().partition(" ")
        if not value:
            raise ValueError(f"{path}:{number}: needs 'key value', has {line!r}")
        if key in table:
            raise ValueError(f"{path}:{number}: {key} comes twice")
        table[key] = value
    return table


def write_table(path: str | Path, table: Mapping[str, object]) -> None:
    """Writes lines ``key value`` sorted by bytes, as ESPnet and Kaldi expect.

    Args:
        path: The file to write.
        table: Key to value.
    """
    lines = [f"{key} {table[key]}\n" for key in sorted(table, key=str.encode)]
    with write_whole(path) as part:
        part.write_text("".join(lines), encoding="utf-8")


def keyed_directory(path: str | Path, key: str) -> Path:
    """Keeps what an earlier run left in a directory only if it was made the same way.

    Args:
        path: Directory that a command fills file by file.
        key: Text that says how its files are made (options, versions).

    Returns:
        The directory, emptied first when it was made with another key.

    Raises:
        ValueError: If it holds files and was not made here: they are left alone.
    """
    path = Path(path)
    digest = hashlib.sha256(key.encode()).hexdigest()
    stamp = path / ".made_with"
    path.mkdir(parents=True, exist_ok=True)
    others = [item for item in path.iterdir() if item != stamp]
    if others and not stamp.exists():
        raise ValueError(f"{path}: holds files of another origin; move it away first")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != digest:
        for item in others:
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink()
        with write_whole(stamp) as part:
            part.write_text(digest, encoding="utf-8")
    return path
