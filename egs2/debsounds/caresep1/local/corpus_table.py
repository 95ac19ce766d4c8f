"""Reads debsounds.tsv: one row per clip, everything that stage 1 has to know."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

TABLE = Path(__file__).with_name("debsounds.tsv")


@dataclass(frozen=True)
class Clip:
    """One row of the table.

    Attributes:
        uid: Name of the clip in every list.
        kind: ``file`` (a recording or a cut of one), ``seq`` (short hits of one kind
            joined into a clip) or ``render`` (a phrase played on a sampled instrument).
        fine: Fine class, 34 in all.
        label: Coarse class, 21 in all; what the model is taught.
        split: ``train``, ``valid`` or ``test``.
        group: Recording family; a group never crosses splits.
        seconds: Length of the clip.
        start: Where a cut begins in its file, in seconds.
        sources: Files below the unpacked packages: one, or the hits of a ``seq``.
        recipe: Numbers by which a ``seq`` or ``render`` clip is made.
        package: Debian package that ships the sources.
    """

    uid: str
    kind: str
    fine: str
    label: str
    split: str
    group: str
    seconds: float
    start: float
    sources: tuple[str, ...]
    recipe: dict[str, float] = field(hash=False)
    package: str


def read_clips(table: Path = TABLE, packages: list[str] | None = None) -> list[Clip]:
    """Reads the table, or the rows of some packages.

    Args:
        table: The file.
        packages: Keep the rows of these packages only; all when None or empty.

    Returns:
        The clips, in the order of the table (sorted by uid).

    Raises:
        ValueError: If the table is missing or damaged, or a package is not in it.
    """
    clips = []
    try:
        with open(table, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                clips.append(_clip(row))
    except OSError as error:
        raise ValueError(f"{table}: cannot be read ({error.strerror})") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{table}: row {len(clips) + 1} is damaged ({error!r})"
        ) from error
    known = {clip.package for clip in clips}
    unknown = sorted(set(packages or []) - known)
    if unknown:
        raise ValueError(
            f"not in {table.name}: {' '.join(unknown)}; it knows "
            f"{' '.join(sorted(known))}"
        )
    return [clip for clip in clips if not packages or clip.package in packages]


def _clip(row: dict[str, str]) -> Clip:
    pairs = [] if row["recipe"] == "-" else row["recipe"].split()
    return Clip(
        uid=row["uid"],
        kind=row["kind"],
        fine=row["class"],
        label=row["label"],
        split=row["split"],
        group=row["group"],
        seconds=float(row["seconds"]),
        start=float(row["start"]),
        sources=tuple(row["sources"].split("|")),
        recipe={name: float(number) for name, number in (p.split("=") for p in pairs)},
        package=row["package"],
    )


class Sources:
    """Finds the files of the table below the unpacked packages.

    A release of the distribution may move a folder, so a file that is not at its place
    is looked for by folder and name inside the same package.
    """

    def __init__(self, root: Path) -> None:
        """Looks below ``root``, which holds one folder per package."""
        self.root = root
        self._moved: dict[str, dict[tuple[str, ...], list[Path]]] = {}

    def find(self, source: str) -> Path | None:
        """Returns where a source lies, or None when its package does not hold it."""
        path = self.root / source
        if path.exists():
            return path
        package = source.split("/", 1)[0]
        if package not in self._moved:
            index: dict[tuple[str, ...], list[Path]] = {}
            for file in (self.root / package).rglob("*.*"):
                index.setdefault(file.parts[-2:], []).append(file)
            self._moved[package] = index
        found = self._moved[package].get(path.parts[-2:], [])
        return found[0] if len(found) == 1 else None
