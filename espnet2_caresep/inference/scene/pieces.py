"""Time cut into pieces in which the same events sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from espnet2_caresep.inference.tags.events import Event


@dataclass(frozen=True)
class Piece:
    """A stretch of time in which the same events sound.

    Attributes:
        start: Seconds.
        end: Seconds.
        events: Indices of the events; none in a pause.
    """

    start: float
    end: float
    events: tuple[int, ...]


def cut_at_borders(events: Sequence[Event], seconds: float) -> list[Piece]:
    """Cuts 0 to ``seconds`` where an event begins or ends.

    Returns:
        The pieces in order of time; together they are the whole.
    """
    borders = {border for event in events for border in (event.start, event.end)}
    borders = sorted({0.0, seconds} | {b for b in borders if 0 < b < seconds})
    return [
        Piece(
            start,
            end,
            tuple(
                i
                for i, event in enumerate(events)
                if event.start < end and event.end > start
            ),
        )
        for start, end in pairwise(borders)
    ]


def split_alone(piece: Piece, longest: float) -> list[Piece]:
    """Cuts a piece with one event into equal parts of at most ``longest`` seconds.

    Returns:
        The parts; the piece itself if several events sound, nothing in a pause.
    """
    if len(piece.events) != 1:
        return [piece] if piece.events else []
    count = int(np.ceil((piece.end - piece.start) / longest))
    borders = np.linspace(piece.start, piece.end, count + 1).tolist()
    return [Piece(start, end, piece.events) for start, end in pairwise(borders)]
