"""cmd.sh and path.sh: which commands and which environment a recipe uses."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("backend", ["local", "slurm", "pbs", "sge"])
def test_cmd_sh_chooses_commands_that_exist(recipe, backend):
    script = '. ./cmd.sh; ls "${train_cmd}" "${cuda_cmd}" "${decode_cmd}"'
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=recipe,
        env={**os.environ, "CARESEP_CMD_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.split()) == 3


@pytest.fixture
def checkout(recipe, tools, tmp_path):
    """A skeleton of ESPnet's checkout with the recipe linked in; returns its folder."""
    checkout = tmp_path / "espnet"
    template = checkout / "egs2/TEMPLATE"
    files = {
        checkout / "tools/activate_python.sh": f'PATH="{tools.folder}:${{PATH}}"\n',
        # As ESPnet's: what it finds depends on ${PWD}, and the recipe has the last word
        template / "asr1/path.sh": "MAIN_ROOT=${PWD}/../../..\n"
        ". ${MAIN_ROOT}/tools/activate_python.sh\n. local/path.sh\n",
        # Its command notes what it is asked to run, and fails
        template / "asr1/job.pl": f'#!/bin/sh\necho "$@" >"{tmp_path}/asked"\nexit 3\n',
        template / "asr1/cmd.sh": f"export decode_cmd={template}/asr1/job.pl\n",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (template / "enh1").mkdir()
    for name in ("path.sh", "cmd.sh"):
        (template / "enh1" / name).symlink_to(f"../asr1/{name}")
    linked = checkout / "egs2/tiny/caresep1"
    linked.parent.mkdir()
    linked.symlink_to(recipe)
    (recipe / "local/path.sh").write_text(f"touch {tmp_path}/last_word\n")
    return linked


def run_stage_7(folder):
    """Of a recipe that seems trained, outside of any environment."""
    made = {
        "exp/caresep_train/config.yaml": "mode: sep\n",
        "exp/caresep_train/valid.mixture_sdr.best.pth": "",
        "dump/raw/test_mixture_own/wav.scp": "a a.wav\n",
        "dump/raw/test_mixture_own/enroll_spk1.scp": "a a.wav\n",
    }
    for name, text in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    names = ("CARESEP_CMD_BACKEND", "CARESEP_PYTHON", "CARESEP_ENVIRONMENT")
    environment = {k: v for k, v in os.environ.items() if k not in names}
    environment["PWD"] = str(folder)  # by name and not by link, as a shell's cd does
    return subprocess.run(
        ["./caresep.sh", "--stage", "7", "--stop_stage", "7"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_inside_an_espnet_checkout_its_commands_and_environment_are_used(
    checkout, tools, tmp_path
):
    # The checkout's environment, whose Python says that it was used
    tools(
        "python3", f'#!/bin/sh\ntouch "{tmp_path}/theirs"\nexec {sys.executable} "$@"\n'
    )
    done = run_stage_7(checkout)
    assert done.returncode == 3, done.stdout + done.stderr
    assert (tmp_path / "theirs").exists() and (tmp_path / "last_word").exists()
    asked = (tmp_path / "asked").read_text()
    assert "python3 -m espnet2_caresep.bin.inference --task separate" in asked
    assert "JOB=1:1" in asked and "inference.JOB.log" in asked


def test_an_environment_without_the_package_is_one_line(checkout, tools, tmp_path):
    tools("python3", "#!/bin/sh\nexit 1\n")
    done = run_stage_7(checkout)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "lacks espnet2_caresep" in done.stderr
