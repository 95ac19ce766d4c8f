"""What the numbers of a query are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .factorisation import factorise

CLIP_UPDATES = 40


class QueryLayout(NamedTuple):
    """A query is a pooled embedding, then a mean spectrum, then templates.

    Attributes:
        pooled: Length of the embedding.
        bins: Length of the log power spectrum; 0 if a query carries none.
        templates: Magnitude spectra of ``bins`` each, of whose sums the clip's frames
            are made; 0 if a query carries none. They are as large as they are frequent.
    """

    pooled: int
    bins: int = 0
    templates: int = 0

    @property
    def size(self) -> int:
        """Numbers of a query, Q."""
        return self.pooled + self.bins * (1 + self.templates)

    def without_templates(self) -> QueryLayout:
        """What is left when the templates, which come last, are cut off."""
        return self._replace(templates=0)

    def split(self, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(..., Q) -> embedding (..., E), spectrum (..., F), templates (..., K, F)."""
        pooled, spectrum, templates = queries.split(
            [self.pooled, self.bins, self.bins * self.templates], -1
        )
        return pooled, spectrum, templates.unflatten(-1, (self.templates, self.bins))

    def join(self, pooled: Tensor, spectrum: Tensor, templates: Tensor) -> Tensor:
        """The inverse of :meth:`split`."""
        return torch.cat([pooled, spectrum, templates.flatten(-2)], -1)


def find_templates(magnitude: Tensor, count: int) -> Tensor:
    """Spectra of whose sums magnitudes are made (:mod:`~.factorisation`).

    Args:
        magnitude: (B, T, F), not negative.
        count: How many, K.

    Returns:
        (B, K, F), each times its mean activation: they add up to the mean spectrum.
    """
    if not count:
        return magnitude[:, :0]
    activations, spectra = factorise(magnitude, count, CLIP_UPDATES)
    return activations.mean(1)[..., None] * spectra


def mean_query(queries: Tensor, weights: Tensor, layout: QueryLayout) -> Tensor:
    """What several queries have in common.

    Spectra are averaged in power, as if the clips were one: the mean of their logarithms
    would keep what all of them have and lose what each has (docs/separate.md). Of all
    templates together as many new ones are made as one query has.

    Args:
        queries: (B, S, Q), S queries each.
        weights: (B, S), at least 0.
        layout: Of the queries.

    Returns:
        (B, Q), of the type of ``queries``.
    """
    if queries.shape[1] == 1:
        return queries[:, 0]
    share = (weights / weights.sum(1, keepdim=True)).to(queries.dtype)[..., None]
    pooled, spectrum, templates = layout.split(queries)
    together = (share[..., None] * templates).flatten(1, 2)
    return layout.join(
        (pooled * share).sum(1),
        torch.logsumexp(spectrum + share.log(), 1),
        # Their sum stays what it was
        find_templates(together, layout.templates) * together.shape[1],
    )
