"""Draws that differ from epoch to epoch, whichever ESPnet iterator asks for them."""

from __future__ import annotations

from espnet2.iterators.abs_iter_factory import AbsIterFactory


class EpochIterFactory(AbsIterFactory):
    """Tells the preprocessor which epoch it works for."""

    def __init__(self, factory: AbsIterFactory):
        self.factory = factory

    def build_iter(self, epoch: int, shuffle: bool | None = None):
        """Iterator over the batches of an epoch."""
        iterator = self.factory.build_iter(epoch, shuffle)
        iterator.dataset.preprocess.set_epoch(epoch)
        return iterator
