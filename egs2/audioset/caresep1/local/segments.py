"""Reads AudioSet's lists of segments, and tells which clip a file name means.

Two million segments must not become Python objects: they are a few arrays.
"""

from __future__ import annotations

import csv
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from class_list import ClassList

SETS = ("eval", "balanced", "unbalanced")
FILES = {
    "eval": "eval_segments.csv",
    "balanced": "balanced_train_segments.csv",
    "unbalanced": "unbalanced_train_segments.csv",
}
SUBSETS = {"balanced": ("eval", "balanced"), "full": SETS}

ID = "[0-9A-Za-z_-]{11}"
# The name of a clip: the id, perhaps Y before it, perhaps start (and end) behind it
CLIP = re.compile(rf"Y?({ID})(?:_[0-9]+(?:\.[0-9]+)?){{0,2}}")
SUFFIXES = (".wav", ".flac", ".opus", ".ogg", ".mp3")  # the first found is taken
UNREAD = (".m4a", ".mp4", ".webm", ".aac", ".mkv")


class Segments:
    """Clips of some lists, sorted by their id; a clip in two lists is of the first.

    Args:
        metadata_dir: Folder of the CSV files.
        classes: The classes.
        sets: Keys of :data:`FILES`, in order.

    Attributes:
        ids: Ids as (clips,) bytes of length 11.
        set_of: Number of each clip's list in ``sets``.

    Raises:
        ValueError: If a file is missing or damaged.
    """

    def __init__(self, metadata_dir: Path, classes: ClassList, sets: Sequence[str]):
        number = {mid: index for index, mid in enumerate(classes.mids)}
        ids, labels = bytearray(), array("h")
        set_of, ends = array("b"), array("q", [0])
        for place, name in enumerate(sets):
            for uid, mids in read_rows(metadata_dir / FILES[name]):
                try:
                    labels.extend(sorted({number[mid] for mid in mids}))
                except KeyError as error:
                    path = metadata_dir / FILES[name]
                    raise ValueError(
                        f"{path}: {uid} has the label {error}, which "
                        "class_labels_indices.csv lacks"
                    ) from error
                ids += uid.encode()
                set_of.append(place)
                ends.append(len(labels))
        every = np.frombuffer(bytes(ids), dtype="S11")
        self.ids, self._row = np.unique(every, return_index=True)
        self.set_of = np.array(set_of)[self._row]
        self._labels, self._ends = labels, ends

    def __len__(self) -> int:
        return len(self.ids)

    def labels(self, clip: int) -> list[int]:
        """Classes of a clip, ascending."""
        row = int(self._row[clip])
        return list(self._labels[self._ends[row] : self._ends[row + 1]])

    def find(self, uid: str) -> int | None:
        """Number of the clip with this id, or None."""
        key = uid.encode()
        clip = int(np.searchsorted(self.ids, key))
        return clip if clip < len(self) and self.ids[clip] == key else None


def read_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Reads a list of segments row by row.

    Args:
        path: CSV file of AudioSet: comments, then YTID, start, end, "mid,mid".

    Yields:
        Id and labels.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    row, count = [], 0
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = (line for line in file if not line.startswith("#"))
            for row in csv.reader(lines, skipinitialspace=True):
                if not row:
                    continue
                count += 1
                uid, _, _, mids = row
                if not re.fullmatch(ID, uid) or not mids:
                    raise ValueError
                yield uid, mids.split(",")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f'{path}: segment {count} must be YTID, start, end, "labels", is {row}'
        ) from error
    if not count:
        raise ValueError(f"{path}: holds no segment")


def clip_id(name: str) -> str | None:
    """Returns the id that a file name without suffix means, or None."""
    match = CLIP.fullmatch(name)
    return match[1] if match else None


def walk_files(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Goes through a folder and all below it, links followed, without making lists.

    Yields:
        Path, name without suffix, and suffix in lower case.
    """
    waiting, seen = [str(folder)], set()
    while waiting:
        where = waiting.pop()
        status = os.stat(where)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(where) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(entry.path)
                else:
                    stem, suffix = os.path.splitext(entry.name)
                    yield entry.path, stem, suffix.lower()
