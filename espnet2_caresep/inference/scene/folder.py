"""A scene on disk: stems, residual, timeline and page appear together or not at all."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from espnet2_caresep.inference.audio.reader import AudioReader
from espnet2_caresep.inference.audio.recording import Audio
from espnet2_caresep.inference.audio.writer import open_writer
from espnet2_caresep.inference.scene.page import render_scene
from espnet2_caresep.inference.scene.report import encode, gain_of
from espnet2_caresep.inference.scene.scene import (
    EnergyMeter,
    Found,
    Sound,
    describe_sounds,
)
from espnet2_caresep.inference.scene.stream import scene_blocks
from espnet2_caresep.inference.tags.formats import event_row

IN_PAGE = 600  # seconds of a recording whose sounds the page itself can hold
TIMELINE, PAGE, RESIDUAL, STEMS, PLAYERS = (
    "timeline.json",
    "report.html",
    "residual.wav",
    "stems",
    "listen",
)


def check_folder(folder: Path, overwrite: bool) -> None:
    """Checks that a scene may be written to a folder.

    Raises:
        ValueError: If it is a file, or holds anything, unless that is a scene and
            ``overwrite`` says to replace it.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder}: is a file, a folder is needed")
    if not any(folder.iterdir()):
        return
    if not (folder / TIMELINE).is_file():
        raise ValueError(f"{folder}: holds other files; choose another --output-dir")
    if not overwrite:
        raise ValueError(f"{folder}: holds a scene; give --overwrite to replace it")


def write_scene(
    folder: Path,
    separator,
    found: Found,
    threshold: float,
    subtype: str,
    show_progress: bool = False,
) -> dict:
    """Separates a scene and writes it; of an earlier one in the folder nothing stays.

    Stems are written while they are separated: memory does not grow with the length.

    Args:
        folder: Made if need be.
        separator: A :class:`~espnet2_caresep.inference.CaRESeparator`.
        found: The recording and its events.
        threshold: For the record.
        subtype: Sample format of the stems: float, pcm16 or pcm24.
        show_progress: Whether to show a bar on stderr.

    Returns:
        The content of timeline.json.

    Raises:
        ValueError: If the recording cannot be read, the disk refuses or a format cannot
            hold the audio.
    """
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    names = stem_names(found.labels)
    files = [part / STEMS / f"{name}.wav" for name in names] + [part / RESIDUAL]
    try:
        (part / STEMS).mkdir(parents=True)
        shares = _write_audio(files, separator, found, subtype, show_progress)
        audios = [AudioReader(file) for file in files]
        sounds = describe_sounds(separator, found, shares, audios[:-1])
        model = {
            "name": Path(separator.name).name,
            "fingerprint": separator.fingerprint,
        }
        timeline = describe(found, sounds, names, shares[-1], model, threshold)
        text = json.dumps(timeline, indent=1, ensure_ascii=False) + "\n"
        (part / TIMELINE).write_text(text, encoding="utf-8")
        audios.insert(0, found.mixture)
        players = _write_players(part, audios, ["mixture", *names, "residual"])
        page = render_scene(timeline, audios, players)
        (part / PAGE).write_text(page, encoding="utf-8")
        _replace(folder, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return timeline


def describe(
    found: Found,
    sounds: Sequence[Sound],
    names: Sequence[str],
    residual_share_db: float,
    model: dict[str, str],
    threshold: float,
) -> dict:
    """The content of timeline.json: what sounds when, and where it was written."""
    mixture = found.mixture
    return {
        "file": mixture.name,
        "seconds": round(mixture.frames / mixture.sample_rate, 3),
        "sample_rate": mixture.sample_rate,
        "channels": mixture.channels,
        "model": model,
        "threshold": threshold,
        "sounds": [
            {
                "label": sound.label,
                "score": round(sound.score, 4),
                "stem": f"{STEMS}/{name}.wav",
                "stem_score": round(sound.stem_score, 4),
                "share_db": _json_db(sound.share_db),
                "seconds": round(sound.seconds, 3),
            }
            for sound, name in zip(sounds, names)
        ],
        "residual": {"file": RESIDUAL, "share_db": _json_db(residual_share_db)},
        "events": [event_row(event) for event in found.events],
    }


def _write_audio(
    files: Sequence[Path], separator, found: Found, subtype: str, show: bool
) -> list[float]:
    """Writes stems and residual; returns their shares of the energy in dB."""
    mixture, meter = found.mixture, EnergyMeter()
    form = (mixture.sample_rate, mixture.channels, subtype)
    with ExitStack() as stack:
        writers = [
            stack.enter_context(open_writer(file, *form, frames=mixture.frames))
            for file in files
        ]
        blocks = scene_blocks(separator, mixture, found.events, found.labels, show)
        for block in blocks:
            meter.update(block)
            rows = (*block.stems, block.residual)
            for writer, samples in zip(writers, rows, strict=True):
                writer.write(samples)
    return meter.shares_db()


def _write_players(
    part: Path, audios: Sequence[Audio | AudioReader], names: Sequence[str]
) -> list[str | None]:
    """Writes MP3s beside the page where it would be too large with them in it."""
    if audios[0].frames <= IN_PAGE * audios[0].sample_rate:
        return [None] * len(audios)
    (part / PLAYERS).mkdir()
    gain = gain_of(audios)
    # Numbers keep the mixture apart from a stem of that name.
    players = [f"{PLAYERS}/{i}_{name}.mp3" for i, name in enumerate(names)]
    for audio, player in zip(audios, players):
        encode(audio, gain, part / player)
    return players


def stem_names(labels: list[str]) -> list[str]:
    """File names without suffix, one per label, safe on every system and distinct."""
    names: list[str] = []
    for label in labels:
        name = re.sub(r"[^\w-]+", "_", label).strip("_") or "sound"
        taken = {other.lower() for other in names}
        number, unique = 2, name
        while unique.lower() in taken:
            number, unique = number + 1, f"{name}_{number}"
        names.append(unique)
    return names


def _replace(folder: Path, part: Path) -> None:
    """Puts the new files in place; other files of the folder are left alone."""
    if not folder.exists():
        part.rename(folder)
        return
    for old in (*_stems_of(folder), *(folder / PLAYERS).glob("[0-9]*_*.mp3")):
        old.unlink(missing_ok=True)
    for new in sorted(part.glob("*/*")):
        (folder / new.parent.name).mkdir(exist_ok=True)
        new.replace(folder / new.relative_to(part))
    (folder / STEMS).mkdir(exist_ok=True)
    for name in (RESIDUAL, PAGE):
        (part / name).replace(folder / name)
    (part / TIMELINE).replace(folder / TIMELINE)


def _stems_of(folder: Path) -> list[Path]:
    """The stems that the timeline of a folder names."""
    try:
        timeline = json.loads((folder / TIMELINE).read_text("utf-8"))
        names = [Path(sound["stem"]).name for sound in timeline["sounds"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [folder / STEMS / name for name in names if name]


def _json_db(value: float) -> float | None:
    """JSON has no infinity: None for silence."""
    return round(value, 2) if math.isfinite(value) else None
