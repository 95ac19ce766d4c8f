"""Options of the commands that look for events."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from espnet2_caresep.cli.model_options import at_least_one

if TYPE_CHECKING:
    from espnet2_caresep.inference.tags.events import EventRule


def add_event_options(parser: argparse.ArgumentParser, top: int | None) -> None:
    """Adds ``--threshold``, ``--top``, ``--min-duration`` and ``--max-gap``."""
    group = parser.add_argument_group("events")
    group.add_argument(
        "--threshold",
        type=_number(0, 1, "above 0 and at most 1", open_low=True),
        default=0.5,
        help="probability from which a sound is there (default: 0.5)",
    )
    group.add_argument(
        "--top",
        type=at_least_one,
        default=top,
        metavar="N",
        help=f"at most N labels, the most probable ones (default: {top or 'all'})",
    )
    seconds = _number(0, math.inf, "at least 0")
    group.add_argument(
        "--min-duration",
        type=seconds,
        default=0.25,
        metavar="SECONDS",
        help="drop shorter events (default: 0.25)",
    )
    group.add_argument(
        "--max-gap",
        type=seconds,
        default=0.35,
        metavar="SECONDS",
        help="join events of one label that are this far apart (default: 0.35)",
    )


def event_rule(args: argparse.Namespace) -> EventRule:
    """What the options say is an event."""
    from espnet2_caresep.inference.tags.events import EventRule

    return EventRule(args.threshold, args.top, args.min_duration, args.max_gap)


def _number(low: float, high: float, text: str, open_low: bool = False):
    def parse(given: str) -> float:
        try:
            value = float(given)
        except ValueError:
            value = math.nan
        inside = low < value <= high if open_low else low <= value <= high
        if not inside:
            raise argparse.ArgumentTypeError(f"must be {text}, not {given}")
        return value

    return parse
