"""The ``caresep`` command through its real entry point."""

import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile


def _caresep(*args):
    return subprocess.run(
        [sys.executable, "-m", "espnet2_caresep.cli.main", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def files(tmp_path, sound):
    """A stereo mixture at 44.1 kHz and a query."""
    mixture = np.round(sound(0, 1.5, 44100, channels=2) * 2**15) / 2**15
    soundfile.write(tmp_path / "mix.wav", mixture.T, 44100, "FLOAT")
    soundfile.write(tmp_path / "query.flac", sound(1).T, 32000)
    return tmp_path


def _separate(files, model, *more, mixture="mix.wav", query="query.flac", out="o.wav"):
    return _caresep(
        "separate",
        files / mixture,
        "--query",
        files / query,
        "-o",
        files / out,
        "--model",
        model,
        "--threads",
        1,
        *more,
    )


def test_help_is_quick():
    for command in ((), ("separate",)):
        start = time.monotonic()
        done = _caresep(*command, "--help")
        assert done.returncode == 0 and "usage: caresep" in done.stdout
        assert time.monotonic() - start < 1


def test_help_imports_no_torch():
    code = (
        "import sys, espnet2_caresep.cli.main as m; m.get_parser(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'espnet2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_separates_and_adds_up(files, tiny_zip):
    done = _separate(files, tiny_zip, "--residual", files / "rest.wav")
    assert (done.returncode, done.stderr) == (0, "")
    mixture, _ = soundfile.read(files / "mix.wav", dtype="float32")
    target, rate = soundfile.read(files / "o.wav", dtype="float32")
    rest, _ = soundfile.read(files / "rest.wav", dtype="float32")
    assert rate == 44100 and soundfile.info(files / "o.wav").subtype == "FLOAT"
    assert np.array_equal(target + rest, mixture) and np.abs(target).max() > 0
    # A second run refuses to overwrite what the first one made, unless told to.
    before = (files / "o.wav").read_bytes()
    again = _separate(files, tiny_zip)
    assert again.returncode == 2 and "--overwrite" in again.stderr
    assert (files / "o.wav").read_bytes() == before
    flac = _separate(files, tiny_zip, "--overwrite", out="o.flac")
    assert flac.returncode == 0
    assert soundfile.info(files / "o.flac").subtype == "PCM_24"


@pytest.fixture
def bad(files):
    """Everything that can be wrong with a file, by name."""
    rate = 32000
    tone = np.sin(np.arange(rate) / 9).astype(np.float32)
    (files / "folder.wav").mkdir()
    (files / "text.wav").write_text("not audio")
    soundfile.write(files / "empty.wav", tone[:0], rate)
    soundfile.write(files / "one.wav", tone[:1], rate)
    soundfile.write(files / "short.wav", tone[:1000], rate)
    soundfile.write(files / "silent.wav", 0 * tone, rate)
    soundfile.write(
        files / "nan.wav", np.where(tone > 0.9, np.nan, tone), rate, "FLOAT"
    )
    return files


BAD = [
    ({"mixture": "none.wav"}, "no such file"),
    ({"mixture": "folder.wav"}, "is a directory"),
    ({"mixture": "text.wav"}, "cannot be read as audio"),
    ({"mixture": "empty.wav"}, "is empty"),
    ({"mixture": "nan.wav"}, "NaN"),
    ({"query": "none.wav"}, "no such file"),
    ({"query": "nan.wav"}, "NaN"),
    ({"out": "o.xyz"}, "must end in .wav or .flac"),
    ({"out": "no/o.wav"}, "no such folder"),
    ({"out": "mix.wav"}, "--overwrite"),
    # These are found with the model loaded.
    ({"mixture": "one.wav"}, "shorter than one analysis window (32 ms)"),
    ({"mixture": "short.wav"}, "shorter than one analysis window"),
    ({"query": "silent.wav"}, "query is silent"),
]


@pytest.mark.parametrize(
    "changes, reason", BAD, ids=[",".join(c.values()) for c, _ in BAD]
)
def test_bad_files(bad, tiny_model, changes, reason):
    _is_one_line(_separate(bad, tiny_model, **changes), reason)
    assert not (bad / "o.wav").exists()


def test_bad_options(files, tiny_model):
    same = files / "o.wav"
    _is_one_line(_separate(files, tiny_model, "--residual", same), "named twice")
    done = _separate(files, tiny_model, "--overwrite", out="mix.wav")
    _is_one_line(done, "named twice")
    done = _separate(files, tiny_model, "--subtype", "float", out="o.flac")
    _is_one_line(done, "FLAC holds integers")
    _is_one_line(_separate(files, tiny_model, "--threads", 0), "at least 1")
    _is_one_line(_separate(files, files / "none.zip"), "no such model")
    _is_one_line(_separate(files, tiny_model, "--nonsense"), "unrecognized")
    _is_one_line(_caresep(), "COMMAND")


def _is_one_line(done, reason):
    assert done.returncode == 2, done.stderr
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert reason in done.stderr and "caresep" in done.stderr
