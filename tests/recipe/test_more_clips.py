"""--more true of debsounds: further training clips beside splits that stay as they are."""

import shutil
import sys

import pytest
from packages import needs_dpkg
from places import AUDIO, DEBSOUNDS
from tables import ROWS, SAMPLES, check_whole, recipe_of, row, stage_1, write_rows

from espnet2_caresep.data.files import read_table

sys.path.insert(0, str(DEBSOUNDS / "local"))
from corpus_table import TABLE, read_clips

CLIPS = read_clips()
MORE = read_clips(TABLE.with_name("debsounds_more.tsv"))
COPIES = TABLE.with_name("debsounds_copies.txt").read_text().splitlines()


def test_the_further_table_shares_nothing_with_the_corpus():
    assert len(MORE) == 1697
    assert {clip.split for clip in MORE} == {"train"}
    for name in ("uid", "group", "package"):
        used = {getattr(clip, name) for clip in CLIPS}
        assert not used & {getattr(clip, name) for clip in MORE}
    for name in ("label", "fine"):  # no class of its own
        known = {getattr(clip, name) for clip in CLIPS}
        assert {getattr(clip, name) for clip in MORE} <= known


def test_the_further_table_is_whole():
    check_whole(MORE, CLIPS, shortest=1)


def test_only_training_clips_are_left_out():
    comment, *uids = COPIES
    assert comment.startswith("# ") and len(uids) == 18
    assert uids == sorted(set(uids), key=str.encode)
    assert set(uids) <= {clip.uid for clip in CLIPS if clip.split == "train"}


FURTHER = [
    row("m", "train", "three", "elec_chime", "bell"),
    row(
        "n",
        "train",
        "three",
        "tabla_ghe5",
        kind="seq",
        recipe="hits=2 gap=0.4 jitter=0",
    ),
    row("o", "train", "four", "misc_crow", "bird"),
    row("p", "train", "absent", "misc_crow", "bird"),
]


@pytest.fixture
def write_dirs(tmp_path, monkeypatch, capsys):
    """Runs the last step of stage 1 on tables of our own."""
    import write_data_dirs

    for package in ("one", "two", "three", "four"):
        shutil.copytree(AUDIO, tmp_path / "unpacked" / package / SAMPLES)
    (tmp_path / "copies.txt").write_text("# why\na\n")

    def write_dirs(name, *options, rows=ROWS, further=None):
        write_rows(tmp_path / "table.tsv", rows)
        arguments = ["--unpacked_dir", tmp_path / "unpacked", "--derived_dir", tmp_path]
        arguments += ["--table", tmp_path / "table.tsv"]
        arguments += ["--output_dir", tmp_path / name, *options]
        if further is not None:
            write_rows(tmp_path / "further.tsv", further)
            arguments += ["--more_table", tmp_path / "further.tsv"]
            arguments += ["--more_derived_dir", tmp_path]
            arguments += ["--leave_out", tmp_path / "copies.txt"]
        monkeypatch.setattr(sys, "argv", ["write_data_dirs", *map(str, arguments)])
        write_data_dirs.main()
        return {s: content(tmp_path / name / s) for s in ("train", "valid", "test")}

    return write_dirs


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def uids(lists):
    return [line.split()[0].decode() for line in lists["wav.scp"].splitlines()]


FILES = [further for further in FURTHER if further["kind"] == "file"]


def test_valid_and_test_stay_byte_for_byte(write_dirs, capsys):
    plain, more = write_dirs("plain"), write_dirs("more", further=FILES)
    assert uids(plain["train"]) == ["a", "b"]
    assert uids(more["train"]) == ["b", "m", "o"]
    assert len(more["train"]) == 5
    assert more["valid"] == plain["valid"] and more["test"] == plain["test"]
    assert "absent: 1 clips are missing (no such package)" in capsys.readouterr().out


def test_packages_and_labels_choose_among_both_tables(write_dirs):
    more = write_dirs("labels", "--labels", "bird,bell", further=FILES)
    assert uids(more["train"]) == ["b", "m", "o"]
    assert uids(more["valid"]) == ["e"]
    more = write_dirs("packages", "--more_packages", "four", "one", further=FILES)
    assert uids(more["train"]) == ["b", "o"]
    assert uids(more["valid"]) == ["c"]


@pytest.mark.parametrize(
    "wrong", [{"split": "test"}, {"uid": "c"}, {"group": "group-d"}]
)
def test_further_clips_never_touch_the_other_splits(write_dirs, tmp_path, wrong):
    with pytest.raises(ValueError, match="further clips must be for training"):
        write_dirs("data", further=[{**FILES[0], **wrong}])
    assert not (tmp_path / "data").exists()


def test_a_list_cannot_take_clips_from_validation(write_dirs, tmp_path):
    (tmp_path / "copies.txt").write_text("# why\na\nc\n")
    with pytest.raises(ValueError, match="c is not for training"):
        write_dirs("data", further=FILES)
    (tmp_path / "copies.txt").unlink()
    with pytest.raises(ValueError, match="copies.txt: cannot be read"):
        write_dirs("data", further=FILES)


@needs_dpkg
def test_stage_1_goes_on_without_a_further_package(shelf, tools, tmp_path):
    tables = {"debsounds": ROWS, "debsounds_more": FURTHER}
    packages = ("one", "two", "three", "four")
    recipe = recipe_of(tables, shelf, packages, tmp_path / "egs2/debsounds/caresep1")
    (recipe / "local/debsounds_copies.txt").write_text("# why\na\n")
    tools("apt-get", "#!/bin/sh\nexit 100\n")
    tools("sleep", "#!/bin/sh\n")
    done = stage_1(recipe, tools, "--more", "true")
    assert "Could not be downloaded: absent" in done.stderr
    assert "absent: 1 clips are missing (no such package)" in done.stdout
    wavs = read_table(recipe / "data/train/wav.scp")
    assert list(wavs) == ["b", "m", "n", "o"]
    assert wavs["n"] == str(recipe / "downloads/derived_more/n.flac")
    assert list(read_table(recipe / "data/valid/wav.scp")) == ["c", "e"]
