"""The events of a recording separated, each with its own span as the query.

Time is cut at the borders of all events, so that in each piece the same events sound.
Where an event sounds alone, the piece is at once mixture and query: the model takes
what the query holds, so nearly all of it becomes the event, and pieces are no longer
than a segment because a query that fits the moment does so best. Where several events
sound, they share the mixture: their masks are scaled where they sum to more than one.
There each event's query is the longest part of its span in which it sounds alone, if
there is one of half a second, else the whole span, which then also holds the others.

Neighbouring pieces are cross-faded, which also fades each event in and out. Events of
one label are one stem. Memory does not grow with the length of the recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from espnet2_caresep.inference.audio.reader import AudioReader
from espnet2_caresep.inference.audio.recording import Audio
from espnet2_caresep.inference.partition import split_exactly
from espnet2_caresep.inference.results import Query
from espnet2_caresep.inference.scene.pieces import Piece, cut_at_borders, split_alone
from espnet2_caresep.inference.stream import Block
from espnet2_caresep.inference.tags.events import Event
from espnet2_caresep.progress import progress

FADE = 0.16  # seconds of a cross-fade, half a frame of the tagging head at 32 kHz
MARGIN = FADE  # seconds around a piece in which one event sounds
ALONE = 0.5  # seconds from which a part of a span serves as the query
SHORTEST = 0.1  # seconds of a query


@dataclass(frozen=True)
class _Part:
    """What some events are for some samples, faded: to be added to their stems."""

    start: int
    events: tuple[int, ...]
    samples: np.ndarray  # (events, channels, n)


class _Sums:
    """Stems while they are added up: only what is not handed out yet is held."""

    def __init__(self, stems: int, channels: int):
        self._start = 0
        self._held = np.zeros((stems, channels, 0), np.float32)

    def add(self, stem: int, start: int, samples: np.ndarray) -> None:
        """Adds (channels, n) from a sample on that is not handed out yet."""
        first = start - self._start
        missing = first + samples.shape[-1] - self._held.shape[-1]
        if missing > 0:
            self._held = np.pad(self._held, ((0, 0), (0, 0), (0, missing)))
        self._held[stem, :, first : first + samples.shape[-1]] += samples

    def take(self, count: int) -> np.ndarray:
        """Hands out the next (stems, channels, count)."""
        missing = max(0, count - self._held.shape[-1])
        done = np.pad(self._held[..., :count], ((0, 0), (0, 0), (0, missing)))
        self._held = self._held[..., count:].copy()
        self._start += count
        return done


def scene_blocks(
    separator,
    mixture: Audio | AudioReader,
    events: Sequence[Event],
    labels: Sequence[str],
    show_progress: bool = False,
) -> Iterator[Block]:
    """Separates the events of a recording.

    Args:
        separator: A :class:`~espnet2_caresep.inference.CaRESeparator`.
        mixture: The recording.
        events: Its events.
        labels: Their labels, each once: the stems.
        show_progress: Whether to show a bar on stderr.

    Yields:
        Stems and residual, piece by piece, together as long as the recording; they add
        up to it as :func:`~espnet2_caresep.inference.partition.split_exactly` says.

    Raises:
        ValueError: If the recording cannot be read or is not finite.
    """
    sums = _Sums(len(labels), mixture.channels)
    rows = [labels.index(event.label) for event in events]
    parts = _separated(separator, mixture, events, show_progress)
    part, done = next(parts, None), 0
    # Parts come in order of time but for the width of a fade.
    ahead = int(np.ceil(FADE * mixture.sample_rate)) + 1
    for block in mixture.blocks():
        end = done + block.shape[1]
        while part is not None and part.start < end + ahead:
            for event, samples in zip(part.events, part.samples):
                sums.add(rows[event], part.start, samples)
            part = next(parts, None)
        yield Block(*split_exactly(block, sums.take(block.shape[1])))
        done = end


def _separated(
    separator, mixture: Audio | AudioReader, events: Sequence[Event], show: bool
) -> Iterator[_Part]:
    rate, seconds = mixture.sample_rate, mixture.frames / mixture.sample_rate
    network = separator.network
    segment = network.segment_samples / network.sample_rate
    pieces = cut_at_borders(events, seconds)
    shared = sorted({i for p in pieces if len(p.events) > 1 for i in p.events})
    queries = {i: _alone(separator, mixture, pieces, i, events[i]) for i in shared}
    sounding = [part for piece in pieces for part in split_alone(piece, segment)]
    for piece in progress(sounding, "separate") if show else sounding:
        alone = len(piece.events) == 1
        margin = MARGIN if alone else segment / 2
        first = max(0, int((piece.start - margin) * rate))
        last = min(mixture.frames, int(np.ceil((piece.end + margin) * rate)))
        if alone:
            blocks = [np.concatenate(list(mixture.blocks(first, last)), 1)]
            example = Audio(blocks[0], rate, mixture.name)
            if example.mono().is_silent():
                continue  # a gap within the event
            wanted = [separator.query(example)]
        else:
            blocks = mixture.blocks(first, last)
            wanted = [queries[i] for i in piece.events]
        stream = separator.open_stream(
            wanted, rate, mixture.channels, partition=True, judged=False
        )
        start = first
        for block in _pushed(stream, blocks):
            window = _window(piece, start, block.stems.shape[-1], rate, seconds)
            if window.any():
                # Outside the window lies what other parts hold, perhaps handed out.
                inside = slice(*(np.flatnonzero(window)[[0, -1]] + [0, 1]))
                samples = block.stems[..., inside] * window[inside]
                yield _Part(start + inside.start, piece.events, samples)
            start += len(window)


def _pushed(stream, blocks: Iterable[np.ndarray]) -> Iterator[Block]:
    for block in blocks:
        done = stream.push(block)
        if done is not None:
            yield done
    yield stream.finish()


def _alone(
    separator,
    mixture: Audio | AudioReader,
    pieces: list[Piece],
    index: int,
    event: Event,
) -> Query:
    """The query that says best how an event sounds."""
    alone = [piece for piece in pieces if piece.events == (index,)]
    span = max(alone, key=lambda piece: piece.end - piece.start, default=event)
    if span.end - span.start < ALONE:
        span = event
    start = min(span.start, max(0.0, span.end - SHORTEST))
    return separator.query(mixture, start=start, end=span.end)


def _window(
    piece: Piece, start: int, count: int, rate: int, seconds: float
) -> np.ndarray:
    """Weights of samples from ``start`` on, (count,) float32."""
    time = np.arange(start, start + count) / rate
    # Windows of neighbours add up to one: what one loses at a border the other gains.
    begins = _rise(time - piece.start) if piece.start > 0 else np.ones_like(time)
    ends = _rise(time - piece.end) if piece.end < seconds else 0
    return (begins - ends).astype(np.float32)


def _rise(time: np.ndarray) -> np.ndarray:
    """0 to 1 as sin^2 within half a fade before and after 0 s."""
    phase = np.clip(time / FADE + 0.5, 0, 1)
    return np.sin(phase * np.pi / 2) ** 2
