"""Stages 5 to 7 through Slurm: stand-ins execute what the scheduler gets, and what the jobs
themselves do is noted."""

import subprocess
import sys

import pytest

from espnet2_caresep.data.files import read_table

# Runs the job script: once for each number of an array, else with the nodes for srun
SBATCH = """#!/usr/bin/env bash
echo "$*" >>sbatch_calls
for script in "$@"; do :; done
while [ $# -gt 0 ]; do
    case $1 in
        --array) range=$2 ;;
        --nodes) export NODES=$2 ;;
    esac
    shift
done
[ -n "${range:-}" ] || { env -u SLURM_ARRAY_TASK_ID "${script}"; exit; }
for n in $(seq "${range%-*}" "${range#*-}"); do SLURM_ARRAY_TASK_ID=$n "${script}"; done
"""
SRUN = """#!/usr/bin/env bash
[ "$1" = --export=ALL ] || exit 9
shift
for ((node = 0; node < ${NODES:-1}; node++)); do SLURM_PROCID=${node} "$@" || exit $?; done
"""
# The commands of the jobs note how they were called and leave what the stages collect
PYTHON = """#!{python}
import os, sys
from pathlib import Path
args = sys.argv[1:]
value = lambda name: args[args.index(name) + 1]
keys = lambda path: [line.split()[0] for line in Path(path).read_text().splitlines()]
if args[:2] == ["-m", "espnet2_caresep.bin.train"] and "--collect_stats" in args:
    for part, shape in (("train", "speech_ref1"), ("valid", "speech_mix")):
        folder = Path(value("--output_dir"), part)
        folder.mkdir(parents=True)
        (folder / "batch_keys").write_text(shape)
        (folder / "stats_keys").write_text("")
        lines = [f"{{key}} 8\\n" for key in keys(value(f"--{{part}}_shape_file"))]
        (folder / f"{{shape}}_shape").write_text("".join(lines))
elif args[:2] == ["-m", "espnet2_caresep.bin.train"]:
    with open("trained", "a") as file:
        print(os.environ["SLURM_PROCID"], *args, file=file)
elif args[:2] == ["-m", "espnet2_caresep.bin.inference"]:
    folder = Path(value("--output_dir"))
    folder.mkdir(parents=True)
    (folder / "skipped").touch()
    lines = [f"{{key}} {{folder}}/{{key}}.wav\\n" for key in keys(value("--key_file"))]
    (folder / "spk1.scp").write_text("".join(lines))
    lines = ["uid\\n", *(f"{{key}}\\n" for key in keys(value("--key_file")))]
    (folder / "tags.tsv").write_text("".join(lines))
else:
    os.execv("{python}", ["{python}", *args])
"""


@pytest.fixture
def slurm(recipe, run, tools):
    """The recipe after stage 4; returns a runner of its driver under Slurm."""
    run("--stop_stage", "4")
    tools("sbatch", SBATCH)
    tools("srun", SRUN)
    tools("python3", PYTHON.format(python=sys.executable))

    def slurm(*options):
        done = subprocess.run(
            ["./caresep.sh", "--nj", "2", "--inference_nj", "2", *options],
            cwd=recipe,
            env={
                **tools.env,
                "CARESEP_CMD_BACKEND": "slurm",
                "CARESEP_PYTHON": str(tools.folder / "python3"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return (recipe / "sbatch_calls").read_text().splitlines()

    return slurm


def test_statistics_training_and_inference_are_submitted(slurm, recipe):
    # Statistics: an array, whose shapes come together
    (stats,) = slurm("--stage", "5", "--stop_stage", "5")
    assert "--wait" in stats and "--array 1-2" in stats
    shapes = read_table(recipe / "exp/caresep_stats_32k/train/speech_ref1_shape")
    assert set(shapes) == set(read_table(recipe / "dump/raw/train/wav.scp"))

    # Training: one job on two nodes, where srun starts the same command on each
    gpus = ["--ngpu", "4", "--num_nodes", "2"]
    training = slurm("--stage", "6", "--stop_stage", "6", *gpus)[-1]
    for words in ("--nodes 2 --ntasks-per-node 1", "--gres gpu:4", "--cpus-per-task 4"):
        assert words in training
    assert "--array" not in training
    ranks = (recipe / "trained").read_text().splitlines()
    assert [line.split()[0] for line in ranks] == ["0", "1"]
    assert ranks[0][2:] == ranks[1][2:]  # the same; ESPnet asks Slurm which one it is
    for words in (
        "--multiprocessing_distributed true --dist_launcher slurm",
        "--ngpu 4",
        "--dist_init_method file://",
        "--resume true",
        "--output_dir exp/caresep_train",
    ):
        assert words in ranks[0]

    # Inference: an array for each set, whose lists come together
    experiment = recipe / "exp/caresep_train"
    (experiment / "config.yaml").write_text("mode: sep\n")
    (experiment / "valid.mixture_sdr.best.pth").touch()
    options = ["--stage", "7", "--stop_stage", "7", "--eval_sets", "clean_own"]
    calls = slurm(*options, "--gpu_inference", "true", "--test_sets", "test")
    assert "--array 1-2" in calls[2] and "--gres gpu:1" in calls[2]
    assert len(calls) == 4  # tags are the fourth
    separated = experiment / "inference_valid.mixture_sdr.best/test_clean_own/spk1.scp"
    wanted = read_table(recipe / "dump/raw/test_clean_own/wav.scp")
    assert list(read_table(separated)) == list(wanted)
