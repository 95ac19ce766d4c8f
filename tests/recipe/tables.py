"""Tables of debsounds: what every one of them keeps to, and small ones of our own."""

import csv
import shutil
import subprocess
import sys

from packages import add_samples, build
from places import DEBSOUNDS, TEMPLATE

SAMPLES = "usr/share/sonic-pi/samples"


def check_whole(clips, known, shortest):
    """Names that lists can hold, sources of their package, classes that are known.

    Args:
        clips: Of a table.
        known: Clips whose classes may be used.
        shortest: Seconds that a clip has at least.
    """
    uids = [clip.uid for clip in clips]
    assert uids == sorted(set(uids), key=str.encode)
    fine = {clip.fine: clip.label for clip in known}
    for clip in clips:
        assert not set(" \t/") & set(clip.uid) and not set(" \t") & set(clip.group)
        assert all(s.startswith(f"{clip.package}/") for s in clip.sources)
        assert fine[clip.fine] == clip.label and shortest <= clip.seconds <= 10


def row(uid, split, package, name, label="drum", **others):
    values = {
        "uid": uid,
        "kind": "file",
        "class": label,
        "label": label,
        "split": split,
        "group": f"group-{uid}",
        "seconds": "1.00",
        "start": "0.00",
        "sources": f"{package}/{SAMPLES}/{name}.flac",
        "recipe": "-",
        "package": package,
        "licence": "CC0",
        "audioset": "Sound",
    }
    return {**values, **others}


ROWS = [
    row("a", "train", "one", "tabla_ghe5"),
    row("b", "train", "one", "misc_crow", "bird"),
    row("c", "valid", "one", "tabla_ghe5"),
    row("d", "test", "one", "elec_chime", "bell"),
    row("e", "valid", "two", "misc_crow", "bird"),
]


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)


def recipe_of(tables, shelf, packages, folder):
    """A recipe of small tables in an empty folder, with its packages downloaded.

    Args:
        tables: Name of a table -> its rows.
        shelf: Where packages are built; is moved into the recipe.
        packages: Of :func:`add_samples` each.
        folder: The recipe's, is made.
    """
    shutil.copytree(DEBSOUNDS / "local", folder / "local")
    (folder / "path.sh").symlink_to(TEMPLATE / "path.sh")
    for name, rows in tables.items():
        write_rows(folder / f"local/{name}.tsv", rows)
    for package in packages:
        build(shelf, package, add_samples)
    (folder / "downloads").mkdir()
    shelf.rename(folder / "downloads/deb")
    return folder


def stage_1(recipe, tools, *options, status=0):
    """Runs stage 1 of such a recipe."""
    done = subprocess.run(
        ["local/data.sh", "--nj", "1", *options],
        cwd=recipe,
        env={**tools.env, "CARESEP_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done
