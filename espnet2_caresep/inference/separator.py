"""CaRESeparator: separate, tag and embed audio of any kind with a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from espnet2_caresep.inference.audio.recording import array_shape, open_audio
from espnet2_caresep.inference.batch import separate_batch
from espnet2_caresep.inference.checkpoint import load_checkpoint, load_files
from espnet2_caresep.inference.results import Separation, Stems
from espnet2_caresep.inference.scene.scene import Scene, separate_scene
from espnet2_caresep.inference.stream import separate_whole
from espnet2_caresep.inference.streamer import Streamer
from espnet2_caresep.inference.tags.events import EventRule


class CaRESeparator(Streamer):
    """A trained CaRE-SEP model for audio of any rate, channel count and length.

    Audio is a path, or a float array or tensor (samples,) or (channels, samples) with
    its ``sample_rate`` in Hz. A query is an example of the wanted sound, downmixed to
    mono; a list of examples, whose embeddings are averaged; or a :class:`Query`. Inside,
    the network works at its own rate (``separator.sample_rate``, 32 kHz by default).
    Conversions are linear-phase, and what lies above half that rate is never in a
    target: it stays in the residual.

    A separator may be used from several threads, and gives the same result for the same
    input on the same device and number of threads. It is made by
    :meth:`from_pretrained`; its options are those of
    :class:`~espnet2_caresep.inference.streamer.Streamer`.
    """

    @classmethod
    def from_pretrained(
        cls, source: str | Path, device: str = "auto", **options
    ) -> CaRESeparator:
        """Loads a model-zoo zip, an ESPnet experiment folder, or a model of the zoo.

        Args:
            source: Path of a zip or folder, or the model's name in ESPnet's model zoo
                or on Hugging Face, which is downloaded once and kept.
            device: Torch device, or "auto" for the first of cuda, mps, cpu.
            **options: ``overlap`` and ``batch_size`` as :class:`Streamer` has them.

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
        unwanted: Sequence = (),
    ) -> Separation:
        """Separates what sounds like the query from a mixture.

        Channels are separated one by one with the same query.

        Args:
            mix: Path, array or tensor.
            query: Example or examples of the wanted sound, or a :class:`Query`.
            sample_rate: Rate of ``mix`` in Hz where it is an array.
            query_sample_rate: Rate of ``query`` where it is an array; by default
                ``sample_rate``.
            unwanted: Queries of sounds that are to stay in the residual. Where one of
                them and ``query`` together claim more than there is, they share it.

        Returns:
            Target and residual, numpy float32 of the mixture's shape; (samples,) for a
            mono file.

        Raises:
            ValueError: If either cannot be read, is empty, shorter than one STFT
                window, or not finite, or if the query is silent.
        """
        found = self.separate_all(
            mix, {"target": query}, sample_rate, query_sample_rate, unwanted=unwanted
        )
        return Separation(
            found.stems["target"],
            found.residual,
            found.sample_rate,
            found.presence["target"],
            found.fade["target"],
        )

    def separate_all(
        self,
        mix,
        queries: Mapping[str, object],
        sample_rate: int | None = None,
        query_sample_rate: int | None = None,
        partition: bool = False,
        unwanted: Sequence = (),
    ) -> Stems:
        """Separates what several queries point at.

        Args:
            mix: Path, array or tensor.
            queries: Name -> query as in :meth:`separate`, at least one.
            sample_rate: As in :meth:`separate`.
            query_sample_rate: As in :meth:`separate`.
            partition: Whether the stems share what they all claim, so that none of it
                is in two stems and the residual is never negative of what there was.
            unwanted: As in :meth:`separate`.

        Returns:
            Stems and residual.

        Raises:
            ValueError: As :meth:`separate`.
        """
        shape = getattr(mix, "shape", None)
        mixture = open_audio(mix, sample_rate, "mixture")
        rate = query_sample_rate or sample_rate
        wanted = [self.query(query, rate) for query in queries.values()]
        others = [self.query(query, rate) for query in unwanted]
        stream = self.open_stream(
            wanted,
            mixture.sample_rate,
            mixture.channels,
            partition,
            mixture.name,
            others,
        )
        whole = separate_whole(stream, mixture.blocks())
        verdicts = dict(zip(queries, stream.judge.verdicts()))
        if shape is None:
            shape = array_shape(mixture.channels, whole.residual.shape[1])
        return Stems(
            {name: stem.reshape(shape) for name, stem in zip(queries, whole.stems)},
            whole.residual.reshape(shape),
            mixture.sample_rate,
            {name: verdict.presence for name, verdict in verdicts.items()},
            {name: verdict.fade for name, verdict in verdicts.items()},
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

    def scene(
        self,
        audio,
        sample_rate: int | None = None,
        threshold: float = 0.5,
        top: int | None = None,
        min_duration: float = 0.25,
        max_gap: float = 0.35,
    ) -> Scene:
        """Takes a recording apart: finds its events and separates every one.

        The stems are in memory; ``caresep scene`` writes them while it separates, so
        that a recording may last for hours.

        Args:
            audio: Path, array or tensor.
            sample_rate: Rate of an array in Hz.
            threshold: Probability, above 0 to 1, that a moment of an event must reach.
            top: At most so many labels, the most probable ones; all by default.
            min_duration: Shorter events are dropped, in seconds.
            max_gap: Events of a label that are so far apart become one, in seconds.

        Returns:
            A stem for each label that has an event, the residual and the events.

        Raises:
            ValueError: If the audio cannot be read, is empty, too short or not finite,
                or a value cannot be used.
        """
        rule = EventRule(threshold, top, min_duration, max_gap)
        return separate_scene(self, audio, rule, sample_rate)
