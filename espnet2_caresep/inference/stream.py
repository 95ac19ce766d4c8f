"""Separation of a stream: blocks of audio at any rate in, stems and a residual out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from espnet2_caresep.inference.audio.reader import AudioError
from espnet2_caresep.inference.audio.recording import open_audio
from espnet2_caresep.inference.audio.resampling import Resampler, fit_length
from espnet2_caresep.inference.overlap_add import OverlapAdd
from espnet2_caresep.inference.partition import split_exactly
from espnet2_caresep.inference.presence.judge import ListeningJudge, ShareJudge
from espnet2_caresep.inference.results import Query, StreamBlock


@dataclass(frozen=True)
class Block:
    """A finished piece of a stream; pieces follow each other without gap or overlap.

    Attributes:
        stems: (queries, channels, samples) float32.
        residual: (channels, samples) float32, mixture - all stems.
    """

    stems: np.ndarray
    residual: np.ndarray


@dataclass(frozen=True)
class Inside:
    """What a stream needs to know of the network.

    Attributes:
        process: (channels, n) and slices of it, all as long and at most a segment ->
            (slices, channels * queries, their samples); rows in order of channels, then
            queries.
        queries: Number of queries.
        sample_rate: The network's rate in Hz.
        segment: Longest input in samples.
        shortest: Shortest input in samples that says anything, one STFT window.
        hop: Samples from one segment to the next.
    """

    process: Callable[[Tensor, Sequence[slice]], Tensor]
    queries: int
    sample_rate: int
    segment: int
    shortest: int
    hop: int


class _Queue:
    """Blocks (rows, n) in, as many samples as wanted out."""

    def __init__(self, rows: int):
        self._blocks = [np.zeros((rows, 0), np.float32)]
        self.size = 0

    def push(self, block: np.ndarray) -> None:
        self._blocks.append(block)
        self.size += block.shape[1]

    def take(self, count: int) -> np.ndarray:
        whole = np.concatenate(self._blocks, 1)
        self._blocks, self.size = [whole[:, count:]], self.size - count
        return whole[:, :count]


class SeparationStream:
    """Mixture in, stems and residual out, block by block, in step with the mixture.

    The mixture is converted to the network's rate, separated segment by segment and
    converted back. It is kept until its stems are there; then both are compared sample
    by sample, and what no stem has taken is the residual, with all that lies above the
    network's band.

    Args:
        inside: The network.
        sample_rate: Rate of the mixture in Hz.
        channels: Channels of the mixture; each is separated on its own.
        name: What to call the mixture in messages.
        judge: Says of each query whether its sound was there; None if nobody asks.
    """

    def __init__(
        self,
        inside: Inside,
        sample_rate: int,
        channels: int,
        name: str,
        judge: ShareJudge | ListeningJudge | None,
    ):
        self.inside, self.channels, self.name = inside, channels, name
        self.judge = judge
        rate = inside.sample_rate
        self._down = Resampler(sample_rate, rate, channels)
        self._up = Resampler(rate, sample_rate, channels * inside.queries)
        self._segments = OverlapAdd(inside.process, inside.segment, inside.hop)
        self._given = 0  # samples of a channel that the network has been given
        self._mixture = _Queue(channels)
        self._targets = _Queue(channels * inside.queries)

    def push(self, block: np.ndarray) -> Block | None:
        """Takes the next (channels, n) float32; returns what is finished, or None.

        Raises:
            AudioError: If the output is not finite.
        """
        self._mixture.push(block)
        self._separate(self._down.push(block))
        count = min(self._targets.size, self._mixture.size)
        return self._hand_out(count) if count else None

    def finish(self) -> Block:
        """Ends the mixture and returns the last piece.

        Raises:
            AudioError: If the whole was shorter than one analysis window, or the output
                is not finite.
        """
        self._separate(self._down.finish())
        shortest = self.inside.shortest
        if self._given < shortest:
            raise AudioError(
                f"{self.name}: is shorter than one analysis window "
                f"({1000 * shortest / self.inside.sample_rate:.0f} ms)"
            )
        self._targets.push(self._up.push(_array(self._segments.finish())))
        self._targets.push(self._up.finish())
        return self._hand_out(self._mixture.size)

    def _separate(self, audio: np.ndarray) -> None:
        self._given += audio.shape[1]
        done = self._segments.push(torch.from_numpy(audio))
        if done is not None:
            self._targets.push(self._up.push(_array(done)))

    def _hand_out(self, count: int) -> Block:
        return self.split(self._mixture.take(count), self._targets.take(count))

    def split(self, mixture: np.ndarray, targets: np.ndarray) -> Block:
        """Makes stems and residual of a mixture and its targets, and judges them.

        Args:
            mixture: (channels, n) float32.
            targets: (channels * queries, about n), cut or padded to n.

        Raises:
            AudioError: If the targets are not finite.
        """
        shape = (self.channels, self.inside.queries, mixture.shape[1])
        targets = fit_length(targets, mixture.shape[1]).reshape(shape).swapaxes(0, 1)
        if not np.isfinite(targets).all():
            raise AudioError(
                f"{self.name}: the output is not finite; are its samples far beyond "
                "+-1, or the weights damaged?"
            )
        if self.judge is not None:
            self.judge.update(mixture, targets)
        return Block(*split_exactly(mixture, targets))


def _array(audio: Tensor) -> np.ndarray:
    return audio.cpu().numpy()


def separate_whole(stream: SeparationStream, blocks: Iterable[np.ndarray]) -> Block:
    """Runs a mixture through a stream and joins what comes out."""
    done = [stream.push(block) for block in blocks]
    done = [block for block in (*done, stream.finish()) if block is not None]
    return Block(
        np.concatenate([block.stems for block in done], -1),
        np.concatenate([block.residual for block in done], -1),
    )


def separate_blocks(
    separator,
    blocks: Iterable,
    query: Query,
    sample_rate: int,
    unwanted: Sequence[Query],
) -> Iterator[StreamBlock]:
    """See ``CaRESeparator.stream``."""
    stream, flat = None, False
    for block in blocks:
        if np.shape(block)[-1:] == (0,):
            continue
        flat = np.ndim(block) == 1
        audio = open_audio(block, sample_rate, "mixture")
        if stream is None:
            stream = separator.open_stream(
                [query],
                sample_rate,
                audio.channels,
                unwanted=unwanted,
                judged=False,
            )
        if audio.channels != stream.channels:
            raise AudioError(
                f"mixture: a block has {audio.channels} channels, the first one had "
                f"{stream.channels}"
            )
        done = stream.push(audio.samples)
        if done is not None:
            yield _as_given(done, flat)
    if stream is None:
        raise AudioError("mixture: is empty")
    yield _as_given(stream.finish(), flat)


def _as_given(block: Block, flat: bool) -> StreamBlock:
    target, residual = block.stems[0], block.residual
    return StreamBlock(*((target[0], residual[0]) if flat else (target, residual)))
