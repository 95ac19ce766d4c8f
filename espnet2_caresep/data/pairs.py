"""Lists of pairs to mix: how they are drawn, written and read."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from espnet2_caresep.data.files import write_whole

TRIES = 20  # pairings from scratch, before there seems to be none


@dataclass(frozen=True)
class Pair:
    """One line of a list; starts and length in seconds."""

    pair: str
    source1: str
    start1: float
    source2: str
    start2: float
    other1: str
    other1_start: float
    other2: str
    other2_start: float
    seconds: float

    def uids(self) -> tuple[str, str, str, str]:
        """Returns the clips that the pair needs."""
        return self.source1, self.source2, self.other1, self.other2


COLUMNS = [field.name for field in fields(Pair)]


def read_pairs(path: Path) -> list[Pair]:
    """Reads a list of pairs.

    Raises:
        ValueError: If it is missing, empty or damaged.
    """
    pairs = []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            if reader.fieldnames != COLUMNS:
                raise ValueError(f"{path}: the columns must be {' '.join(COLUMNS)}")
            for row in reader:
                numbers = {
                    name: float(row[name])
                    for name in COLUMNS
                    if "start" in name or name == "seconds"
                }
                pairs.append(Pair(**{**row, **numbers}))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except TypeError as error:
        raise ValueError(f"{path}:{len(pairs) + 2}: has missing columns") from error
    if not pairs:
        raise ValueError(f"{path}: holds no pair")
    return pairs


def write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """Writes a list of pairs; starts have two decimals."""
    lines = ["\t".join(COLUMNS)]
    for pair in pairs:
        *columns, seconds = astuple(pair)
        texts = [f"{x:.2f}" if isinstance(x, float) else x for x in columns]
        lines.append("\t".join([*texts, f"{seconds:g}"]))
    with write_whole(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Catalogue:
    """Clips with what says which of them go together.

    Args:
        labels: Clip to its labels; the order of the clips decides what a seed draws.
        classes: Clip to its finer classes; by default its labels.
        groups: Clip to the recording it comes from; by default each has its own.
        above: Label to the labels that contain it, such as Dog to Animal.
    """

    def __init__(
        self,
        labels: Mapping[str, Iterable[str]],
        classes: Mapping[str, Iterable[str]] | None = None,
        groups: Mapping[str, str] | None = None,
        above: Mapping[str, Iterable[str]] | None = None,
    ):
        self.uids = list(labels)
        self.labels = {uid: frozenset(names) for uid, names in labels.items()}
        self.classes = self.labels
        if classes is not None:
            self.classes = {uid: frozenset(classes[uid]) for uid in self.uids}
        self.groups = {uid: groups[uid] if groups else uid for uid in self.uids}
        above = above or {}
        self._closed = {
            uid: names.union(*(above.get(name, ()) for name in names))
            for uid, names in self.labels.items()
        }
        self._with_label: dict[str, list[int]] = {}
        for place, uid in enumerate(self.uids):
            for name in self.labels[uid]:
                self._with_label.setdefault(name, []).append(place)

    def clash(self, uid: str, other: str) -> bool:
        """Tells whether two clips share a label, or a label of one contains one of the
        other: then the query of one may mean the other."""
        return not (
            self.labels[uid].isdisjoint(self._closed[other])
            and self.labels[other].isdisjoint(self._closed[uid])
        )

    def is_alone(self, uid: str) -> bool:
        """Tells whether no other clip has one of its labels."""
        return all(len(self._with_label[name]) == 1 for name in self.labels[uid])

    def draw_other(self, uid: str, draw: random.Random) -> str:
        """Draws another clip of the class: finer class first, another group first.

        Raises:
            ValueError: If no other clip has one of its labels.
        """
        places = set().union(*(self._with_label[name] for name in self.labels[uid]))
        others = [self.uids[place] for place in sorted(places)]
        others.remove(uid)
        fine = [o for o in others if not self.classes[uid].isdisjoint(self.classes[o])]
        for pool in (
            [o for o in fine if self.groups[o] != self.groups[uid]],
            fine,
            [o for o in others if self.groups[o] != self.groups[uid]],
            others,
        ):
            if pool:
                return draw.choice(pool)
        names = " ".join(sorted(self.labels[uid]))
        raise ValueError(f"{uid} is the only clip of {names}")


def draw_partners(
    uids: Sequence[str], clash: Callable[[str, str], bool], draw: random.Random
) -> dict[str, str]:
    """Gives each clip a partner that it does not clash with; each is a partner once.

    Args:
        uids: Clips.
        clash: Tells whether two clips must not be mixed; true for a clip and itself.
        draw: Source of randomness.

    Raises:
        ValueError: If no pairing was found, as when one label has more than half of
            the clips.
    """
    for _ in range(TRIES):
        partners = list(uids)
        draw.shuffle(partners)
        if _swap_clashing(uids, partners, clash, draw):
            return dict(zip(uids, partners))
    raise ValueError(
        f"found no partners without a common label for {len(uids)} clips: one label has "
        "more than half of the clips, or nearly so"
    )


def _swap_clashing(uids, partners: list[str], clash, draw: random.Random) -> bool:
    """Swaps a clashing partner with one that suits both sides: this removes a clash and
    makes none. Where each clip has one label, one exists unless a label has more than
    half of the clips.
    """
    for place, uid in enumerate(uids):
        if not clash(uid, partners[place]):
            continue
        places = [
            other
            for other in range(len(uids))
            if not clash(uid, partners[other])
            and not clash(uids[other], partners[place])
        ]
        if not places:
            return False
        other = draw.choice(places)
        partners[place], partners[other] = partners[other], partners[place]
    return True


def spread_over_labels(
    labels: Mapping[str, Iterable[str]], number: int, draw: random.Random
) -> list[str]:
    """Draws clips label by label in turn, so that rare labels are there too.

    Args:
        labels: Clip to its labels.
        number: How many clips; all of them if there are fewer.
        draw: Source of randomness.

    Returns:
        The clips in the order of ``labels``.
    """
    queues: dict[str, list[str]] = {}
    for uid, names in labels.items():
        for name in names:
            queues.setdefault(name, []).append(uid)
    order = sorted(queues)
    draw.shuffle(order)
    for name in order:
        draw.shuffle(queues[name])
    chosen: set[str] = set()
    while order and len(chosen) < number:
        for name in list(order):
            queue = queues[name]
            while queue and queue[-1] in chosen:
                queue.pop()
            if not queue:
                order.remove(name)
            elif len(chosen) < number:
                chosen.add(queue.pop())
    return [uid for uid in labels if uid in chosen]
