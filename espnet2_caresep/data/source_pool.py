"""The clips that training draws from, as a few arrays.

Two million clips must not become Python objects: every data-loading process holds its
own copy of an object that it touches, while arrays made before the processes start are
shared. So texts lie in one buffer and everything else in numpy arrays.
"""

from __future__ import annotations

import logging
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from espnet2_caresep.config import ConfigError
from espnet2_caresep.data.memberships import Memberships
from espnet2_caresep.data.strings import Strings

logger = logging.getLogger(__name__)

TRIES = 50  # random tries before a rare draw is decided by looking at all clips


class SourcePool:
    """Clips with labels and groups, and the draws that training needs.

    Args:
        source_dir: Data directory with ``wav.scp`` and ``labels``, and where present
            ``utt2class`` (finer classes), ``utt2group`` (clips of one recording) and
            ``utt2num_samples``.
        labels: Class names; the index in this list is the class.
        min_samples: Clips with fewer samples are left out (needs utt2num_samples).

    Attributes:
        num_classes: Classes in the list, with or without clips.
        classes: Indices of the classes that have clips.

    Raises:
        ConfigError: If a file is missing or malformed, a class is unknown, or fewer
            than two clips or classes are left.
    """

    def __init__(
        self, source_dir: str | Path, labels: Sequence[str], min_samples: int = 0
    ):
        self.source_dir = Path(source_dir)
        self.num_classes = len(labels)
        pairs = sorted(self._lines("wav.scp"))
        self.uids = Strings(uid for uid, _ in pairs)
        self._paths = Strings(path for _, path in pairs)
        for previous, following in pairwise(pairs):
            if previous[0] == following[0]:
                raise ConfigError(
                    f"{self.source_dir}/wav.scp: {following[0].decode()} comes twice"
                )
        del pairs
        self._groups = self._read_groups()
        usable = self._long_enough(min_samples)
        self._labels = self._read_labels(labels, usable)
        self._finer = self._read_finer(usable)
        self._usable = np.flatnonzero(usable)
        self.classes = self._labels.inhabited()
        if len(self._usable) < 2 or len(self.classes) < 2:
            raise ConfigError(
                f"{self.source_dir}: mixing needs clips of at least two classes, has "
                f"{len(self._usable)} clips of {len(self.classes)}"
            )

    def __len__(self) -> int:
        return len(self.uids)

    def path(self, clip: int) -> str:
        """Audio file of a clip."""
        return self._paths[clip].decode()

    def labels(self, clip: int) -> np.ndarray:
        """Classes of a clip, int array."""
        return self._labels.classes(clip)

    def clips(self, cls: int) -> np.ndarray:
        """Clips of a class, int array."""
        return self._labels.clips(cls)

    def multi_hot(self, clip: int) -> np.ndarray:
        """Labels of a clip as (num_classes,) float32 of zeros and ones."""
        vector = np.zeros(self.num_classes, np.float32)
        vector[self.labels(clip)] = 1
        return vector

    def index(self, uid: str) -> int:
        """Number of the clip with this name.

        Raises:
            ConfigError: If there is none.
        """
        key = uid.encode()
        position = bisect_left(self.uids, key)
        if position == len(self) or self.uids[position] != key:
            raise ConfigError(f"{self.source_dir}/wav.scp: no clip {uid}")
        return position

    # -- draws -----------------------------------------------------------------

    def draw(self, rng: np.random.Generator, balance: str) -> tuple[int, int]:
        """A class and one of its clips.

        Args:
            rng: Source of randomness.
            balance: "class": a class, then one of its clips; "utterance": a clip, then
                one of its classes.

        Returns:
            Clip and class.
        """
        if balance == "class":
            cls = int(rng.choice(self.classes))
            return int(rng.choice(self.clips(cls))), cls
        clip = int(rng.choice(self._usable))
        return clip, int(rng.choice(self.labels(clip)))

    def draw_partner(
        self, rng: np.random.Generator, clips: Sequence[int], balance: str
    ) -> tuple[int, int]:
        """A clip that shares no label with any of ``clips``, and its class.

        Raises:
            ConfigError: If every clip shares a label.
        """
        taken = np.concatenate([self.labels(clip) for clip in clips])
        for _ in range(TRIES):
            other, cls = self.draw(rng, balance)
            if not np.isin(self.labels(other), taken).any():
                return other, cls
        shares = np.zeros(len(self), bool)
        for cls in taken:
            shares[self.clips(cls)] = True
        free = self._usable[~shares[self._usable]]
        if not len(free):
            names = " or ".join(self.uids[clip].decode() for clip in clips)
            raise ConfigError(
                f"{self.source_dir}: every clip shares a label with {names}, so nothing "
                "can be mixed with it"
            )
        other = int(rng.choice(free))
        return other, int(rng.choice(self.labels(other)))

    def draw_other(self, rng: np.random.Generator, clip: int, cls: int) -> int | None:
        """Another clip, as evaluation draws it: of a finer class of the clip where
        there is one, else of ``cls``; of another group where there is one.

        Returns:
            The clip; None if ``clip`` is the only one.
        """
        for finer in rng.permutation(self._finer.classes(clip)):
            other = self._draw_apart(rng, clip, self._finer.clips(finer))
            if other is not None:
                return other
        return self._draw_apart(rng, clip, self.clips(cls))

    def _draw_apart(
        self, rng: np.random.Generator, clip: int, clips: np.ndarray
    ) -> int | None:
        """One of these clips that is not ``clip``, of another group where possible."""
        if not len(clips):
            return None
        for _ in range(TRIES):
            other = int(rng.choice(clips))
            if self._groups[other] != self._groups[clip]:
                return other
        apart = clips[self._groups[clips] != self._groups[clip]]
        if not len(apart):
            apart = clips[clips != clip]
        return int(rng.choice(apart)) if len(apart) else None

    # -- reading ---------------------------------------------------------------

    def _lines(self, name: str) -> Iterator[tuple[bytes, bytes]]:
        path = self.source_dir / name
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    key, _, value = line.strip().partition(b" ")
                    if not value:
                        raise ConfigError(f"{path}:{number}: needs 'uid value'")
                    yield key, value.strip()
        except OSError as error:
            raise ConfigError(f"no such file: {path} (stage 3 makes it)") from error

    def _indexed(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Lines of a file with clip numbers; lines of unknown clips are left out."""
        guess = 0
        for key, value in self._lines(name):
            # The files are sorted alike: the next clip is nearly always the right one.
            if not (guess < len(self) and self.uids[guess] == key):
                guess = bisect_left(self.uids, key)
                if guess == len(self) or self.uids[guess] != key:
                    continue
            yield guess, value
            guess += 1

    def _read_groups(self) -> np.ndarray:
        groups = np.arange(len(self), dtype=np.int32)
        if (self.source_dir / "utt2group").exists():
            numbers: dict[bytes, int] = {}
            for clip, value in self._indexed("utt2group"):
                groups[clip] = len(self) + numbers.setdefault(value, len(numbers))
        return groups

    def _long_enough(self, min_samples: int) -> np.ndarray:
        keep = np.ones(len(self), bool)
        if (self.source_dir / "utt2num_samples").exists():
            for clip, value in self._indexed("utt2num_samples"):
                keep[clip] = int(value) >= min_samples
        if not keep.all():
            logger.warning(
                f"{self.source_dir}: {(~keep).sum()} clips shorter than {min_samples} "
                "samples are left out"
            )
        return keep

    def _read_labels(self, labels: Sequence[str], usable: np.ndarray) -> Memberships:
        number = {label.encode(): index for index, label in enumerate(labels)}
        clips, classes = array("i"), array("i")
        labelled = np.zeros(len(self), bool)
        for clip, value in self._indexed("labels"):
            labelled[clip] = True
            for label in value.split():
                if label not in number:
                    raise ConfigError(
                        f"{self.source_dir}/labels: class '{label.decode()}' of "
                        f"{self.uids[clip].decode()} is not in the list of labels"
                    )
                clips.append(clip)
                classes.append(number[label])
        if not labelled.all():
            missing = self.uids[int(np.argmin(labelled))].decode()
            raise ConfigError(f"{self.source_dir}/labels: no line for {missing}")
        return self._memberships(clips, classes, self.num_classes, usable)

    def _read_finer(self, usable: np.ndarray) -> Memberships:
        number: dict[bytes, int] = {}
        clips, classes = array("i"), array("i")
        if (self.source_dir / "utt2class").exists():
            for clip, value in self._indexed("utt2class"):
                for name in value.split():
                    clips.append(clip)
                    classes.append(number.setdefault(name, len(number)))
        return self._memberships(clips, classes, len(number), usable)

    def _memberships(
        self, clips: array, classes: array, num_classes: int, usable: np.ndarray
    ) -> Memberships:
        arrays = (np.array(x, np.int32) for x in (clips, classes))
        return Memberships(*arrays, len(self), num_classes, usable)
