"""The end of stage 1: clips made of hits, and data directories by the table."""

import csv

import numpy as np
import pytest
import soundfile
from packages import add_samples, build, needs_dpkg, python

from espnet2_caresep.data.files import read_table

COLUMNS = [
    "uid",
    "kind",
    "class",
    "label",
    "split",
    "group",
    "seconds",
    "start",
    "sources",
    "recipe",
    "package",
    "licence",
    "audioset",
]
SAMPLES = "sonic-pi-samples/usr/share/sonic-pi/samples"


def row(uid, split, sources, kind="file", recipe="-", start="0.00", seconds="2.00"):
    values = [uid, kind, "fine", "coarse", split, uid, seconds, start, sources, recipe]
    return dict(zip(COLUMNS, [*values, "sonic-pi-samples", "CC0", "Sound"]))


@pytest.fixture
def prepare(shelf, unpack, tmp_path):
    """Runs the last two steps of stage 1 on a table of our own."""
    build(shelf, "sonic-pi-samples", add_samples)
    unpack("sonic-pi-samples")

    def prepare(rows, *options, status=0):
        with open(tmp_path / "table.tsv", "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, delimiter="\t")
            writer.writeheader()
            writer.writerows(rows)
        common = ["--unpacked_dir", tmp_path / "unpacked"]
        common += ["--table", tmp_path / "table.tsv"]
        derived = tmp_path / "derived"
        python("derive_clips.py", *common, "--output_dir", derived, "--nj", "1")
        common += ["--derived_dir", derived, "--output_dir", tmp_path / "data"]
        return python("write_data_dirs.py", *common, *options, status=status)

    return prepare


ROWS = [
    row("a", "train", f"{SAMPLES}/elec_chime.flac", start="0.50", seconds="1.00"),
    row("b", "valid", f"{SAMPLES}/tabla_ghe5.flac", seconds="3.56"),
    row(
        "c",
        "test",
        f"{SAMPLES}/misc_crow.flac|{SAMPLES}/drum_cymbal_hard.flac",
        kind="seq",
        recipe="hits=3 gap=0.5 jitter=0.15",
    ),
]


@needs_dpkg
def test_data_directories_say_what_the_table_says(prepare, tmp_path):
    prepare(ROWS)
    train = tmp_path / "data/train"
    assert read_table(train / "cuts") == {"a": "0.5 1"}
    assert read_table(train / "labels") == {"a": "coarse"}
    assert read_table(train / "utt2class") == {"a": "fine"}
    assert read_table(train / "utt2group") == {"a": "a"}
    assert (tmp_path / "data/valid/cuts").read_text() == ""
    for split in ("train", "valid", "test"):
        for path in read_table(tmp_path / "data" / split / "wav.scp").values():
            assert soundfile.info(path).frames > 0


@needs_dpkg
def test_a_sequence_is_the_same_on_every_machine(prepare, tmp_path):
    prepare(ROWS)
    path = tmp_path / "derived/c.flac"
    first = path.read_bytes()
    audio, rate = soundfile.read(path)
    assert rate == 32000 and np.abs(audio).max() <= 1
    # Three hits about half a second apart, the last of them at most 1.64 s long
    assert 1.4 < len(audio) / rate < 3.0
    path.unlink()
    prepare(ROWS)
    assert path.read_bytes() == first


@needs_dpkg
def test_a_file_that_moved_inside_its_package_is_found(prepare, tmp_path):
    old = tmp_path / "unpacked/sonic-pi-samples/usr/share/sonic-pi"
    old.rename(old.with_name("sonic-pi-5"))
    prepare(ROWS)
    path = read_table(tmp_path / "data/train/wav.scp")["a"]
    assert "sonic-pi-5/samples/elec_chime.flac" in path


@needs_dpkg
def test_missing_rows_are_named_and_too_many_stop_the_stage(prepare, tmp_path):
    gone = row("d", "train", f"{SAMPLES}/gone.flac")
    text = prepare([*ROWS, gone], "--min_share", "0.5").stdout
    assert "not there: d" in text and "sonic-pi-samples: 1 clips are missing" in text
    done = prepare([*ROWS, gone], status=2)
    assert "train: only 1 of 2 clips are there" in done.stderr
    assert done.stderr.count("\n") == 1


@needs_dpkg
def test_wrong_choices_and_damaged_tables_are_one_line(prepare, tmp_path):
    error = prepare(ROWS, "--labels", "coarse,cat", status=2).stderr
    assert "no clip is cat; there are coarse" in error
    error = prepare(ROWS, "sonic-pi", status=2).stderr
    assert "not in table.tsv: sonic-pi; it knows sonic-pi-samples" in error
