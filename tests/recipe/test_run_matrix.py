"""The rows of the tables, on a recipe whose run.sh only says what it was asked."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from places import TEMPLATE

RUN_SH = """#!/usr/bin/env python3
import json, pathlib, sys, time
import yaml

options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with open("calls", "a") as file:
    file.write(json.dumps(options) + "\\n")
if options["--stage"] == "1":
    sys.exit()
name = pathlib.Path(options["--caresep_config"]).stem
seed = int(options["--caresep_args"].split()[-1])
if (name, seed) == ("d", 1):
    print("caresep.sh: error: no luck")
    sys.exit(2)
if name == "e":
    time.sleep(60)
exp = pathlib.Path(options["--expdir"], f"caresep_{name}_seed{seed}")
(exp / "scores").mkdir(parents=True, exist_ok=True)
config = {"config": options["--caresep_config"], "seed": seed, "mode": "sep",
          "max_epoch": 1, "num_iters_per_epoch": 1, "batch_size": 1}
(exp / "config.yaml").write_text(yaml.safe_dump(config))
model = {"mixture_own/sdr": {"mean": {"a": 1.0, "c": 2.0}.get(name, 0.0) + seed}}
results = {"about": {"parameters": 1, "wall_time_seconds": 1.0}, "tagging": None,
           "systems": {"model": model}}
(exp / "scores/RESULTS.json").write_text(json.dumps(results))
"""


@pytest.fixture
def recipe(tmp_path):
    folder = tmp_path / "egs2/debsounds/caresep1"
    folder.mkdir(parents=True)
    (tmp_path / "conf").symlink_to(TEMPLATE.parents[2] / "conf")
    (folder / "run_matrix.sh").symlink_to(TEMPLATE / "run_matrix.sh")
    (folder / "path.sh").write_text("")
    run_sh = folder / "run.sh"
    run_sh.write_text(RUN_SH.replace("/usr/bin/env python3", sys.executable))
    run_sh.chmod(0o755)
    return folder


def command(recipe, *arguments):
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    return {
        "args": [str(recipe / "run_matrix.sh"), *arguments],
        "env": {**os.environ, "PATH": path},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def matrix(recipe, *arguments, status=0):
    done = subprocess.run(**command(recipe, *arguments), check=False, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def calls(recipe):
    lines = (recipe / "calls").read_text().splitlines()
    return [json.loads(line) for line in lines]


def asked(recipe, stage):
    return [
        (call["--caresep_config"].split("/")[-1], call["--caresep_args"].split()[-1])
        for call in calls(recipe)
        if (call["--stage"], call["--stop_stage"]) == stage
    ]


def test_starts_come_first_and_seeds_belong_to_the_ablations(recipe):
    options = ["--scale", "debsounds_cpu", "--rows", "c b a", "--seeds", "0 1"]
    matrix(recipe, *options, "--nj", "3")
    # What three rows start from is trained once per seed, before any of them.
    assert [call["--stage"] for call in calls(recipe)][:3] == ["1", "6", "6"]
    assert asked(recipe, ("6", "6")) == [("cls.yaml", "0"), ("cls.yaml", "1")]
    expected = [(f"{row}.yaml", seed) for row, seed in ("c0", "c1", "b0", "a0", "a1")]
    assert asked(recipe, ("6", "8")) == expected
    assert {call["--nj"] for call in calls(recipe)} == {"3"}
    page = (recipe / "exp/matrix_debsounds_cpu/RESULTS.md").read_text()
    assert "1.50 ± 0.71" in page and "C over A, mixture-SDR | +1.00" in page


def test_tagging_rows_are_judged_by_their_best_tags(recipe):
    matrix(recipe, "--scale", "debsounds_cpu", "--rows", "cls", "--seeds", "4")
    (call,) = [call for call in calls(recipe) if call["--stage"] == "6"]
    assert call["--inference_model"] == "valid.mAP.best.pth"


def test_a_row_that_fails_is_named_and_the_others_are_done(recipe):
    options = ["--scale", "debsounds_cpu", "--rows", "d f", "--seeds", "0 1"]
    done = matrix(recipe, *options, "--jobs", "2", status=2)
    assert "d, seed 1: caresep.sh: error: no luck" in done.stderr
    page = (recipe / "exp/matrix_debsounds_cpu/RESULTS.md").read_text()
    assert "| F |" in page and "| D |" in page


def test_the_large_scales_use_the_papers_sizes(recipe):
    matrix(recipe, "--scale", "debsounds_gpu", "--rows", "c caresep_2048 g")
    configs = [name for name, _ in asked(recipe, ("6", "8"))]
    rows = ["train_caresep_768.yaml"] * 3 + ["train_caresep_2048.yaml"]
    assert configs == rows + ["train_ablation_g.yaml"] * 3
    assert "--max_epoch 30" in calls(recipe)[-1]["--caresep_args"]
    assert calls(recipe)[-1]["--pretrain_args"] == calls(recipe)[-1]["--caresep_args"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--scale must be debsounds_cpu"),
        (["--scale", "audioset"], "run in egs2/audioset/caresep1"),
        (["--scale", "debsounds_cpu", "--rows", "c h"], "h is not one of"),
        (["--scale", "debsounds_cpu", "--seeds", "one"], "whole numbers, got one"),
        (["--scale", "debsounds_cpu", "--jobs", "0"], "--jobs must be 1 or more"),
        (["--scale", "debsounds_cpu", "--nj"], "--nj needs a value"),
        (["audioset"], "unexpected argument audioset"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2(recipe, arguments, words):
    done = matrix(recipe, *arguments, status=2)
    assert words in done.stderr and done.stderr.count("\n") == 1
    assert not (recipe / "calls").exists()


def test_told_to_end_it_ends_its_rows(recipe):
    options = ["--scale", "debsounds_cpu", "--rows", "e", "--seeds", "0"]
    process = subprocess.Popen(**command(recipe, *options))
    deadline = time.monotonic() + 30
    while not (recipe / "calls").exists() or len(calls(recipe)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 143
    left = subprocess.run(
        ["pgrep", "-f", f"{recipe}|--expdir exp/matrix_debsounds_cpu.*e.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert str(recipe) not in left.stdout


def test_help_lists_the_options(recipe):
    done = matrix(recipe, "--help")
    for option in ("--scale", "--rows", "--seeds", "--jobs"):
        assert option in done.stdout
