"""What the page of ``caresep demo`` does: files in, files and a verdict out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_caresep.inference.audio.reader import AudioError, AudioReader
from espnet2_caresep.inference.audio.recording import Audio, read_audio, write_audio
from espnet2_caresep.inference.presence.rule import Rule
from espnet2_caresep.pictures import draw_separation

LONGEST = 600  # seconds: a separation is in memory, and a browser plays it whole


@dataclass(frozen=True)
class Outcome:
    """A separation as files.

    Attributes:
        target: What sounds like the query, as the mixture came.
        residual: The rest, likewise.
        picture: Query, mixture, target and residual side by side, PNG.
        verdict: Whether the sound was there at all, in words.
    """

    target: Path
    residual: Path
    picture: Path
    verdict: str


def seconds_of(mixture: str | Path) -> float:
    """Length of a mixture that the page takes.

    Raises:
        AudioError: If it cannot be read or is longer than ten minutes.
    """
    reader = AudioReader(mixture)
    seconds = reader.frames / reader.sample_rate
    if seconds > LONGEST:
        raise AudioError(
            f"{mixture}: lasts {seconds / 60:.1f} minutes, the page takes "
            f"{LONGEST // 60}; caresep separate takes any length"
        )
    return seconds


def draw_mark(
    mixture: str | Path, start: float, end: float, folder: str | Path
) -> Path:
    """Draws a mixture with a part of it marked.

    Args:
        mixture: Its file.
        start: Second at which the part begins.
        end: Second at which it ends.
        folder: Where to write the picture.

    Raises:
        AudioError: If the mixture cannot be read.
    """
    audio = read_audio(mixture).mono()
    path = Path(folder) / "mixture.png"
    title = "mixture, with what is marked"
    marks = {title: (start, end)} if end > start else {}
    panels = {title: audio.samples[0]}
    draw_separation(path, panels, "", audio.sample_rate, marks, width=11)
    return path


def separate_into(
    separator,
    folder: str | Path,
    mixture: str | Path,
    clip: str | Path | None = None,
    start: float = 0.0,
    end: float | None = None,
) -> Outcome:
    """Separates what a clip, or a part of the mixture itself, sounds like.

    Args:
        separator: A :class:`~espnet2_caresep.inference.CaRESeparator`.
        folder: Where to write, one folder for each separation.
        mixture: Its file.
        clip: File of an example; without one, a part of the mixture is the example.
        start: Second at which that part begins.
        end: Second at which it ends.

    Raises:
        ValueError: If a file cannot be used or nothing is marked.
    """
    if clip is None and (end is None or end <= start):
        raise AudioError("nothing is marked: the end must lie after the start")
    seconds_of(mixture)
    audio = read_audio(mixture)
    example = audio.mono() if clip is None else read_audio(clip).mono()
    if clip is None:
        example = _part(example, start, end)
    raw = separator.separate(audio, separator.query(example))
    found = raw.faded()
    paths = [
        Path(folder) / f"{Path(mixture).stem}_{name}.wav"
        for name in ("target", "residual")
    ]
    for path, samples in zip(paths, (found.target, found.residual)):
        write_audio(path, samples, found.sample_rate)
    stems = [np.atleast_2d(x).mean(0) for x in (found.target, found.residual)]
    panels = {
        "query": example.at(audio.sample_rate).samples[0],
        "mixture": audio.samples.mean(0),
        "target": stems[0],
        "residual": stems[1],
    }
    marks = {"mixture": (start, end)} if clip is None else {}
    picture = Path(folder) / "separation.png"
    draw_separation(picture, panels, "", audio.sample_rate, marks)
    verdict = _verdict(separator.presence_rule, raw.presence, raw.fade.level)
    return Outcome(*paths, picture, verdict)


def _verdict(rule: Rule, presence: float, level: float) -> str:
    judged = "absent: what the target holds may be leakage"
    if rule.is_present(presence):
        judged = "present"
        if not rule.is_surely_present(presence):
            judged += ", but in doubt: the target may be something else"
    if level < 1:
        judged += f", and is faded by {-20 * math.log10(level):.0f} dB"
    return f"Presence {presence:.2f}: the sound is judged {judged}."


def _part(audio: Audio, start: float, end: float) -> Audio:
    first, last = (round(second * audio.sample_rate) for second in (start, end))
    part = audio.samples[:, first:last]
    if not part.size:
        raise AudioError(f"{start:g} to {end:g} s lie outside the mixture")
    return Audio(part, audio.sample_rate, "the marked part")
