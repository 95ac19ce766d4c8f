"""Which files a person means: files, folders and patterns; queries by name."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# What libsndfile reads, as folders are searched for it; a file that is named outright
# may end in anything.
AUDIO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("aif", "aifc", "aiff", "au", "caf", "flac", "mp3", "oga", "ogg", "opus"),
        *("rf64", "snd", "w64", "wav"),
    )
)
RESERVED = {"residual", "separation"}


@dataclass(frozen=True)
class Track:
    """A mixture to separate.

    Attributes:
        path: Its file.
        name: What {track} stands for: the file's name without suffix, after the
            folders below the one that was given.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class QuerySpec:
    """A query as it was asked for.

    Attributes:
        name: What {query} stands for.
        clips: Examples, to be averaged.
        banks: Query banks, to be averaged with them.
        label: Class of the model; there are no clips then.
    """

    name: str
    clips: tuple[Path, ...] = ()
    banks: tuple[str, ...] = ()
    label: str | None = None


def find_tracks(given: Sequence[str], outputs: Path) -> tuple[list[Track], list[str]]:
    """Mixtures that the arguments mean, each once and in order.

    Args:
        given: Files, folders (searched below) and patterns.
        outputs: Folder of the outputs, which is not searched.

    Returns:
        The mixtures, and one line for each argument that means none.
    """
    tracks: dict[Path, Track] = {}
    problems = []
    for text in given:
        path = Path(text)
        try:
            found = _expand(path, outputs)
        except OSError as error:  # a name that is too long, a folder that is not ours
            problems.append(f"{text}: cannot be read ({error.strerror})")
            continue
        if not found:
            problems.append(_nothing(text, path))
        for file, root in found:
            name = file.relative_to(root).with_suffix("").as_posix()
            tracks.setdefault(file.resolve(), Track(file, name))
    return list(tracks.values()), problems


def parse_query(text: str, option: str = "--query") -> QuerySpec:
    """Reads ``[NAME=]CLIP[,CLIP...]``.

    A clip is a file, a folder, a pattern, or ``@`` and a bank's name or file. Without a
    name the first clip's is taken.

    Raises:
        ValueError: If it names no clip, or cannot name a file.
    """
    name, equals, rest = text.partition("=")
    if Path(text).exists() or not equals:
        name, rest = "", text
    parts = [rest] if Path(rest).exists() else rest.split(",")
    parts = [part.strip() for part in parts]
    if not all(parts):
        raise ValueError(f"{option} {text}: names no file")
    banks = tuple(part for part in parts if part.startswith("@"))
    clips: list[Path] = []
    for part in parts:
        if part not in banks:
            found = [file for file, _ in _expand(Path(part), None)]
            if not found:
                raise ValueError(f"{option}: {_nothing(part, Path(part))}")
            clips += found
    name = name.strip() or Path(parts[0].removeprefix("@")).stem
    return QuerySpec(_checked_name(name, f"{option} {text}"), tuple(clips), banks)


def parse_label(text: str) -> QuerySpec:
    """Reads the name of a class.

    Raises:
        ValueError: If it cannot name a file.
    """
    return QuerySpec(_checked_name(text, f"--label {text}"), label=text)


def check_names(queries: Sequence[QuerySpec]) -> None:
    """Refuses queries that would have one name.

    Raises:
        ValueError: Naming the first such name.
    """
    if not queries:
        raise ValueError("nothing is asked for: give --query CLIP or --label NAME")
    seen = set()
    for query in queries:
        if query.name in seen:
            raise ValueError(
                f"two queries are called {query.name!r}; name them (--query NAME=CLIP), "
                "or give one --query with several clips (CLIP,CLIP) to average them"
            )
        seen.add(query.name)


def _expand(path: Path, outputs: Path | None) -> list[tuple[Path, Path]]:
    """Files of a path, folder or pattern, each with the folder that it is named below."""
    if path.is_dir():
        return [(file, path) for file in _audio_below(path, outputs)]
    if path.exists() or not glob.has_magic(str(path)):
        return [(path, path.parent)]
    found = []
    for text in sorted(glob.glob(str(path), recursive=True)):
        if not Path(text).is_dir():
            found.append((Path(text), Path(text).parent))
    return found


def _audio_below(folder: Path, outputs: Path | None) -> list[Path]:
    skip = outputs.resolve() if outputs is not None else None
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in AUDIO_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and (skip is None or skip not in path.resolve().parents)
    ]


def _nothing(text: str, path: Path) -> str:
    kind = "is a directory without audio files" if path.is_dir() else "matches no file"
    return f"{text}: {kind}"


def _checked_name(name: str, option: str) -> str:
    if "/" in name or "\0" in name or name.startswith(".") or not name.strip():
        raise ValueError(f"{option}: {name!r} cannot name a file; give NAME=CLIP")
    if name in RESERVED:
        raise ValueError(f"{option}: {name!r} is kept for other files; give NAME=CLIP")
    return name
