"""A scene on disk: stems, residual, timeline and page appear together or not at all."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from pathlib import Path

from espnet2_caresep.inference.audio import Audio, read_audio, write_audio
from espnet2_caresep.inference.audio_reader import AudioError, AudioReader
from espnet2_caresep.inference.scene import Scene
from espnet2_caresep.inference.scene_page import render_scene
from espnet2_caresep.inference.tag_formats import event_row

LONGEST = 600  # seconds: all stems are in memory, and the page holds all sounds
TIMELINE, PAGE, RESIDUAL, STEMS = (
    "timeline.json",
    "report.html",
    "residual.wav",
    "stems",
)


def read_recording(path: str | Path) -> Audio:
    """Reads a recording that fits a page.

    Raises:
        AudioError: If it cannot be read or is longer than ten minutes.
    """
    reader = AudioReader(path)
    seconds = reader.frames / reader.sample_rate
    if seconds > LONGEST:
        raise AudioError(
            f"{path}: lasts {seconds / 60:.1f} minutes, a scene at most "
            f"{LONGEST // 60}; cut it, or use caresep tag and caresep separate"
        )
    return read_audio(path)


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
    folder: Path, scene: Scene, model: dict[str, str], threshold: float, subtype: str
) -> None:
    """Writes a scene; of an earlier one in the folder nothing stays.

    Args:
        folder: Made if need be.
        scene: What to write.
        model: ``name`` and ``fingerprint`` of the model.
        threshold: For the record.
        subtype: Sample format of the stems: float, pcm16 or pcm24.

    Raises:
        ValueError: If the disk refuses or a format cannot hold the audio.
    """
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        (part / STEMS).mkdir(parents=True)
        names = stem_names([sound.label for sound in scene.sounds])
        rate = scene.mixture.sample_rate
        for sound, name in zip(scene.sounds, names):
            write_audio(part / STEMS / f"{name}.wav", sound.stem, rate, subtype)
        write_audio(part / RESIDUAL, scene.residual, rate, subtype)
        timeline = describe(scene, names, model, threshold)
        text = json.dumps(timeline, indent=1, ensure_ascii=False) + "\n"
        (part / TIMELINE).write_text(text, encoding="utf-8")
        (part / PAGE).write_text(render_scene(scene, timeline), encoding="utf-8")
        _replace(folder, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def describe(
    scene: Scene, names: list[str], model: dict[str, str], threshold: float
) -> dict:
    """The content of timeline.json: what sounds when, and where it was written."""
    return {
        "file": scene.mixture.name,
        "seconds": round(_seconds(scene), 3),
        "sample_rate": scene.mixture.sample_rate,
        "channels": scene.mixture.channels,
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
            for sound, name in zip(scene.sounds, names)
        ],
        "residual": {"file": RESIDUAL, "share_db": _json_db(scene.residual_share_db)},
        "events": [event_row(event) for event in scene.events],
    }


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
    for stem in _stems_of(folder):
        stem.unlink(missing_ok=True)
    (folder / STEMS).mkdir(exist_ok=True)
    for file in (*(part / STEMS).iterdir(), part / RESIDUAL, part / PAGE):
        file.replace(folder / file.relative_to(part))
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


def _seconds(scene: Scene) -> float:
    return scene.mixture.frames / scene.mixture.sample_rate
