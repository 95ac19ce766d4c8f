"""Fixed mixtures of two sources with their queries, as stage 3 of the recipe leaves them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from espnet2_caresep.data.files import read_table


@dataclass(frozen=True)
class Source:
    """One of a mixture's two sources.

    Attributes:
        audio: Path of the source as it is in the mixture.
        own: Path of the clip that it was taken from, a query.
        other: Path of another clip of its class, a query.
        labels: Its classes.
    """

    audio: str
    own: str
    other: str
    labels: frozenset[str]


@dataclass(frozen=True)
class MixturePair:
    """A mixture.

    Attributes:
        mixture: Path.
        sources: What it is the sum of.
    """

    mixture: str
    sources: tuple[Source, Source]

    @property
    def labels(self) -> frozenset[str]:
        """All classes in the mixture."""
        return self.sources[0].labels | self.sources[1].labels


def read_mixture_pairs(folder: str | Path) -> dict[str, MixturePair]:
    """Reads such a folder.

    Args:
        folder: Holds ``wav.scp`` and, for n of 1 and 2, ``spk{n}.scp``,
            ``enroll_spk{n}.scp``, ``other_spk{n}.scp`` and ``label_spk{n}``.

    Returns:
        Name of a mixture -> mixture, in the order of ``wav.scp``.

    Raises:
        ValueError: If a file is missing or lacks a mixture.
    """
    folder = Path(folder)
    sources = [_read_sources(folder, n) for n in (1, 2)]
    found = {}
    for uid, path in read_table(folder / "wav.scp").items():
        if not all(uid in table for table in sources):
            raise ValueError(f"{folder}: {uid} lacks a source, a query or a label")
        found[uid] = MixturePair(path, (sources[0][uid], sources[1][uid]))
    return found


def _read_sources(folder: Path, n: int) -> dict[str, Source]:
    names = (f"{name}{n}.scp" for name in ("spk", "enroll_spk", "other_spk"))
    audio, own, other = (read_table(folder / name) for name in names)
    labels = read_table(folder / f"label_spk{n}")
    return {
        uid: Source(audio[uid], own[uid], other[uid], frozenset(labels[uid].split()))
        for uid in audio.keys() & own.keys() & other.keys() & labels.keys()
    }
