"""Copies of recipes to run, and small corpora in the public layouts, of the real clips."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import soundfile
import soxr
from places import AUDIO, ROOT, TEMPLATE

CROW, CHIME = AUDIO / "misc_crow.flac", AUDIO / "elec_chime.flac"
CYMBAL, DRUM = AUDIO / "drum_cymbal_hard.flac", AUDIO / "tabla_ghe5.flac"


def copy_recipe(name: str, folder: Path) -> Path:
    """A recipe's folder whose outputs do not end up in the repository."""
    source = ROOT / "egs2" / name / "caresep1"
    target = folder / "egs2" / name / "caresep1"
    target.mkdir(parents=True)
    for item in ("caresep.sh", "path.sh", "cmd.sh", "scripts"):
        (target / item).symlink_to(TEMPLATE / item)
    shutil.copy(source / "run.sh", target)
    (target / "conf").mkdir()
    shutil.copytree(
        source / "local", target / "local", ignore=shutil.ignore_patterns("__pycache__")
    )
    return target


def run_recipe(recipe: Path, *arguments, status=0, **environment):
    """Runs run.sh with this Python."""
    variables = {key: str(value) for key, value in environment.items()}
    inherited = {k: v for k, v in os.environ.items() if k not in ("AUDIOSET", "ESC50")}
    done = subprocess.run(
        ["./run.sh", "--nj", "1", *arguments],
        cwd=recipe,
        env={**inherited, "CARESEP_PYTHON": sys.executable, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def convert(source: Path, target: Path) -> None:
    """Writes a clip in the format that the suffix of ``target`` says."""
    target.parent.mkdir(parents=True, exist_ok=True)
    audio, rate = soundfile.read(source, dtype="float32")
    if target.suffix == ".opus":
        audio, rate = soxr.resample(audio, rate, 48000), 48000
        soundfile.write(target, audio, rate, format="OGG", subtype="OPUS")
    else:
        soundfile.write(target, audio, rate)


# Classes of AudioSet; the ontology's names and children, as far as they matter here
CLASSES = [
    ("/m/09x0r", "Speech"),
    ("/m/015p6", "Bird"),
    ("/m/04s8yn", "Crow"),
    ("/m/0l14md", "Percussion"),
    ("/m/01qbl", "Cymbal"),
    ("/m/01p970", "Tabla"),
    ("/m/0395lw", "Bell"),
    ("/m/028v0c", "Silence"),
    ("/m/05zppz", "Male speech, man speaking"),
    ("/m/08j51y", "Dental drill, dentist's drill"),
]
CHILDREN = {
    "/m/09x0r": ["/m/05zppz"],
    "/t/animal": ["/m/015p6"],
    "/m/015p6": ["/t/corvid"],
    "/t/corvid": ["/m/04s8yn"],
    "/m/0l14md": ["/m/01qbl", "/m/01p970"],
}
MID = {name: mid for mid, name in CLASSES}
KINDS = [  # labels of a clip, and what is heard in it
    (["Bird", "Crow"], CROW),
    (["Bell"], CHIME),
    (["Percussion", "Cymbal"], CYMBAL),
    (["Tabla"], DRUM),
]


def write_segments(path: Path, rows) -> None:
    """A list of segments as AudioSet publishes them."""
    lines = [
        "# Segments csv created Sun Mar  5 10:54:31 2017",
        f"# num_ytids={len(rows)}, num_segs={len(rows)}, num_unique_labels=7",
        "# YTID, start_seconds, end_seconds, positive_labels",
    ]
    for uid, names in rows:
        mids = ",".join(MID[name] for name in names)
        lines.append(f'{uid}, 30.000, 40.000, "{mids}"')
    path.write_text("\n".join(lines) + "\n")


def make_audioset(folder: Path) -> dict[str, list[tuple[str, list[str], Path]]]:
    """Writes the lists; returns set to clips: id, labels and sound of each."""
    folder.mkdir(parents=True)
    sets = {}
    for name, mark, number in (
        ("balanced_train", "-B", 24),
        ("unbalanced_train", "YU", 16),
        ("eval", "_e", 16),
    ):
        sets[name] = [
            (f"{mark}-aBc_3x{n:02d}", *KINDS[n % len(KINDS)]) for n in range(number)
        ]
        rows = [(uid, names) for uid, names, _ in sets[name]]
        write_segments(folder / f"{name}_segments.csv", rows)
    table = ["index,mid,display_name"]
    table += [f'{n},{mid},"{name}"' for n, (mid, name) in enumerate(CLASSES)]
    (folder / "class_labels_indices.csv").write_text("\n".join(table) + "\n")
    nodes = [*MID.values(), "/t/animal", "/t/corvid"]
    ontology = [
        {"id": mid, "name": mid, "child_ids": CHILDREN.get(mid, [])} for mid in nodes
    ]
    (folder / "ontology.json").write_text(json.dumps(ontology))
    return sets


def make_esc50(folder: Path, leave_out=()) -> list[str]:
    """Writes ESC-50's layout with four categories of four clips each."""
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    names = []
    for target, (category, source) in enumerate(
        [("crow", CROW), ("church_bells", CHIME), ("clapping", CYMBAL), ("door", DRUM)]
    ):
        for n in range(4):
            recording = 100032 + 10 * target + n // 2  # two clips of each recording
            name = f"{n + 1}-{recording}-{'AB'[n % 2]}-{target}.wav"
            rows.append(
                f"{name},{n + 1},{target},{category},False,{recording},{'AB'[n % 2]}"
            )
            names.append(name)
            if name not in leave_out:
                convert(source, folder / "audio" / name)
    (folder / "meta").mkdir(parents=True)
    (folder / "meta/esc50.csv").write_text("\n".join(rows) + "\n")
    return names
