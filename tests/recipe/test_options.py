"""Options of the driver: one block of lines is what --help and the parser know."""

import re
import subprocess

import pytest
from places import DEBSOUNDS, TEMPLATE


def declared():
    text = (TEMPLATE / "caresep.sh").read_text()
    block = text.split("# === options")[1].split("# === end of options")[0]
    return re.findall(r"^([a-z_]+)=", block, flags=re.MULTILINE)


def test_help_lists_every_option_with_a_word_about_it(run):
    text = run("--help").stdout
    assert len(declared()) > 30
    for name in declared():
        assert re.search(
            rf"^  --{name}( \[.*\])?\n        \w+", text, re.MULTILINE
        ), name


def test_help_of_the_recipe_needs_no_environment(tmp_path):
    done = subprocess.run(
        [DEBSOUNDS / "run.sh", "--help"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--mini true" in done.stdout
    assert all(f"--{name}" in done.stdout for name in declared())


@pytest.mark.parametrize("name", ["stage", "stop-stage", "inference-nj", "fs"])
def test_options_of_enh_sh_are_known_by_both_spellings(run, name):
    value = {"stage": "13", "stop-stage": "0", "inference-nj": "2", "fs": "16k"}[name]
    run("--stop_stage", "0", f"--{name}", value)
    run("--stop_stage", "0", f"--{name.replace('-', '_')}={value}")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--stages", "1"], "unknown option --stages; see --help"),
        (["--stage"], "--stage needs a value"),
        (["--stage", "one"], "--stage must be a whole number, got one"),
        (["--skip_train", "yes"], "--skip_train must be true or false, got yes"),
        (["3"], "unexpected argument 3"),
        (["--fs", "fast"], "--fs must be a rate"),
        (["--nj", "0"], "--nj must be 1 or more"),
        (["--python", "no-such-python"], "--python no-such-python is not there"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2(run, arguments, words):
    error = run(*arguments, status=2).stderr
    assert error.startswith("caresep.sh: error: ") and words in error
    assert error.count("\n") == 1


def test_stage_13_asks_where_to_upload(run):
    error = run("--stage", "13", "--skip_upload_hf", "false", status=2).stderr
    assert error.endswith("error: --hf_repo USER/NAME says where to upload\n")
    upload = ["--skip_upload_hf", "false", "--hf_repo", "somebody/tiny"]
    error = run("--stage", "13", *upload, status=2).stderr
    assert "RESULTS.json is missing; stage 8 makes it" in error
