"""Listener: what a trained model hears in clips of any kind."""

from __future__ import annotations

import numpy as np
import torch

from espnet2_caresep.inference import listening
from espnet2_caresep.inference.audio.reader import AudioError
from espnet2_caresep.inference.audio.recording import open_audio
from espnet2_caresep.inference.results import Query, Tags, join_queries
from espnet2_caresep.network.base import QuerySeparator


class Listener:
    """Embeds and tags; the half of ``CaRESeparator`` that separates nothing.

    Args:
        network: In evaluation mode, on its device.
        device: The device.
        labels: Class names in the order of the network's tags; None if unnamed.
    """

    def __init__(
        self, network: QuerySeparator, device: torch.device, labels: list[str] | None
    ):
        self.network = network
        self.device = device
        self.labels = labels

    @property
    def sample_rate(self) -> int:
        """The network's rate in Hz."""
        return self.network.sample_rate

    def embed(
        self,
        audio,
        sample_rate: int | None = None,
        start: float = 0.0,
        end: float | None = None,
    ) -> np.ndarray:
        """Query embedding of a clip of any length, downmixed to mono.

        Args:
            audio: Path, array or tensor.
            sample_rate: Rate of an array in Hz.
            start: Seconds at which the example begins in the clip.
            end: Seconds at which it ends; by default the clip's end.

        Returns:
            (query_dim,) float32.

        Raises:
            ValueError: As :meth:`separate` for a query.
        """
        return self.query(audio, sample_rate, start, end).embedding

    @torch.inference_mode()
    def query(
        self,
        examples,
        sample_rate: int | None = None,
        start: float = 0.0,
        end: float | None = None,
    ) -> Query:
        """Embeds and tags one example of a sound, or several and takes the mean.

        Args:
            examples: Path, array or tensor; a list or tuple of those; or a
                :class:`Query`, which is returned.
            sample_rate: Rate of arrays in Hz.
            start: Seconds at which each example begins in its clip.
            end: Seconds at which it ends; by default the clip's end.

        Raises:
            ValueError: As :meth:`separate` for a query, or if the list is empty.
        """
        if isinstance(examples, Query):
            return examples
        if not isinstance(examples, (list, tuple)):
            examples = [examples]
        if not examples:
            raise AudioError("query: there is no example")
        queries = (
            listening.embed(
                self.network,
                open_audio(example, sample_rate, "query"),
                self.device,
                start,
                end,
            )
            for example in examples
        )
        return join_queries(queries, self.network.layout)

    @torch.inference_mode()
    def tag(self, audio, sample_rate: int | None = None) -> Tags:
        """Names what sounds in a clip of any length, downmixed to mono.

        Args:
            audio: Path, array or tensor.
            sample_rate: Rate of an array in Hz.

        Returns:
            Probabilities of the clip and over time.

        Raises:
            ValueError: If it cannot be read, is empty, too short or not finite.
        """
        clip = open_audio(audio, sample_rate, "audio")
        return listening.tag(self.network, clip, self.device, self.labels)
