"""Reads AudioSet's classes: class_labels_indices.csv and ontology.json."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ClassList:
    """The classes in the order of their index.

    Attributes:
        mids: Identifiers of the CSV files, such as /m/09x0r.
        names: Names without spaces, such as Male_speech_man_speaking.
        above: Index of a class to the classes of the list that contain it.
    """

    mids: list[str]
    names: list[str]
    above: list[frozenset[int]]

    def finest(self, indices: list[int]) -> list[int]:
        """Returns the classes that contain no other one of these."""
        containers = frozenset().union(*(self.above[index] for index in indices))
        return [index for index in indices if index not in containers]


def make_name(display_name: str) -> str:
    """Turns a display name into one of letters, digits, hyphens and underscores."""
    words = re.sub(r"[^0-9A-Za-z-]+", "_", re.sub(r"['’]", "", display_name))
    return words.strip("_")


def read_classes(class_csv: Path, ontology_json: Path) -> ClassList:
    """Reads the two files.

    Args:
        class_csv: Columns index, mid, display_name.
        ontology_json: List of nodes with id and child_ids.

    Raises:
        ValueError: If a file is missing or damaged.
    """
    mids, titles = [], []
    try:
        with open(class_csv, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, skipinitialspace=True):
                if int(row["index"]) != len(mids):
                    raise ValueError(f"index {row['index']} is not {len(mids)}")
                titles.append(row["display_name"])
                mids.append(row["mid"])
        if not mids or len(set(mids)) < len(mids):
            raise ValueError("it holds no class, or one twice")
    except OSError as error:
        raise ValueError(f"{class_csv}: cannot be read ({error.strerror})") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{class_csv}: row {len(mids) + 1} ({error})") from error
    names = [make_name(title) for title in titles]
    # Two classes may have the same name: then the identifier tells them apart
    names = [
        f"{name}_{make_name(mid)}" if names.count(name) > 1 or not name else name
        for name, mid in zip(names, mids)
    ]
    return ClassList(mids, names, _read_above(ontology_json, mids))


def _read_above(ontology_json: Path, mids: list[str]) -> list[frozenset[int]]:
    parents: dict[str, list[str]] = {}
    try:
        for node in json.loads(ontology_json.read_text(encoding="utf-8")):
            for child in node["child_ids"]:
                parents.setdefault(child, []).append(node["id"])
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise ValueError(f"{ontology_json}: {reason}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{ontology_json}: is not the ontology ({error!r})") from error
    number = {mid: index for index, mid in enumerate(mids)}
    above = []
    for mid in mids:
        seen: set[str] = set()
        waiting = [*parents.get(mid, ())]
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += parents.get(node, ())
        # Nodes without a number only order the others
        above.append(frozenset(number[node] for node in seen - {mid} if node in number))
    return above
