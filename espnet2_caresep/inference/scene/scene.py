"""A recording taken apart: what sounds in it, when, and a stem for each of its sounds.

Events are found by the tagging head (inference/tags/events.py), separated with their own
spans as queries (inference/scene/stream.py), and those of one label are one stem. Stems
and residual are the mixture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from espnet2_caresep.inference.audio.reader import AudioReader
from espnet2_caresep.inference.audio.recording import Audio, array_shape, open_audio
from espnet2_caresep.inference.presence.share_rule import QUIET
from espnet2_caresep.inference.scene.stream import scene_blocks
from espnet2_caresep.inference.stream import Block
from espnet2_caresep.inference.tags.events import Event, EventRule, find_sounds
from espnet2_caresep.inference.tags.frame_scores import FrameScores, score_frames


@dataclass(frozen=True)
class Sound:
    """All events of one label, and how much of the recording they took.

    Attributes:
        label: Name of the class.
        score: Probability that it sounds in the recording at all.
        stem_score: The same of the stem: what the model hears in what it separated.
        share_db: Energy of the stem over the recording's, in dB; -inf if silent.
        seconds: Total length of its events.
    """

    label: str
    score: float
    stem_score: float
    share_db: float
    seconds: float


@dataclass(frozen=True)
class Scene:
    """A recording's parts.

    Attributes:
        stems: Label -> float32 of the recording's shape, by the beginning of its first
            event. Stems and residual add up to the recording as target and residual of
            a :class:`Separation` do.
        residual: The recording less all stems, same shape.
        sample_rate: Hz.
        sounds: What is known of each stem, in their order.
        events: In order of time.
    """

    stems: dict[str, np.ndarray]
    residual: np.ndarray
    sample_rate: int
    sounds: list[Sound]
    events: list[Event]


@dataclass(frozen=True)
class Found:
    """What sounds in a recording, before anything is separated.

    Attributes:
        mixture: The recording.
        scores: What its tags say over time.
        events: In order of time.
        labels: Of the events, by the beginning of the first one.
    """

    mixture: Audio | AudioReader
    scores: FrameScores
    events: list[Event]
    labels: list[str]


class EnergyMeter:
    """Gathers the energy of the mixture, of each stem and of the residual."""

    def __init__(self):
        self._energy: np.ndarray | float = 0.0

    def update(self, block: Block) -> None:
        """Takes the next block."""
        parts = np.concatenate([block.stems, block.residual[None]])
        mixture = parts.sum(0, dtype=np.float64)[None]
        self._energy += np.array(
            [np.square(x, dtype=np.float64).sum() for x in (*parts, *mixture)]
        )

    def shares_db(self) -> list[float]:
        """Each stem's, then the residual's, over the mixture's, in dB."""
        *parts, whole = np.atleast_1d(self._energy)
        return [
            float(10 * np.log10(part / whole)) if part and whole else -np.inf
            for part in parts
        ]


def find_scene(
    separator,
    audio,
    rule: EventRule,
    sample_rate: int | None = None,
    show_progress: bool = False,
) -> Found:
    """Finds the events of a recording of any length.

    Args:
        separator: A :class:`~espnet2_caresep.inference.CaRESeparator`.
        audio: Path, array or tensor.
        rule: What is an event, and of how many labels.
        sample_rate: Rate of an array in Hz.
        show_progress: Whether to show a bar on stderr where it takes a while.

    Returns:
        The events, but for those 40 dB below the loudest one, such as in the noise.

    Raises:
        ValueError: If the audio cannot be used.
    """
    mixture = open_audio(audio, sample_rate, "mixture")
    scores = score_frames(separator, mixture, show_progress=show_progress)
    _, events = find_sounds(scores, rule)
    powers = [_power(mixture, event) for event in events]
    loudest = max(powers, default=0.0)
    events = [event for event, p in zip(events, powers) if p >= QUIET * loudest]
    return Found(mixture, scores, events, list(dict.fromkeys(e.label for e in events)))


def separate_scene(
    separator, audio, rule: EventRule, sample_rate: int | None = None
) -> Scene:
    """See ``CaRESeparator.scene``."""
    shape = getattr(audio, "shape", None)
    found = find_scene(separator, audio, rule, sample_rate)
    meter, blocks = EnergyMeter(), []
    for block in scene_blocks(separator, found.mixture, found.events, found.labels):
        meter.update(block)
        blocks.append(block)
    stems = np.concatenate([block.stems for block in blocks], -1)
    residual = np.concatenate([block.residual for block in blocks], -1)
    rate = found.mixture.sample_rate
    sounds = describe_sounds(
        separator,
        found,
        meter.shares_db(),
        [Audio(stem, rate, label) for stem, label in zip(stems, found.labels)],
    )
    if shape is None:
        shape = array_shape(*residual.shape)
    return Scene(
        {label: stem.reshape(shape) for label, stem in zip(found.labels, stems)},
        residual.reshape(shape),
        rate,
        sounds,
        found.events,
    )


def describe_sounds(
    separator,
    found: Found,
    shares_db: Sequence[float],
    stems: Sequence[Audio | AudioReader],
) -> list[Sound]:
    """What is known of each stem, once all of it is there."""
    sounds = []
    for label, share, stem in zip(found.labels, shares_db, stems):
        index = found.scores.labels.index(label)
        heard = score_frames(separator, stem)
        spans = [e.end - e.start for e in found.events if e.label == label]
        sounds.append(
            Sound(
                label,
                float(found.scores.clip[index]),
                float(heard.clip[index]),
                share,
                sum(spans),
            )
        )
    return sounds


def _power(mixture: Audio | AudioReader, event: Event) -> float:
    """Mean square of a mixture while an event lasts."""
    rate = mixture.sample_rate
    first, last = int(event.start * rate), int(np.ceil(event.end * rate))
    energy, count = 0.0, 0
    for block in mixture.blocks(first, last):
        energy += float(np.square(block, dtype=np.float64).sum())
        count += block.size
    return energy / count
