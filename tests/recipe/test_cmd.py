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


def test_inside_an_espnet_checkout_its_commands_and_environment_are_used(recipe):
    checkout = recipe.parents[2]
    (checkout / "tools").mkdir()
    (checkout / "tools/activate_python.sh").write_text("")
    enh1 = checkout / "egs2/TEMPLATE/enh1"
    enh1.mkdir(parents=True)
    (enh1 / "cmd.sh").write_text("export train_cmd=theirs cuda_cmd=c decode_cmd=d\n")
    (enh1 / "path.sh").write_text("export THEIRS=true\n")
    script = '. ./cmd.sh; . ./path.sh; echo "${train_cmd} ${THEIRS}"'
    environment = dict(os.environ)
    environment.pop("CARESEP_CMD_BACKEND", None)
    environment.pop("CARESEP_PYTHON", None)
    environment["PATH"] = f"{os.path.dirname(sys.executable)}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=recipe,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "theirs true\n", done.stderr
