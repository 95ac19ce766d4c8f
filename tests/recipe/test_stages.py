"""Stages: what they miss, what they make, and what they do not make twice."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from places import LABELS

from espnet2_caresep.data.files import read_table


@pytest.mark.parametrize(
    "stage, file, maker",
    [
        (3, "data/train/wav.scp", 1),
        (4, "dump/raw/org/train/wav.scp", 3),
        (5, "dump/raw/train/wav.scp", 4),
        (6, "dump/raw/train/wav.scp", 4),
        (7, "exp/caresep_train/config.yaml", 6),
        (8, "exp/caresep_train/config.yaml", 6),
        (11, "exp/caresep_train/config.yaml", 6),
    ],
)
def test_a_stage_names_the_missing_file_and_its_maker(run, stage, file, maker):
    error = run("--stage", str(stage), "--stop_stage", str(stage), status=2).stderr
    assert f"error: {file} is missing; stage {maker} makes it" in error
    assert error.count("\n") == 1


def test_missing_pieces_of_the_recipe_itself(run, recipe):
    run("--stop_stage", "1")
    (recipe / "local/valid_mixtures.tsv").unlink()
    error = run("--stage", "3", "--stop_stage", "3", status=2).stderr
    assert "local/valid_mixtures.tsv is missing" in error
    (recipe / "local/data.sh").unlink()
    error = run("--stop_stage", "1", status=2).stderr
    assert "local/data.sh is missing" in error


@pytest.fixture
def formatted(run):
    return run("--stop_stage", "4")


def test_stages_1_to_4_make_formatted_clips_and_mixtures(formatted, recipe):
    raw = recipe / "dump/raw"
    for split in ("train", "valid", "test"):
        paths = read_table(raw / split / "wav.scp")
        assert list(paths) == sorted(LABELS)
        samples = read_table(raw / split / "utt2num_samples")
        for uid, path in paths.items():
            info = soundfile.info(path)
            assert (info.samplerate, info.channels) == (32000, 1)
            assert int(samples[uid]) == info.frames
    items = ["p1_1", "p1_2", "p2_1", "p2_2"]
    for kind in ("mixture", "matched", "clean", "silence"):
        for query in ("own", "other"):
            folder = raw / f"test_{kind}_{query}"
            assert list(read_table(folder / "wav.scp")) == items
            assert list(read_table(folder / "enroll_spk1.scp")) == items
            assert (folder / "spk1.scp").exists() == (kind != "silence")


def test_the_items_of_the_test_sets_fit_together(formatted, recipe):
    raw = recipe / "dump/raw"

    def audio(folder, name, uid):
        return soundfile.read(read_table(raw / folder / name)[uid], dtype="float32")[0]

    mixture = audio("test_mixture_own", "wav.scp", "p1_1")
    target = audio("test_mixture_own", "spk1.scp", "p1_1")
    partner = audio("test_mixture_own", "spk1.scp", "p1_2")
    np.testing.assert_allclose(mixture, target + partner, atol=1e-6)
    np.testing.assert_allclose(np.mean(target**2), np.mean(partner**2), rtol=1e-4)
    for query in ("own", "other"):
        clean, silence = f"test_clean_{query}", f"test_silence_{query}"
        np.testing.assert_array_equal(audio(clean, "wav.scp", "p1_1"), target)
        np.testing.assert_array_equal(audio(clean, "spk1.scp", "p1_1"), target)
        np.testing.assert_array_equal(audio(silence, "wav.scp", "p1_1"), partner)
    own = audio("test_mixture_own", "enroll_spk1.scp", "p1_2")
    scale = np.dot(own, partner) / np.dot(own, own)
    np.testing.assert_allclose(own * scale, partner, atol=1e-5)
    other = audio("test_mixture_other", "enroll_spk1.scp", "p1_2")
    assert not np.allclose(other, own)
    matched = audio("test_matched_other", "wav.scp", "p1_1")
    parts = [audio("test_matched_own", "spk1.scp", uid) for uid in ("p1_1", "p1_2")]
    np.testing.assert_allclose(matched, sum(parts), atol=1e-6)
    np.testing.assert_allclose(*(np.mean(part**2) for part in parts), rtol=1e-4)


def test_test_sets_that_are_not_there_are_made(formatted, run, recipe):
    shutil.rmtree(recipe / "dump/raw/test_matched_other")
    text = run("--stage", "3", "--stop_stage", "3").stdout
    assert "done already for the mixtures of local/valid_mixtures.tsv" in text
    assert "done already for the mixtures of local/test_mixtures.tsv" not in text
    assert read_table(recipe / "dump/raw/test_matched_other/wav.scp")


def test_a_finished_stage_is_not_done_again(formatted, run, recipe):
    files = {p: p.stat().st_mtime_ns for p in recipe.rglob("dump/**/*") if p.is_file()}
    again = run("--stop_stage", "4").stdout
    assert again.count("done already") == 7  # 1; 3 for three sets and two lists; 4
    assert files == {p: p.stat().st_mtime_ns for p in files}
    assert (recipe / "data_sh_calls").read_text().count("ran") == 1


def test_a_stage_is_done_again_when_asked_or_when_its_input_changed(
    formatted, run, recipe
):
    run("--stop_stage", "1", "--force", "true")
    assert (recipe / "data_sh_calls").read_text().count("ran") == 2
    with open(recipe / "local/data.sh", "a", encoding="utf-8") as file:
        file.write("# changed\n")
    run("--stop_stage", "1")
    assert (recipe / "data_sh_calls").read_text().count("ran") == 3
    run("--stage", "3", "--stop_stage", "4", "--fs", "16k")
    path = read_table(recipe / "dump/raw/train/wav.scp")["misc_crow"]
    assert soundfile.info(path).samplerate == 16000


def test_work_that_was_cut_off_is_completed(formatted, run, recipe):
    (recipe / "dump/raw/valid/.done/format").unlink()
    (recipe / "dump/raw/valid/wav.scp").unlink()
    shutil.rmtree(recipe / "dump/raw/valid_mix")
    text = run("--stage", "3", "--stop_stage", "3").stdout
    assert "done already for data/train" in text
    assert "done already for data/valid" not in text
    assert len(read_table(recipe / "dump/raw/valid_mix/wav.scp")) == 2


def test_stage_4_leaves_out_short_clips(formatted, run, recipe):
    run("--stage", "4", "--stop_stage", "4", "--min_wav_duration", "1")
    kept = read_table(recipe / "dump/raw/train/wav.scp")
    assert set(kept) == set(LABELS) - {"misc_crow"}
    assert set(read_table(recipe / "dump/raw/train/labels")) == set(kept)
    error = run("--stage", "4", "--min_wav_duration", "100", status=2).stderr
    assert "none of its 5 clips lasts between 100 and 20 s" in error


def test_a_corrupt_clip_is_counted_and_named(run, recipe):
    broken = recipe / "broken.flac"
    broken.write_bytes(b"fLaC but no more")
    with open(recipe / "local/wav.scp", "a", encoding="utf-8") as file:
        file.write(f"zz_broken {broken}\n")
    with open(recipe / "local/labels", "a", encoding="utf-8") as file:
        file.write("zz_broken drum\n")
    run("--stop_stage", "1")
    error = run("--stage", "3", "--stop_stage", "3", status=2)
    assert "1 of 6 clips of data/train cannot be used" in error.stderr
    assert "skipped 1 of 6 clips (1 unreadable): zz_broken" in error.stdout
    assert not (recipe / "dump/raw/org/train/wav.scp").exists()


def test_told_to_end_it_ends_at_once_and_leaves_no_mark(recipe):
    (recipe / "local/data.sh").write_text("#!/bin/bash\ntouch begun\nexec sleep 60\n")
    driver = subprocess.Popen(
        ["./caresep.sh", "--stop_stage", "1"],
        cwd=recipe,
        env={**os.environ, "CARESEP_PYTHON": sys.executable},
        stdout=subprocess.DEVNULL,
    )
    for _ in range(200):
        if (recipe / "begun").exists():
            break
        time.sleep(0.1)
    driver.terminate()
    assert driver.wait(timeout=10) == 143
    assert not (recipe / "data/.done").exists()


STAND_IN = """#!/bin/sh
case "$*" in
    *espnet2.bin.launch*) echo "$OMP_NUM_THREADS" >threads; echo "$*" >>commands; exit 0 ;;
esac
exec "{python}" "$@"
"""


@pytest.fixture
def train(recipe, tmp_path):
    """Runs stage 6 with a stand-in for the training itself."""
    python = tmp_path / "stand_in/python3"
    python.parent.mkdir()
    python.write_text(STAND_IN.format(python=sys.executable))
    python.chmod(0o755)
    for name in ("dump/raw/train/wav.scp", "dump/raw/valid_mix/wav.scp"):
        (recipe / name).parent.mkdir(parents=True)
        (recipe / name).touch()
    mark = recipe / "exp/caresep_stats_32k/.done"
    mark.parent.mkdir(parents=True)
    mark.touch()

    def train():
        return subprocess.run(
            ["./caresep.sh", "--stage", "6", "--stop_stage", "6", "--ngpu", "0"],
            cwd=recipe,
            env={**os.environ, "CARESEP_PYTHON": str(python), "OMP_NUM_THREADS": "1"},
            check=False,
            capture_output=True,
            text=True,
        )

    return train


def test_training_on_a_cpu_gets_all_cores(train, recipe):
    assert train().returncode == 0
    cores = len(os.sched_getaffinity(0))
    assert (recipe / "threads").read_text().strip() == str(cores)


def test_a_training_goes_on_with_its_own_clips_only(train, recipe):
    labels = recipe / "dump/raw/train/labels"
    labels.write_text("a drum\n")
    assert train().returncode == 0
    (recipe / "exp/caresep_train/checkpoint.pth").touch()
    labels.write_text("a drum\nb drum\n")
    done = train()
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "exp/caresep_train began with other training clips" in done.stderr
    labels.write_text("a drum\n")
    (recipe / "conf/train.yaml").write_text("mode: sep\nmax_epoch: 9\n")
    assert "Going on with exp/caresep_train" in train().stdout


def test_a_start_may_have_a_start_of_its_own(train, recipe):
    """Three trainings in a row, each from the weights of the one before it."""
    for name, start in (("train", "second"), ("second", "first"), ("first", "")):
        line = f"init_param: [exp/caresep_{start}/best.pth:a:b:c]\n" if start else ""
        (recipe / f"conf/{name}.yaml").write_text(f"mode: sep\n{line}")
    for name in ("first", "second"):
        weights = recipe / f"exp/caresep_{name}/best.pth"
        weights.parent.mkdir()
        weights.touch()
    done = train()
    assert done.returncode == 0, done.stderr
    began = [line.split("-> ")[1] for line in done.stdout.splitlines() if "-> " in line]
    order = [line.split(";")[0] for line in began]
    assert order == [f"exp/caresep_{name}" for name in ("first", "second", "train")]
    commands = (recipe / "commands").read_text().splitlines()
    starts = [line.partition("--init_param ")[2].split()[:1] for line in commands]
    assert starts == [
        [],
        ["exp/caresep_first/best.pth:a:b:c"],
        ["exp/caresep_second/best.pth:a:b:c"],
    ]
