"""A recipe of its own for each test, on a handful of real clips."""

import os
import shutil
import subprocess
import sys

import pytest
from packages import python
from places import AUDIO, LABELS, TEMPLATE

DATA_SH = """#!/usr/bin/env bash
# Stage 1 of the test recipe: each clip is in all splits.
set -euo pipefail
echo "data.sh ran" >>data_sh_calls
while [ $# -gt 0 ]; do
    case $1 in --output_dir) output=$2 ;; esac
    shift 2
done
for split in train valid test; do
    mkdir -p "${output}/${split}"
    cp local/wav.scp local/labels "${output}/${split}/"
done
"""
PAIRS = """pair source1 start1 source2 start2 other1 other1_start other2 other2_start seconds
p1 loop_breakbeat 0.10 elec_chime 0.00 tabla_ghe5 0.00 elec_chime 0.50 1.28
p2 drum_cymbal_hard 0.00 misc_crow 0.00 drum_cymbal_hard 0.20 misc_crow 0.00 1.28
"""


@pytest.fixture
def recipe(tmp_path):
    """The folder of a small recipe on the driver, inside a folder tree like egs2."""
    folder = tmp_path / "egs2/tiny/caresep1"
    (folder / "local").mkdir(parents=True)
    (folder / "conf").mkdir()
    for name in ("caresep.sh", "path.sh", "cmd.sh", "scripts"):
        (folder / name).symlink_to(TEMPLATE / name)
    local = folder / "local"
    local.joinpath("data.sh").write_text(DATA_SH)
    local.joinpath("data.sh").chmod(0o755)
    scp = [f"{uid} {AUDIO / uid}.flac\n" for uid in LABELS]
    local.joinpath("wav.scp").write_text("".join(scp))
    labels = [f"{uid} {label}\n" for uid, label in LABELS.items()]
    local.joinpath("labels").write_text("".join(labels))
    for split in ("valid", "test"):
        local.joinpath(f"{split}_mixtures.tsv").write_text(PAIRS.replace(" ", "\t"))
    folder.joinpath("conf/train.yaml").write_text("mode: sep\n")
    return folder


@pytest.fixture
def run(recipe):
    """Runs the driver of the test recipe with this Python."""

    def run(*arguments, status=0):
        done = subprocess.run(
            ["./caresep.sh", "--nj", "1", *arguments],
            cwd=recipe,
            env={**os.environ, "CARESEP_PYTHON": sys.executable},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def tools(tmp_path):
    """A folder of stand-in programs, and the environment that finds them first."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def add(name, text):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    add.env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    add.folder = folder
    return add


@pytest.fixture
def copy_of_setup(tmp_path):
    """A clone with nothing but what setup_env.sh reads."""
    clone = tmp_path / "clone"
    target = clone / "egs2/TEMPLATE/caresep1"
    target.mkdir(parents=True)
    shutil.copy(TEMPLATE / "setup_env.sh", target)
    (clone / "conf").mkdir()
    (clone / "conf/constraints.txt").write_text("numpy==2.0\n")
    (clone / "setup.py").write_text("# as it is today\n")
    return clone


@pytest.fixture
def shelf(tmp_path):
    """Where built packages lie."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder


@pytest.fixture
def unpack(shelf, tmp_path):
    def unpack(*packages, status=0):
        options = ["--deb_dir", shelf, "--output_dir", tmp_path / "unpacked"]
        return python("unpack_packages.py", *options, *packages, status=status)

    return unpack
