"""``caresep bank``: from clips to a query and back."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from espnet2_caresep.cli.main import main
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.banks.files import load_bank


@pytest.fixture
def clips(tmp_path, sound, monkeypatch):
    """Four clips; banks go to a folder of their own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for seed in range(4):
        soundfile.write(tmp_path / f"{seed}.wav", sound(seed, 0.4)[0], 32000)
    return tmp_path


def _add(clips, model, bank, *names, options=()):
    files = [str(clips / name) for name in names]
    return main(["bank", "add", bank, *files, "--model", str(model), *options])


def test_from_clips_to_a_query(clips, tiny_zip, capsys):
    assert _add(clips, tiny_zip, "bell", "0.wav", "1.wav") == 0
    path = clips / "data" / "caresep" / "banks" / "bell.safetensors"
    assert capsys.readouterr().out == f"bell: 2 added, 2 in all ({path})\n"
    # A clip that is in the bank is not counted twice, whatever its name.
    (clips / "again.wav").write_bytes((clips / "0.wav").read_bytes())
    assert _add(clips, tiny_zip, "bell", "again.wav", "2.wav") == 0
    out, err = capsys.readouterr()
    assert "1 added, 3 in all" in out and "again.wav: is in the bank already" in err

    separator = CaRESeparator.from_pretrained(tiny_zip, "cpu")
    bank = load_bank("@bell", separator.fingerprint)
    expected = [separator.embed(clips / f"{i}.wav") for i in range(3)]
    assert np.allclose(bank.query.embedding, np.mean(expected, 0), atol=1e-6)
    assert [source.file for source in bank.sources] == ["0.wav", "1.wav", "2.wav"]

    assert main(["bank", "show", "bell", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["clips"] == 3 and shown["fingerprint"] == separator.fingerprint
    assert [s["distance"] for s in shown["sources"]] == pytest.approx(
        bank.distances.tolist(), abs=1e-4
    )
    assert main(["bank", "show", "@bell"]) == 0
    text = capsys.readouterr().out
    assert bank.sources[0].sha256[:12] in text and separator.fingerprint in text

    assert _add(clips, tiny_zip, "bell", "3.wav", options=["--overwrite"]) == 0
    assert "1 added, 1 in all" in capsys.readouterr().out
    assert main(["bank", "list"]) == 0
    assert capsys.readouterr().out.startswith("bell  1 clip, 0.4 s")
    assert main(["bank", "remove", "bell"]) == 0
    assert not path.exists()
    assert main(["bank", "list"]) == 0
    assert "no banks in" in capsys.readouterr().out


def test_a_bad_clip_does_not_stop_the_others(clips, tiny_zip, capsys):
    (clips / "bad.wav").write_text("no audio")
    assert _add(clips, tiny_zip, "bell", "bad.wav", "0.wav", "none.wav") == 2
    out, err = capsys.readouterr()
    assert "1 added, 1 in all" in out and err.count("caresep bank: error:") == 2
    # Where nothing is left, no bank is made.
    assert _add(clips, tiny_zip, "bad", "bad.wav") == 2
    assert main(["bank", "list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["bell"]


def test_an_outlier_is_warned_of(clips, tiny_zip, capsys, monkeypatch):
    monkeypatch.setattr("espnet2_caresep.inference.banks.bank.FAR", 0.1)
    assert _add(clips, tiny_zip, "bell", "0.wav", "1.wav", "2.wav") == 0
    assert "is unlike the other clips" in capsys.readouterr().err
    assert main(["bank", "show", "bell"]) == 0
    assert "outlier" in capsys.readouterr().out


def test_banks_at_a_path(clips, tiny_zip, capsys):
    path = clips / "sub" / "b.safetensors"
    assert _add(clips, tiny_zip, str(path), "0.wav") == 0
    assert main(["bank", "list", str(clips / "sub")]) == 0
    assert "b  1 clip" in capsys.readouterr().out
    # What is no bank is not deleted.
    other = clips / "weights.safetensors"
    other.write_bytes(b"precious")
    assert main(["bank", "remove", str(path), str(other)]) == 2
    assert path.exists() and other.exists()
    assert main(["bank", "remove", str(path)]) == 0 and not path.exists()


def test_a_damaged_bank_is_named_and_can_be_removed(clips, capsys):
    folder = clips / "data" / "caresep" / "banks"
    folder.mkdir(parents=True)
    (folder / "bell.safetensors").write_bytes(b"half a bank")
    assert main(["bank", "list"]) == 2
    assert "is damaged" in capsys.readouterr().err
    assert main(["bank", "remove", "bell"]) == 0


def test_a_bank_of_another_model_is_not_extended(clips, tiny_zip, capsys):
    assert _add(clips, tiny_zip, "bell", "0.wav") == 0
    from safetensors.numpy import load_file, save_file

    path = clips / "data" / "caresep" / "banks" / "bell.safetensors"
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() | {"fingerprint": "f" * 16}
    save_file(load_file(path), path, metadata)
    before = path.read_bytes()
    capsys.readouterr()
    assert _add(clips, tiny_zip, "bell", "1.wav") == 2
    err = capsys.readouterr().err
    assert "was made with another model" in err and err.count("\n") == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "options, reason",
    [
        (["show", "none"], "none: no such bank"),
        (["show", "../x"], "names no bank"),
        (["remove", "none"], "no such bank"),
        (["list", "nowhere"], "no such folder"),
        (["add", "a/b", "x.wav", "--model", "none.zip"], "names no bank"),
        (["add", "bell", "x.wav", "--model", "none.zip"], "no such model"),
    ],
)
def test_what_is_refused(clips, options, reason, capsys):
    assert main(["bank", *options]) == 2
    out, err = capsys.readouterr()
    assert reason in err and err.count("\n") == 1 and out == ""


def test_help_is_quick():
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "espnet2_caresep.cli.main", "bank", "add", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "usage: caresep bank add" in done.stdout
    assert time.monotonic() - start < 1
