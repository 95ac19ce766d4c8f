"""What is to become of a mixture's file, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CLIP_MODES = ("rescale", "clamp", "none", "error")


@dataclass(frozen=True)
class Options:
    """How files are written.

    Attributes:
        subtype: As ``check_output`` returns it.
        clip: What to do where an output exceeds full scale. "none": nothing; float
            files keep it, others saturate. "clamp": limit it to full scale. "rescale":
            turn all outputs of the mixture down by the same gain. "error": refuse.
        partition: Whether stems share what they all claim.
        require_presence: Whether stems of sounds that are judged absent are left out;
            the residual keeps what they would have taken.
        keep_absent: Whether stems stay as they are where their sounds are judged
            absent, instead of being faded as far as they are doubtful; what a faded
            stem lacks is in the residual.
        overwrite: Whether existing files may be replaced.
    """

    subtype: str | None = "float"
    clip: str = "none"
    partition: bool = False
    require_presence: bool = False
    keep_absent: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Plan:
    """Which file becomes which.

    Attributes:
        mixture: The file to separate.
        stems: Name of a query -> file to write.
        residual: File of the rest; None if not wanted.
        sidecar: JSON file that says what was done; None if not wanted.
    """

    mixture: Path
    stems: Mapping[str, Path]
    residual: Path | None = None
    sidecar: Path | None = None

    def outputs(self) -> list[Path]:
        """All audio files, stems first."""
        return [*self.stems.values(), *([self.residual] if self.residual else [])]


@dataclass(frozen=True)
class Output:
    """An audio file of the result.

    Attributes:
        path: Where it is.
        query: Name of the query; None for the residual.
        presence: Score 0..1 of the query; None for the residual.
        present: Whether the sound is judged present; None for the residual.
        certain: Whether it is so beyond reasonable doubt; None for the residual.
        written: Whether there is such a file.
        fade_db: By how much all of the stem was turned down, at least, since the sound is
            judged absent, -40..0.
        level_db: RMS re full scale before clipping was dealt with; None for silence.
        peak: Largest magnitude, likewise.
    """

    path: str
    query: str | None
    presence: float | None
    present: bool | None
    certain: bool | None
    written: bool
    fade_db: float
    level_db: float | None
    peak: float


@dataclass(frozen=True)
class Report:
    """What became of one mixture; the content of its JSON sidecar."""

    mixture: str
    sample_rate: int
    channels: int
    samples: int
    seconds: float
    model: str
    fingerprint: str
    subtype: str | None
    clip: str
    gain: float
    partition: bool
    unwanted: list[str]
    overlap: float
    wall_seconds: float
    outputs: list[Output]

    def absent(self) -> list[Output]:
        """Outputs whose sound is judged absent."""
        return [output for output in self.outputs if output.present is False]
