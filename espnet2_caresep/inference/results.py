"""What the separator returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from espnet2_caresep.inference.partition import split_exactly
from espnet2_caresep.inference.presence.fade import Fade

if TYPE_CHECKING:
    from espnet2_caresep.network.query_layout import QueryLayout


@dataclass(frozen=True)
class Query:
    """A wanted sound, embedded: what ``CaRESeparator.query`` makes of clips.

    Attributes:
        embedding: (query_dim,) float32, of the model that made it.
        tags: (classes,) float32, the logits of its classes; several clips' mean.
    """

    embedding: np.ndarray
    tags: np.ndarray


def join_queries(queries: Iterable[Query], layout: QueryLayout) -> Query:
    """What several examples of a sound have in common; at least one.

    Args:
        queries: Of one model.
        layout: Of the model's network.
    """
    import torch

    from espnet2_caresep.network.query_layout import QueryLayout, mean_query

    embeddings, tags = zip(*((query.embedding, query.tags) for query in queries))
    found = []
    for part, numbers in ((embeddings, layout), (tags, QueryLayout(len(tags[0])))):
        rows = torch.from_numpy(np.stack(part))[None].double()
        equal = torch.ones(rows.shape[:2])
        found.append(mean_query(rows, equal, numbers)[0].float().numpy())
    return Query(*found)


@dataclass(frozen=True)
class Separation:
    """What was separated, as the mixture came: same rate, length, channels and level.

    Attributes:
        target: What sounds like the query; float32, shape of the mixture.
        residual: The rest, mixture - target; float32, same shape. The two add up to
            the mixture: exactly where its samples come from 8- to 24-bit integers,
            within one rounding of float32 otherwise (inference/partition.py).
        sample_rate: Hz.
        presence: Score 0..1 that the wanted sound is there (inference/presence).
        fade: How far the target seems to be something else, over time.
    """

    target: np.ndarray
    residual: np.ndarray
    sample_rate: int
    presence: float
    fade: Fade

    def faded(self) -> Separation:
        """The same with the target turned down where the wanted sound seems to be
        absent; the residual takes the rest."""
        (target,), residual = _faded(self.target[None], self.residual, [self.fade])
        return replace(self, target=target, residual=residual, fade=Fade())


@dataclass(frozen=True)
class Stems:
    """What several queries point at in one mixture.

    Attributes:
        stems: Name of a query -> float32 of the mixture's shape, in order of the
            queries.
        residual: mixture - all stems, same shape; they add up to the mixture as target
            and residual of a :class:`Separation` do. Where stems overlap, because they
            were not partitioned, it is negative what they hold too much.
        sample_rate: Hz.
        presence: Name of a query -> score 0..1.
        fade: Name of a query -> how far its stem seems to be something else, over time.
    """

    stems: dict[str, np.ndarray]
    residual: np.ndarray
    sample_rate: int
    presence: dict[str, float]
    fade: dict[str, Fade]

    def faded(self) -> Stems:
        """The same with the stems turned down where their sounds seem to be absent; the
        residual takes the rest."""
        stems = np.stack([*self.stems.values()])
        stems, residual = _faded(stems, self.residual, self.fade.values())
        return replace(
            self,
            stems=dict(zip(self.stems, stems)),
            residual=residual,
            fade=dict.fromkeys(self.fade, Fade()),
        )


def _faded(
    stems: np.ndarray, residual: np.ndarray, fades: Iterable[Fade]
) -> tuple[np.ndarray, np.ndarray]:
    """Stems turned down, and the residual that has the rest."""
    gains = (fade.between(0, stems.shape[-1]) for fade in fades)
    faint = np.stack([stem * gain for stem, gain in zip(stems, gains)])
    return split_exactly(stems.sum(0) + residual, faint)


@dataclass(frozen=True)
class StreamBlock:
    """A finished piece of a stream; the pieces joined are the whole.

    Attributes:
        target: (channels, samples) or (samples,) float32, as the blocks came.
        residual: Same shape.
    """

    target: np.ndarray
    residual: np.ndarray


@dataclass(frozen=True)
class Tags:
    """What sounds in a clip.

    Attributes:
        labels: Names of the classes; None if the model has none.
        probabilities: (classes,) float32 of the whole clip. For audio longer than one
            segment: from the logits' mean over the segments.
        frames: (frames, classes) float32, probabilities over time.
        frame_seconds: Time from one frame to the next.
    """

    labels: list[str] | None
    probabilities: np.ndarray
    frames: np.ndarray
    frame_seconds: float
