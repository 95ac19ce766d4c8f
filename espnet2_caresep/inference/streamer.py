"""Streamer: a trained model that separates audio as it comes, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from espnet2_caresep.inference.checkpoint import Checkpoint
from espnet2_caresep.inference.device import choose_device
from espnet2_caresep.inference.listener import Listener
from espnet2_caresep.inference.listening import hear
from espnet2_caresep.inference.overlap_add import OVERLAP, hop_between
from espnet2_caresep.inference.presence.judge import ListeningJudge, ShareJudge
from espnet2_caresep.inference.presence.share_rule import ShareRule
from espnet2_caresep.inference.results import Query, StreamBlock
from espnet2_caresep.inference.segments import separate_segments
from espnet2_caresep.inference.stream import Inside, SeparationStream, separate_blocks


class Streamer(Listener):
    """The part of ``CaRESeparator`` that never needs a whole recording.

    Args:
        checkpoint: The loaded model.
        device: Torch device, or "auto" for the first of cuda, mps, cpu that is there.
        overlap: Share of a segment that is cross-faded with the next where audio is
            longer than one segment, 0 to 0.95. More overlap takes more time and makes
            the result depend less on where segments begin (docs/separate.md).
        batch_size: Pieces (segments times channels times queries) that the network
            treats at once.

    Raises:
        ValueError: If the device is not there.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        overlap: float = OVERLAP,
        batch_size: int = 4,
    ):
        device = choose_device(device)
        super().__init__(checkpoint.network.to(device), device, checkpoint.labels)
        self.fingerprint = checkpoint.fingerprint
        self.presence_rule = checkpoint.presence_rule
        self.class_queries = checkpoint.class_queries
        self.name = checkpoint.name
        self.overlap = overlap
        self.batch_size = batch_size

    @property
    def hop(self) -> int:
        """Samples, at the network's rate, from one segment to the next."""
        network = self.network
        return hop_between(network.segment_samples, network.hop_length, self.overlap)

    def stream(
        self,
        blocks: Iterable,
        query,
        sample_rate: int,
        query_sample_rate: int | None = None,
        unwanted: Sequence = (),
    ) -> Iterator[StreamBlock]:
        """Separates audio that comes, and goes, block by block.

        Memory does not grow with the length, and the result does not depend on the
        blocks: joined, it is what :meth:`separate` gives for the joined mixture. It
        lags the input by less than three segments.

        Args:
            blocks: Arrays or tensors (samples,) or (channels, samples), of any lengths
                and all of as many channels.
            query: As in :meth:`separate`.
            sample_rate: Rate of the blocks in Hz.
            query_sample_rate: Rate of ``query`` where it is an array; by default
                ``sample_rate``.
            unwanted: As in :meth:`separate`.

        Yields:
            Pieces of target and residual, together as long as the input.

        Raises:
            ValueError: As :meth:`separate`, or if the number of channels changes.
        """
        rate = query_sample_rate or sample_rate
        wanted, *others = (self.query(q, rate) for q in (query, *unwanted))
        return separate_blocks(self, blocks, wanted, sample_rate, others)

    def open_stream(
        self,
        queries: Sequence[Query],
        sample_rate: int,
        channels: int,
        partition: bool = False,
        name: str = "mixture",
        unwanted: Sequence[Query] = (),
        judged: bool = True,
    ) -> SeparationStream:
        """What :meth:`stream` and :meth:`separate_all` run on, for several queries.

        Args:
            queries: At least one.
            sample_rate: Rate of the mixture in Hz.
            channels: Channels of the mixture.
            partition: As in :meth:`separate_all`.
            name: What to call the mixture in messages.
            unwanted: What is to stay in the residual.
            judged: Whether the stream's ``judge`` is to say what is there; that takes
                time for each stretch of the mixture.

        Raises:
            ValueError: If there is no query, or one is of another model.
        """
        if not queries:
            raise ValueError("at least one query is needed")
        together = [*queries, *unwanted]
        for query in together:
            found = (query.embedding.shape, query.tags.shape)
            if found != ((self.network.query_dim,), (self.network.num_classes,)):
                raise ValueError(
                    f"a query of this model has {self.network.query_dim} numbers and "
                    f"{self.network.num_classes} tags, not "
                    + " and ".join("x".join(map(str, shape)) for shape in found)
                )
        vectors = torch.from_numpy(np.stack([query.embedding for query in together]))
        vectors = vectors.to(self.device)

        @torch.inference_mode()
        def process(audio: Tensor, pieces: Sequence[slice]) -> Tensor:
            targets = separate_segments(
                self.network,
                audio.to(self.device),
                pieces,
                vectors,
                partition,
                batch_size=self.batch_size,
                unwanted=len(unwanted),
            )
            return targets.flatten(1, 2).float().cpu()

        inside = Inside(
            process,
            len(queries),
            self.sample_rate,
            self.network.segment_samples,
            self.network.n_fft,
            self.hop,
        )
        judge = self._open_judge(queries, sample_rate) if judged else None
        return SeparationStream(inside, sample_rate, channels, name, judge)

    def _open_judge(
        self, queries: Sequence[Query], sample_rate: int
    ) -> ShareJudge | ListeningJudge:
        rule = self.presence_rule
        if isinstance(rule, ShareRule):
            return ShareJudge(rule, len(queries), sample_rate)
        segment = self.network.segment_samples * sample_rate // self.sample_rate
        hear, layout = partial(self._hear, sample_rate), self.network.layout
        return ListeningJudge(rule, queries, layout, max(1, segment), hear)

    @torch.inference_mode()
    def _hear(self, sample_rate: int, pieces: Sequence[np.ndarray]) -> list[Query]:
        return hear(self.network, pieces, sample_rate, self.device, self.batch_size)
