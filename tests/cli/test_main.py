"""The ``caresep`` command as a program: help, errors, signals."""

import signal
import subprocess
import sys
import time

import pytest

from espnet2_caresep.cli import main as cli
from espnet2_caresep.cli.errors import one_line


def _caresep(*args):
    return subprocess.run(
        [sys.executable, "-m", "espnet2_caresep.cli.main", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help_is_quick(command):
    for _ in range(3):  # the machine may be busy with something else
        start = time.monotonic()
        done = _caresep(*command.split(), "--help")
        seconds = time.monotonic() - start
        assert done.returncode == 0 and "usage: caresep" in done.stdout
        if seconds < 1:
            return
    pytest.fail(f"--help took {seconds:.2f} s")


def test_help_imports_nothing_heavy():
    code = (
        "import sys, espnet2_caresep.cli.main as m; m.get_parser(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'espnet2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_command_keeps_the_contract():
    from importlib import import_module

    for module, line in cli.COMMANDS.values():
        assert line and "\n" not in line
        found = import_module(module)
        assert callable(found.add_arguments) and callable(found.run)


@pytest.mark.parametrize(
    "args, reason",
    [((), "COMMAND"), (("separat",), "invalid choice"), (("separate",), "MIX")],
)
def test_wrong_usage_is_one_line(args, reason, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(args)
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and reason in error


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out.startswith("caresep 0.")


def _failing(monkeypatch, error):
    def run(args):
        raise error

    monkeypatch.setattr("espnet2_caresep.cli.separate.run", run)
    return cli.main(["separate", "a.wav"])


@pytest.mark.parametrize(
    "error, code, text",
    [
        (ValueError("this\nis wrong"), 2, "error: this is wrong\n"),
        (MemoryError(), 2, "error: MemoryError\n"),
        (RuntimeError("CUDA out of memory. Tried ..."), 2, "not enough memory"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_errors_of_the_user_are_one_line(monkeypatch, capsys, error, code, text):
    assert _failing(monkeypatch, error) == code
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("error", [TypeError("bug"), RuntimeError("shape mismatch")])
def test_bugs_are_not_hidden(monkeypatch, error):
    assert one_line(error) is None
    with pytest.raises(type(error)):
        _failing(monkeypatch, error)


def test_a_termination_signal_unwinds(monkeypatch):
    seen = []

    def run(args):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            seen.append("cleaned up")

    monkeypatch.setattr("espnet2_caresep.cli.separate.run", run)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        cli.main(["separate", "a.wav"])
    assert end.value.code == 128 + signal.SIGTERM and seen == ["cleaned up"]
    assert signal.getsignal(signal.SIGTERM) is before
