"""CaRESeparator: separate, tag and embed audio of any kind with a trained model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from espnet2_caresep.inference.audio import array_shape, open_audio
from espnet2_caresep.inference.batch import separate_batch
from espnet2_caresep.inference.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_files,
)
from espnet2_caresep.inference.device import choose_device
from espnet2_caresep.inference.listener import Listener
from espnet2_caresep.inference.results import (
    Query,
    Separation,
    Stems,
    StreamBlock,
)
from espnet2_caresep.inference.segments import separate_segments
from espnet2_caresep.inference.stream import (
    Inside,
    SeparationStream,
    separate_blocks,
    separate_whole,
)


class CaRESeparator(Listener):
    """A trained CaRE-SEP model for audio of any rate, channel count and length.

    Audio is a path, or a float array or tensor (samples,) or (channels, samples) with
    its ``sample_rate`` in Hz. A query is an example of the wanted sound, downmixed to
    mono; a list of examples, whose embeddings are averaged; or a :class:`Query`. Inside,
    the network works at its own rate (``separator.sample_rate``, 32 kHz by default).
    Conversions are linear-phase, and what lies above half that rate is never in a
    target: it stays in the residual.

    A separator may be used from several threads, and gives the same result for the same
    input on the same device and number of threads.

    Args:
        checkpoint: The loaded model.
        device: Torch device, or "auto" for the first of cuda, mps, cpu that is there.
        overlap: Share of a segment that is cross-faded with the next where audio is
            longer than one segment, 0 to 0.95. More overlap takes more time and makes
            the result depend less on where segments begin.
        batch_size: Pieces (segments times channels times queries) that the network
            treats at once.

    Raises:
        ValueError: If the device is not there.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        overlap: float = 0.25,
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

    @classmethod
    def from_pretrained(
        cls, source: str | Path, device: str = "auto", **options
    ) -> CaRESeparator:
        """Loads a model-zoo zip, an ESPnet experiment folder, or a model of the zoo.

        Args:
            source: Path of a zip or folder, or the model's name in ESPnet's model zoo
                or on Hugging Face, which is downloaded once and kept.
            device: As above.
            **options: ``overlap`` and ``batch_size`` as above.

        Raises:
            ValueError: If the model cannot be used, with a one-line reason.
        """
        return cls(load_checkpoint(source), device, **options)

    @classmethod
    def from_files(
        cls, config_file: str | Path, model_file: str | Path, device: str = "auto"
    ) -> CaRESeparator:
        """Loads a training configuration and a weights file; else as above."""
        return cls(load_files(config_file, model_file), device)

    def separate(
        self,
        mix,
        query,
        sample_rate: int | None = None,
        query_sample_rate: int | None = None,
    ) -> Separation:
        """Separates what sounds like the query from a mixture.

        Channels are separated one by one with the same query.

        Args:
            mix: Path, array or tensor.
            query: Example or examples of the wanted sound, or a :class:`Query`.
            sample_rate: Rate of ``mix`` in Hz where it is an array.
            query_sample_rate: Rate of ``query`` where it is an array; by default
                ``sample_rate``.

        Returns:
            Target and residual, numpy float32 of the mixture's shape; (samples,) for a
            mono file.

        Raises:
            ValueError: If either cannot be read, is empty, shorter than one STFT
                window, or not finite, or if the query is silent.
        """
        found = self.separate_all(
            mix, {"target": query}, sample_rate, query_sample_rate
        )
        return Separation(
            found.stems["target"],
            found.residual,
            found.sample_rate,
            found.presence["target"],
        )

    def separate_all(
        self,
        mix,
        queries: Mapping[str, object],
        sample_rate: int | None = None,
        query_sample_rate: int | None = None,
        partition: bool = False,
    ) -> Stems:
        """Separates what several queries point at.

        Args:
            mix: Path, array or tensor.
            queries: Name -> query as in :meth:`separate`, at least one.
            sample_rate: As in :meth:`separate`.
            query_sample_rate: As in :meth:`separate`.
            partition: Whether the stems share what they all claim, so that none of it
                is in two stems and the residual is never negative of what there was.

        Returns:
            Stems and residual.

        Raises:
            ValueError: As :meth:`separate`.
        """
        shape = getattr(mix, "shape", None)
        mixture = open_audio(mix, sample_rate, "mixture")
        wanted = [
            self.query(query, query_sample_rate or sample_rate)
            for query in queries.values()
        ]
        stream = self.open_stream(
            wanted, mixture.sample_rate, mixture.channels, partition, mixture.name
        )
        whole = separate_whole(stream, mixture.blocks())
        if shape is None:
            shape = array_shape(mixture.channels, whole.residual.shape[1])
        scores = map(self.presence_rule.score, stream.meter.shares_db())
        return Stems(
            {name: stem.reshape(shape) for name, stem in zip(queries, whole.stems)},
            whole.residual.reshape(shape),
            mixture.sample_rate,
            dict(zip(queries, scores)),
        )

    def separate_batch(
        self,
        mixtures: Sequence,
        queries: Sequence,
        sample_rate: int | None = None,
        query_sample_rate: int | None = None,
    ) -> list[Separation]:
        """Separates many mixtures, each with its own query.

        Mixtures of at most a segment go through the network ``batch_size`` at a time;
        longer ones as in :meth:`separate`. Results are those of :meth:`separate` up to
        rounding.

        Args:
            mixtures: Paths, arrays or tensors, or one array or tensor whose first axis
                counts mixtures: (batch, samples) or (batch, channels, samples).
            queries: As many queries.
            sample_rate: As in :meth:`separate`, of all mixtures.
            query_sample_rate: As in :meth:`separate`, of all queries.

        Returns:
            One result per mixture, in order.

        Raises:
            ValueError: As :meth:`separate`, or if the numbers differ.
        """
        return separate_batch(self, mixtures, queries, sample_rate, query_sample_rate)

    def stream(
        self,
        blocks: Iterable,
        query,
        sample_rate: int,
        query_sample_rate: int | None = None,
    ) -> Iterator[StreamBlock]:
        """Separates audio that comes, and goes, block by block.

        Memory does not grow with the length, and the result does not depend on the
        blocks: joined, it is what :meth:`separate` gives for the joined mixture. It
        lags the input by less than two segments.

        Args:
            blocks: Arrays or tensors (samples,) or (channels, samples), of any lengths
                and all of as many channels.
            query: As in :meth:`separate`.
            sample_rate: Rate of the blocks in Hz.
            query_sample_rate: Rate of ``query`` where it is an array; by default
                ``sample_rate``.

        Yields:
            Pieces of target and residual, together as long as the input.

        Raises:
            ValueError: As :meth:`separate`, or if the number of channels changes.
        """
        wanted = self.query(query, query_sample_rate or sample_rate)
        return separate_blocks(self, blocks, wanted, sample_rate)

    def open_stream(
        self,
        queries: Sequence[Query],
        sample_rate: int,
        channels: int,
        partition: bool = False,
        name: str = "mixture",
    ) -> SeparationStream:
        """What :meth:`stream` and :meth:`separate_all` run on, for several queries.

        Args:
            queries: At least one.
            sample_rate: Rate of the mixture in Hz.
            channels: Channels of the mixture.
            partition: As in :meth:`separate_all`.
            name: What to call the mixture in messages.

        Raises:
            ValueError: If there is no query, or one is of another model.
        """
        if not queries:
            raise ValueError("at least one query is needed")
        for query in queries:
            if query.embedding.shape != (self.network.query_dim,):
                raise ValueError(
                    f"a query of this model has {self.network.query_dim} numbers, not "
                    f"{'x'.join(map(str, query.embedding.shape))}"
                )
        vectors = torch.from_numpy(np.stack([query.embedding for query in queries]))
        vectors = vectors.to(self.device)

        @torch.inference_mode()
        def process(audio: Tensor) -> Tensor:
            targets = separate_segments(
                self.network,
                audio.to(self.device),
                vectors,
                partition,
                batch_size=self.batch_size,
            )
            return targets.flatten(0, 1).float().cpu()

        inside = Inside(
            process,
            len(queries),
            self.sample_rate,
            self.network.segment_samples,
            self.network.n_fft,
            self.overlap,
        )
        return SeparationStream(inside, sample_rate, channels, name)
