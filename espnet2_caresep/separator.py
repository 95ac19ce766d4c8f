"""A network bound to one query, as ESPnet's separator for joint training with ASR."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from espnet2.enh.separator.abs_separator import AbsSeparator
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from espnet2_caresep.config import check_keys
from espnet2_caresep.inference.overlap_add import hop_between, overlap_add
from espnet2_caresep.inference.segments import separate_segments
from espnet2_caresep.network.systems import SYSTEMS


class QueryBoundSeparator(AbsSeparator):
    """Separates always the same sound: one of :data:`SYSTEMS` with a query in a buffer.

    ESPnet's ``enh_s2t`` task knows no query, so the query's embedding is a part of the
    model: it is saved, resumed and packed with the weights. ``bin/bind_query.py`` makes
    the weights and the configuration from a trained model and query clips. The network
    works on waveforms (``--enh_encoder same --enh_decoder same``) of any length at its
    own sample rate, as :class:`~espnet2_caresep.inference.CaRESeparator` does.

    Args:
        input_dim: Given by ESPnet; not used.
        system: Name of the network in :data:`SYSTEMS`.
        overlap: Share of a segment that is cross-faded with the next where a mixture
            is longer than one segment. ``CaRESeparator`` overlaps by more, which a
            training cannot afford.
        train_norms: Whether BatchNorm follows the joint training's small batches; if
            not, it stays as the model was trained.
        network_conf: Arguments of the network.

    Raises:
        ConfigError: If a network argument is unknown.
        ValueError: If one is out of range, or ``system`` is not known.
    """

    def __init__(
        self,
        input_dim: int,
        system: str = "caresep",
        overlap: float = 0.25,
        train_norms: bool = False,
        **network_conf,
    ):
        super().__init__()
        if system not in SYSTEMS:
            raise ValueError(f"system must be one of {list(SYSTEMS)}, got {system!r}")
        check_keys("separator_conf", network_conf, SYSTEMS[system])
        self.network = SYSTEMS[system](**network_conf)
        self.overlap = overlap
        self.train_norms = train_norms
        # Zeros stand for "no query": an embedding is never exactly zero.
        self.register_buffer("query", torch.zeros(1, self.network.query_dim))

    @property
    def num_spk(self) -> int:
        """One: the target."""
        return 1

    def train(self, mode: bool = True) -> QueryBoundSeparator:
        """As torch's, but BatchNorm stays in evaluation mode unless it may train."""
        super().train(mode)
        if not self.train_norms:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(
        self, input: Tensor, ilens: Tensor, additional: dict | None = None
    ) -> tuple[list[Tensor], Tensor, OrderedDict]:
        """Separates a batch of mixtures.

        Args:
            input: (B, N) waveforms.
            ilens: (B,) samples.
            additional: Not used.

        Returns:
            A list of the one target (B, N), ``ilens``, and nothing else.

        Raises:
            ValueError: If the input is no batch of mono waveforms, or no query is bound.
        """
        if not torch.is_tensor(input) or input.is_complex() or input.dim() != 2:
            raise ValueError(
                "the caresep separator needs mono waveforms (batch, samples): use the "
                "encoder and the decoder 'same'"
            )
        if not self.query.any():
            raise ValueError(
                "no query is bound to the separator: start from the weights that "
                "python -m espnet2_caresep.bin.bind_query writes (init_param)"
            )
        if input.shape[1] <= self.network.segment_samples:
            query = self.query.expand(len(input), -1)
            target = self.network.separate(input, query, ilens)
            return [target], ilens, OrderedDict()
        segment = self.network.segment_samples
        hop = hop_between(segment, self.network.hop_length, self.overlap)
        # Each by itself: where a segment ends depends on the length.
        rows = [
            overlap_add(self._separate_pieces, row[None, :samples], segment, hop)[0]
            for row, samples in zip(input, ilens.tolist())
        ]
        target = pad_sequence(rows, batch_first=True)
        missing = input.shape[1] - target.shape[1]
        return [nn.functional.pad(target, (0, missing))], ilens, OrderedDict()

    def _separate_pieces(self, mixture: Tensor, pieces: Sequence[slice]) -> Tensor:
        query = self.query.view(1, -1)
        return separate_segments(self.network, mixture, pieces, query)[:, :, 0]
