"""Query bank: several examples of one sound, as one model hears them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from espnet2_caresep.inference.results import Query, join_queries

if TYPE_CHECKING:
    from espnet2_caresep.network.query_layout import QueryLayout

FAR = 2.0  # times the other clips' median distance: such a clip is called an outlier
FEWEST = 3  # clips without which nothing can be called an outlier


class BankError(ValueError):
    """A bank that cannot be used, with a one-line reason."""


@dataclass(frozen=True)
class Source:
    """A clip of a bank.

    Attributes:
        file: Name of the file, without its folders.
        sha256: Hash of the file, 64 hexadecimal digits.
        seconds: Its length.
    """

    file: str
    sha256: str
    seconds: float


@dataclass(frozen=True)
class Bank:
    """Examples of one sound, as one model hears them.

    Attributes:
        name: Name of the bank.
        fingerprint: Fingerprint of the model.
        embeddings: (clips, query_dim) float32, finite, at least one row.
        tags: (clips, classes) float32, finite.
        sources: One per row.
        layout: What the numbers of an embedding are. Distances are computed from those
            that are pooled: a query's spectra, which some models append, tell recordings
            apart more than sounds.
    """

    name: str
    fingerprint: str
    embeddings: np.ndarray
    tags: np.ndarray
    sources: tuple[Source, ...]
    layout: QueryLayout

    @property
    def query(self) -> Query:
        """The query that the bank stands for: the clips' mean."""
        return join_queries(map(Query, self.embeddings, self.tags), self.layout)

    @property
    def dispersion(self) -> float:
        """RMS distance of the clips from their mean over the RMS length of a clip.

        0 for equal clips, near 1 for clips that have nothing in common.
        """
        points = self._points()
        spread = np.square(points - points.mean(0)).sum(1).mean()
        return float(np.sqrt(spread / max(np.square(points).sum(1).mean(), 1e-30)))

    @property
    def distances(self) -> np.ndarray:
        """Each clip's distance from the mean of the others, (clips,); 0 for one clip."""
        points, count = self._points(), len(self.embeddings)
        if count == 1:
            return np.zeros(1)
        others = (points.sum(0) - points) / (count - 1)
        return np.linalg.norm(points - others, axis=1)

    @property
    def outliers(self) -> list[Source]:
        """Clips more than twice as far from the others as the others' median is."""
        distances = self.distances
        if len(distances) < FEWEST:
            return []
        usual = [np.median(np.delete(distances, i)) for i in range(len(distances))]
        return [s for s, d, u in zip(self.sources, distances, usual) if d > FAR * u]

    def _points(self) -> np.ndarray:
        return self.embeddings[:, : self.layout.pooled].astype(np.float64)
