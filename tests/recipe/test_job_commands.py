"""Job commands: one interface for this machine and for three schedulers."""

import os
import signal
import subprocess
import time

import pytest
from places import TEMPLATE

COMMANDS = TEMPLATE / "scripts/cmd"

# Stand-ins run the job script at once, once per number of the array, and note how they
# were called.
SBATCH = """#!/usr/bin/env bash
echo "$@" >"${CALLED}"
for script in "$@"; do :; done
while [ $# -gt 0 ]; do
    case $1 in --array) range=${2%%%*} ;; esac
    shift
done
[ -n "${range:-}" ] || { env -u SLURM_ARRAY_TASK_ID "${script}"; exit; }
for n in $(seq "${range%-*}" "${range#*-}"); do SLURM_ARRAY_TASK_ID=$n "${script}"; done
exit 0
"""
QSUB = """#!/usr/bin/env bash
echo "$@" >"${CALLED}"
for script in "$@"; do :; done
while [ $# -gt 0 ]; do
    case $1 in -J | -t) range=${2%%%*} ;; esac
    shift
done
[ -n "${range:-}" ] || { "${script}"; exit; }
for n in $(seq "${range%-*}" "${range#*-}"); do
    PBS_ARRAY_INDEX=$n SGE_TASK_ID=$n "${script}"
done
exit 0
"""


@pytest.fixture
def submit(tools, tmp_path):
    """Runs a job command with stand-in schedulers, in an empty folder."""
    tools("sbatch", SBATCH)
    tools("qsub", QSUB)
    folder = tmp_path / "work"
    folder.mkdir()
    environment = {**tools.env, "CALLED": str(tmp_path / "called")}

    def submit(name, *arguments):
        done = subprocess.run(
            [COMMANDS / name, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        done.folder = folder
        called = tmp_path / "called"
        done.called = called.read_text() if called.exists() else ""
        return done

    return submit


ALL = pytest.mark.parametrize("name", ["run.pl", "slurm.pl", "pbs.pl", "queue.pl"])


@ALL
def test_an_array_runs_each_job_with_its_number(submit, name):
    script = 'echo "$1|$2" >out.JOB'
    words = ["bash", "-c", script, "-", "two  words $HOME", "quote\" JOB's"]
    done = submit(name, "JOB=1:3", "log/a.JOB.log", *words)
    assert done.returncode == 0, done.stderr
    for n in (1, 2, 3):
        text = (done.folder / f"out.{n}").read_text()
        assert text == f"two  words $HOME|quote\" {n}'s\n"
        assert "status 0" in (done.folder / f"log/a.{n}.log").read_text()


@ALL
def test_a_single_job_keeps_the_word_job(submit, name):
    done = submit(name, "log/one.log", "bash", "-c", "echo JOB; echo err >&2")
    assert done.returncode == 0
    text = (done.folder / "log/one.log").read_text()
    assert "JOB\nerr\n" in text


@ALL
def test_a_range_of_one_job(submit, name):
    done = submit(name, "JOB=2:2", "JOB.log", "bash", "-c", "echo number JOB")
    assert done.returncode == 0
    assert "number 2" in (done.folder / "2.log").read_text()


@ALL
def test_a_failing_job_fails_and_names_its_log(submit, name):
    done = submit(name, "JOB=1:3", "JOB.log", "bash", "-c", "echo JOB; [ JOB != 2 ]")
    assert done.returncode == 1
    assert "1 of 3 jobs failed" in done.stderr and "2.log" in done.stderr


@ALL
def test_a_job_that_says_what_is_wrong_is_quoted_in_one_line(submit, name):
    script = "echo 'train: error: no such key' >&2; exit 2"
    done = submit(name, "a.log", "bash", "-c", script)
    assert done.returncode == 2
    assert done.stderr == "train: error: no such key\n"


@ALL
@pytest.mark.parametrize(
    "arguments",
    [["--speed", "9", "a.log", "true"], ["JOB=0:2", "a.log", "true"], ["a.log"]],
)
def test_wrong_arguments_end_with_status_2(submit, name, arguments):
    done = submit(name, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{name}: error: ") and done.stderr.count("\n") == 1


RESOURCES = [
    "--mem",
    "4G",
    "--gpu",
    "2",
    "--num-threads",
    "3",
    "--time",
    "1:00:00",
    "--max_jobs_run",
    "5",
]


@pytest.mark.parametrize(
    "name, config, words",
    [
        (
            "slurm.pl",
            "slurm.conf",
            (
                "--wait --cpus-per-task 3 --array 1-9%5 --mem 4G --time 1:00:00 "
                "--gres gpu:2 -p fast --constraint=two2"
            ),
        ),
        (
            "pbs.pl",
            "pbs.conf",
            (
                "block=true select=1:ncpus=3:ngpus=2:mem=4gb -J 1-9%5 walltime=1:00:00 "
                "-p fast --constraint=two2"
            ),
        ),
        (
            "queue.pl",
            "queue.conf",
            (
                "-sync y -t 1-9 -tc 5 -pe smp 3 mem_free=4G h_rt=1:00:00 gpu=2 -p fast "
                "--constraint=two2"
            ),
        ),
    ],
)
def test_schedulers_get_the_resources_and_the_options_of_the_site(
    submit, tmp_path, name, config, words
):
    conf = tmp_path / "work/conf"
    conf.mkdir()
    text = "# a comment\nall -p slow\ngpu -p fast --constraint=twoGPU\n"
    (conf / config).write_text(text)
    done = submit(name, *RESOURCES, "JOB=1:9", "JOB.log", "true")
    assert done.returncode == 0, done.stderr
    called = done.called.split()
    assert [word for word in words.split() if word not in called] == []
    assert "-p slow" not in done.called
    assert "-p slow" in submit(name, "JOB=1:2", "JOB.log", "true").called


@pytest.mark.parametrize("name", ["slurm.pl", "pbs.pl", "queue.pl"])
def test_a_refused_submission_is_one_line_with_the_reason(submit, tools, name):
    refuse = "#!/bin/sh\necho 'hm'\necho 'no such partition: gpu' >&2\nexit 1\n"
    tools("sbatch", refuse)
    tools("qsub", refuse)
    done = submit(name, "a.log", "true")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "took no job: no such partition: gpu" in done.stderr


def test_slurm_gets_nodes_for_distributed_training(submit):
    done = submit("slurm.pl", "--num_nodes", "2", "--gpu", "4", "a.log", "srun", "x")
    assert "--nodes 2 --ntasks-per-node 1" in done.called


def test_a_scheduler_that_is_missing_is_named(tmp_path):
    done = subprocess.run(
        [COMMANDS / "slurm.pl", "a.log", "true"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "sbatch is not here" in done.stderr


def alive(pid_file):
    try:
        os.kill(int(pid_file.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def wait_for(condition):
    for _ in range(100):
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("how", ["owner is gone", "told to end"])
def test_no_job_outlives_its_recipe(tmp_path, how):
    owner = subprocess.Popen(["sleep", "60"])
    script = "sleep 60 & echo $! >child; wait"
    command = subprocess.Popen(
        [COMMANDS / "run.pl", "a.log", "bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "CARESEP_OWNER": str(owner.pid)},
    )
    child = tmp_path / "child"
    try:
        assert wait_for(lambda: child.exists() and alive(child))
        if how == "owner is gone":
            owner.send_signal(signal.SIGKILL)
            owner.wait()
        else:
            command.terminate()
        assert command.wait(timeout=20) != 0
        assert wait_for(lambda: not alive(child))
    finally:
        owner.kill()
        command.kill()


# A scheduler that waits for ever, and knows its jobs by their names
WAITING = """#!/usr/bin/env bash
while [ $# -gt 0 ]; do
    case $1 in --job-name | -N) echo "$2" >submitted_name ;; esac
    shift
done
echo $$ >scheduler
exec sleep 60
"""


@pytest.mark.parametrize("how", ["owner is gone", "told to end"])
@pytest.mark.parametrize("name", ["slurm.pl", "pbs.pl", "queue.pl"])
def test_jobs_of_a_cluster_are_cancelled_with_their_recipe(tools, tmp_path, name, how):
    for scheduler in ("sbatch", "qsub"):
        tools(scheduler, WAITING)
    tools("qselect", '#!/bin/sh\necho "$*" >selected\necho 12.server\n')
    for cancel in ("scancel", "qdel"):
        tools(cancel, f'#!/bin/sh\necho "{cancel} $*" >cancelled\n')
    owner = subprocess.Popen(["sleep", "60"])
    command = subprocess.Popen(
        [COMMANDS / name, "JOB=1:3", "long_name_of_a_log.JOB.log", "true"],
        cwd=tmp_path,
        env={**tools.env, "CARESEP_OWNER": str(owner.pid)},
    )
    try:
        assert wait_for(lambda: alive(tmp_path / "scheduler"))
        if how == "owner is gone":
            owner.send_signal(signal.SIGKILL)
            owner.wait()
        else:
            command.terminate()
        assert command.wait(timeout=20) == 143
        assert wait_for(lambda: not alive(tmp_path / "scheduler"))
    finally:
        owner.kill()
        command.kill()
    job = (tmp_path / "submitted_name").read_text().strip()
    assert len(job) <= 15 and job.endswith(f".{command.pid}")
    cancelled = (tmp_path / "cancelled").read_text().strip()
    wanted = {"slurm.pl": f"scancel --name {job}", "queue.pl": f"qdel {job}"}
    assert cancelled == wanted.get(name, "qdel 12.server")
    if name == "pbs.pl":
        assert (tmp_path / "selected").read_text().strip() == f"-N {job}"


def test_run_pl_limits_how_many_run_at_once(submit):
    script = "echo start >>log; sleep 0.3; echo end >>log"
    done = submit(
        "run.pl", "--max-jobs-run", "1", "JOB=1:3", "JOB.l", "bash", "-c", script
    )
    assert done.returncode == 0
    assert (done.folder / "log").read_text().split() == ["start", "end"] * 3
