"""The environment script, with a stand-in Python that notes what it is asked."""

import os
import subprocess

import pytest
from places import TEMPLATE

# Pretends to be Python 3.12; `-m venv DIR` puts a copy of it there.
PYTHON = """#!/usr/bin/env bash
echo "$0 $*" >>"${CALLS}"
case "$*" in
    *sys.executable*) readlink -f "$0" ;;
    *"-m venv"*)
        [ -z "${VENV_FAILS:-}" ] || exit 1
        for dir in "$@"; do :; done
        rm -rf "${dir}"
        mkdir -p "${dir}/bin"
        cp "$0" "${dir}/bin/python"
        ;;
    *venv*) [ -z "${NO_VENV_MODULE:-}" ] ;;
    *"pip --disable-pip-version-check install --progress-bar"*)
        [ -z "${PIP_FAILS:-}" ] || exit 1
        ;;
esac
"""


@pytest.fixture
def setup(copy_of_setup, tools, tmp_path):
    """Runs the script in the copy; only the stand-in Python can be found."""
    tools("python3.12", PYTHON)
    calls = tmp_path / "calls"

    def setup(*arguments, status=0, path=None, **environment):
        calls.write_text("")
        done = subprocess.run(
            [copy_of_setup / "egs2/TEMPLATE/caresep1/setup_env.sh", *arguments],
            env={
                "PATH": f"{tools.folder}:/usr/bin:/bin" if path is None else path,
                "HOME": str(tmp_path),
                "CALLS": str(calls),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        done.calls = calls.read_text()
        return done

    return setup


def made(done):
    return (
        "-m venv" in done.calls,
        "pip --disable-pip-version-check install" in done.calls,
    )


def test_the_first_run_makes_and_the_second_costs_nothing(setup, copy_of_setup):
    assert made(setup()) == (True, True)
    again = setup()
    assert again.calls == "" and "using" in again.stdout
    python = setup("--print").stdout.strip()
    assert python == f"{copy_of_setup}/.venv/bin/python"


@pytest.mark.parametrize("file", ["setup.py", "conf/constraints.txt"])
def test_changed_requirements_are_installed_into_the_same_environment(
    setup, copy_of_setup, file
):
    setup()
    (copy_of_setup / file).write_text("# another day\n")
    assert "not ready" in setup("--print", status=2).stderr
    assert made(setup()) == (False, True)


def test_an_installation_that_was_cut_off_starts_over(setup):
    setup(status=1, PIP_FAILS="yes")
    assert made(setup()) == (True, True)


def test_tinysoundfont_comes_without_its_requirements(setup):
    calls = setup().calls.splitlines()
    assert any("--no-deps" in call and "tinysoundfont" in call for call in calls)
    main = next(call for call in calls if " -e " in call)
    assert "[recipe,test]" in main and "constraints.txt" in main


def test_an_environment_without_python_inside_is_made_anew(setup, copy_of_setup):
    setup()
    (copy_of_setup / ".venv/bin/python").unlink()
    assert made(setup()) == (True, True)


def test_no_python_is_one_line_that_says_what_to_install(setup, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for name in ("bash", "dirname", "cat", "sha256sum", "cut", "env", "flock"):
        os.symlink(f"/usr/bin/{name}", few / name)
    error = setup(status=2, path=str(few)).stderr
    assert "Python 3.12 or 3.13 is needed and none was found" in error
    assert error.count("\n") == 1


def test_a_missing_venv_module_names_the_package(setup, copy_of_setup):
    error = setup(status=2, NO_VENV_MODULE="yes").stderr
    assert "has no venv module" in error and "-venv" in error
    assert not (copy_of_setup / ".venv").exists()


def test_a_given_python_is_used_as_it_is(setup, tools):
    python = f"{tools.folder}/python3.12"
    assert setup("--print", CARESEP_PYTHON=python).stdout.strip() == python
    assert made(setup(CARESEP_PYTHON=python)) == (False, False)
    error = setup(status=2, CARESEP_PYTHON="/no/python").stderr
    assert "CARESEP_PYTHON=/no/python is not there" in error


def test_uv_serves_where_nothing_else_does(setup, tools, tmp_path):
    (tools.folder / "python3.12").rename(tmp_path / "uv-python")
    for name in ("python3.13", "python3", "python"):
        tools(name, "#!/bin/sh\nexit 1\n")
    tools("python3.12", "#!/bin/sh\nexit 1\n")
    tools("uv", f"#!/bin/sh\necho {tmp_path}/uv-python\n")
    assert "uv-python" in setup().calls


def test_the_script_is_what_the_tests_run_with():
    assert os.access(TEMPLATE / "setup_env.sh", os.X_OK)
