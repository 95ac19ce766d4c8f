"""Which clips belong to which classes, in a few arrays that processes share."""

import numpy as np


class Memberships:
    """A relation of clips and classes, looked up from either side.

    Args:
        clips: (M,) int array, a clip of each membership.
        classes: (M,) int array, its class.
        num_clips: Clips, N.
        num_classes: Classes, C.
        usable: (N,) bool; only these are found by :meth:`clips`.
    """

    def __init__(
        self,
        clips: np.ndarray,
        classes: np.ndarray,
        num_clips: int,
        num_classes: int,
        usable: np.ndarray,
    ):
        order = np.lexsort((classes, clips))
        self._classes = classes[order]
        self._class_start = _starts(clips, num_clips)
        kept = usable[clips]
        clips, classes = clips[kept], classes[kept]
        order = np.lexsort((clips, classes))
        self._clips = clips[order]
        self._clip_start = _starts(classes, num_classes)

    def classes(self, clip: int) -> np.ndarray:
        """Classes of a clip, ascending int array."""
        return self._classes[self._class_start[clip] : self._class_start[clip + 1]]

    def clips(self, cls: int) -> np.ndarray:
        """Usable clips of a class, ascending int array."""
        return self._clips[self._clip_start[cls] : self._clip_start[cls + 1]]

    def inhabited(self) -> np.ndarray:
        """Classes that have usable clips, ascending int array."""
        return np.flatnonzero(np.diff(self._clip_start))


def _starts(keys: np.ndarray, size: int) -> np.ndarray:
    """Where each key's entries begin, and the last end, once entries are sorted."""
    return np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=size))])
