"""``caresep scene``: what lies in the folder, and what is refused."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from espnet2_caresep.cli.main import main


@pytest.fixture
def recording(tmp_path, sound):
    """A stereo recording of 16 bits at 44.1 kHz."""
    path = tmp_path / "street.wav"
    soundfile.write(path, sound(0, 1.5, 44100, channels=2).T, 44100, "PCM_16")
    return path


def _scene(recording, model, out, *options):
    files = [str(recording), "--model", str(model), "-o", str(out)]
    return main(["scene", *files, *options])


def test_a_scene_is_whole_and_replaced_only_when_told(
    recording, tiny_zip, tmp_path, capsys
):
    out = tmp_path / "out"
    assert _scene(recording, tiny_zip, out, "--threshold", "0.05") == 0
    assert "report.html" in capsys.readouterr().out
    names = sorted(path.name for path in out.iterdir())
    assert names == ["report.html", "residual.wav", "stems", "timeline.json"]
    timeline = json.loads((out / "timeline.json").read_text())
    assert timeline["sounds"] and timeline["events"]
    mixture, rate = soundfile.read(recording, dtype="float32")
    total, _ = soundfile.read(out / timeline["residual"]["file"], dtype="float32")
    for entry in timeline["sounds"]:
        stem, stem_rate = soundfile.read(out / entry["stem"], dtype="float32")
        assert stem_rate == rate and stem.shape == mixture.shape
        total = total + stem
    assert np.array_equal(total, mixture)
    stems = {path.name for path in (out / "stems").iterdir()}
    assert stems == {entry["stem"].split("/")[1] for entry in timeline["sounds"]}

    page = (out / "report.html").read_bytes()
    assert _scene(recording, tiny_zip, out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "report.html").read_bytes() == page
    # An earlier scene leaves nothing behind; a person's own file stays.
    (out / "notes.txt").write_text("mine")
    options = ("--threshold", "1", "--overwrite", "--subtype", "pcm16")
    assert _scene(recording, tiny_zip, out, *options) == 0
    assert list((out / "stems").iterdir()) == []
    assert (out / "notes.txt").read_text() == "mine"
    assert soundfile.info(out / "residual.wav").subtype == "PCM_16"
    assert "No sound reached the threshold" in (out / "report.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "street.wav"]


def test_a_scene_that_fails_leaves_nothing(recording, tiny_zip, tmp_path, monkeypatch):
    from espnet2_caresep.inference.scene import folder

    def full(*unused):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "render_scene", full)
    assert _scene(recording, tiny_zip, tmp_path / "out") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["street.wav"]


def test_a_long_scene_has_its_players_beside_the_page(
    recording, tiny_zip, tmp_path, monkeypatch
):
    from espnet2_caresep.inference.scene import folder

    out = tmp_path / "out"
    assert _scene(recording, tiny_zip, out, "--threshold", "0.05") == 0
    page = (out / "report.html").read_text()
    assert "data:audio" in page
    monkeypatch.setattr(folder, "IN_PAGE", 1)
    options = ("--threshold", "0.05", "--overwrite")
    assert _scene(recording, tiny_zip, out, *options) == 0
    page = (out / "report.html").read_text()
    timeline = json.loads((out / "timeline.json").read_text())
    players = sorted(path.name for path in (out / "listen").iterdir())
    assert "data:audio" not in page and len(players) == 2 + len(timeline["sounds"])
    for player in players:
        assert f'src="listen/{player}"' in page
        assert abs(soundfile.info(out / "listen" / player).duration - 1.5) < 0.1
    # A shorter scene in its place leaves none of them.
    monkeypatch.setattr(folder, "IN_PAGE", 600)
    assert _scene(recording, tiny_zip, out, *options) == 0
    assert list((out / "listen").iterdir()) == []


def test_what_is_refused(recording, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.png").write_text("")
    cases = [
        ((recording, "none.zip", tmp_path / "other", "--overwrite"), "other files"),
        ((recording, "none.zip", recording), "is a file"),
        ((tmp_path / "no.wav", "none.zip", tmp_path / "o"), "no such file"),
        ((recording, "none.zip", tmp_path / "o"), "no such model"),
    ]
    for given, reason in cases:
        assert _scene(*given) == 2
        out, err = capsys.readouterr()
        assert reason in err and err.count("\n") == 1 and out == ""
    for option in (["--top", "x"], ["--threshold", "2"]):
        with pytest.raises(SystemExit) as caught:
            _scene(recording, "none.zip", tmp_path / "o", *option)
        assert caught.value.code == 2
    assert (tmp_path / "other" / "photo.png").exists()
    assert not (tmp_path / "o").exists()


def test_help_is_quick():
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "espnet2_caresep.cli.main", "scene", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "usage: caresep scene" in done.stdout
    assert time.monotonic() - start < 1
