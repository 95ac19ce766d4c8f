"""Fitting of the kernel tagger to clips whose labels are known: least squares."""

from __future__ import annotations

import torch
from torch import Tensor

from espnet2_caresep.network.kernel_tagger import KernelTagger
from espnet2_caresep.network.standardised import LEAST_SCALE
from espnet2_caresep.training.clip_memory import ClipMemory

EMBEDDING_SHARE = 0.5  # the embedding knows clips of training all too well
NEARNESS = 2.0  # of the kernel, over the median of squared distances
RIDGE = 0.1
JITTER = 1e-6  # for clips that come twice
ENOUGH = 1000  # clips whose distances are looked at


class KernelTraining:
    """Fits a tagger to remembered clips.

    Args:
        tagger: The tagger.
        memory: The clips.
        embedding: Leading features that are the network's embedding.
    """

    def __init__(self, tagger: KernelTagger, memory: ClipMemory, embedding: int):
        self.tagger, self.memory = tagger, memory
        self.embedding = embedding
        self.fitted = 0

    def finish(self) -> None:
        """Fits, if there are clips that were not there the last time."""
        if self.fitted < self.memory.seen:
            memory = self.memory
            fit(self.tagger, memory["features"], memory["labels"], self.embedding)
            self.fitted = memory.seen


@torch.no_grad()
def fit(tagger: KernelTagger, features: Tensor, labels: Tensor, embedding: int) -> None:
    """Fits a tagger in closed form.

    The first clips, as many as it holds, are those that it compares others with.

    Args:
        tagger: Any state; all of it changes.
        features: (N, D) of clips in random order.
        labels: (N, C), 0 to 1.
        embedding: Leading features that are the network's embedding.
    """
    tagger.standardise_to(features)
    share = torch.ones_like(tagger.mean)
    share[:embedding] = EMBEDDING_SHARE
    axes = principal_axes(share * tagger.standardise(features), tagger.axes.shape[1])
    tagger.axes.copy_(share[:, None] * axes)
    places = tagger.place(features)
    known = places[: len(tagger.clips)]
    tagger.nearness.copy_(NEARNESS / typical_distance(known))
    tagger.prior.copy_(labels.mean(0))
    alike = tagger.likeness(places, known).double()
    system = alike.T @ alike + RIDGE * alike[: len(known)]
    system.diagonal().add_(JITTER)
    weights = torch.linalg.solve(system, alike.T @ (labels - tagger.prior).double())
    for held, found in ((tagger.clips, known), (tagger.weights, weights)):
        held.zero_()[: len(found)] = found.to(held)


def principal_axes(x: Tensor, count: int) -> Tensor:
    """Directions (D, P) in which rows (N, D) differ most."""
    centred = (x - x.mean(0)).double()
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    return vectors.flip(1)[:, :count].to(x)


def typical_distance(x: Tensor) -> Tensor:
    """Median of the squared distances of rows (N, D) from each other."""
    distances = torch.pdist(x[:ENOUGH]).square()
    return (
        distances.quantile(0.5).clamp(min=LEAST_SCALE) if len(x) > 1 else x.new_ones(())
    )
