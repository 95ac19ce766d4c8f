"""``caresep doctor``: it finds what is wrong, and only that."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from espnet2_caresep.cli.main import main
from espnet2_caresep.inference.presence.fade import Fade
from espnet2_caresep.inference.results import Separation
from espnet2_caresep.inference.self_test import RATE, run_self_test


@pytest.fixture
def home(tmp_path, monkeypatch):
    """No banks, no caches, no programs, no model that was installed along."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("XDG_DATA_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("espnet2_caresep.inference.models.shipped_models", list)
    return tmp_path


def _doctor(capsys, *options):
    status = main(["doctor", "--device", "cpu", "--json", *options])
    content = json.loads(capsys.readouterr().out)
    assert content["ok"] == (status == 0)
    checks = {}
    for check in content["checks"]:
        checks.setdefault(check["name"], []).append(check)
    return status, checks


def test_without_a_model_an_untrained_network_is_tried(home, capsys):
    status, checks = _doctor(capsys)
    assert status == 0
    assert "untrained network on cpu" in checks["self-test"][0]["text"]
    assert checks["model"][0]["status"] == checks["ffmpeg"][0]["status"] == "note"
    assert str(home) in checks["banks"][0]["text"]
    assert "MP3" in checks["formats"][0]["text"]
    assert {"python", "torch", "espnet", "safetensors", "cpu"} <= set(checks)


def test_a_model_is_tried_itself(home, tiny_zip, capsys):
    assert main(["doctor", "--model", str(tiny_zip), "--device", "cpu"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert str(tiny_zip) in last and "target + residual = mixture" in last
    assert "SDR 3.9 ->" in last


def test_what_is_wrong_is_found(home, tiny_zip, monkeypatch, capsys):
    broken = home / "broken.zip"
    broken.write_bytes(tiny_zip.read_bytes()[:-100])
    status, checks = _doctor(capsys, "--model", str(broken))
    assert status == 2 and checks["self-test"][0]["status"] == "fail"
    monkeypatch.setattr("espnet2_caresep.cli.doctor.PACKAGES", ("no_such_package",))
    status, checks = _doctor(capsys)
    assert status == 2
    assert checks["no_such_package"][0]["text"] == "is not installed"
    assert checks["self-test"][0]["status"] == "ok"
    status, checks = _doctor(capsys, "--device", "toaster")
    assert status == 2 and "toaster" in checks["self-test"][0]["text"]


def test_ffmpeg_is_found_and_asked(home, capsys):
    (home / "bin").mkdir()
    program = home / "bin" / "ffmpeg"
    program.write_text("#!/bin/sh\necho ffmpeg version 7.1\n")
    program.chmod(0o755)
    _, checks = _doctor(capsys)
    assert checks["ffmpeg"][0]["status"] == "ok"
    assert checks["ffmpeg"][0]["text"] == f"ffmpeg version 7.1 ({program})"
    program.write_text("#!/bin/sh\nexit 1\n")
    _, checks = _doctor(capsys)
    assert "does not run" in checks["ffmpeg"][0]["text"]


def _fake(change):
    def separate(mixture, query, rate):
        target, residual = change(mixture, query)
        return Separation(target, residual, rate, 1.0, Fade())

    return SimpleNamespace(separate=separate)


def test_the_self_test_sees_what_is_not_right():
    perfect = run_self_test(_fake(lambda mix, query: (query, mix - query)))
    assert perfect.problem is None and perfect.sdr_after > 100
    assert perfect.sdr_before == pytest.approx(3.9, abs=0.1)
    assert run_self_test(_fake(lambda mix, query: (mix, 0 * mix))).sdr_after < 4
    wrong = {
        "do not add up": lambda mix, query: (query, mix),
        "is silent": lambda mix, query: (0 * mix, mix),
        "is not finite": lambda mix, query: (mix + np.nan, mix),
        "has the shape": lambda mix, query: (mix[:, :RATE], mix),
    }
    for reason, change in wrong.items():
        assert reason in run_self_test(_fake(change)).problem


def test_help_is_quick():
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "espnet2_caresep.cli.main", "doctor", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "usage: caresep doctor" in done.stdout
    assert time.monotonic() - start < 1
