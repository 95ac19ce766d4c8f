"""``caresep tag``: formats, files, and what is refused."""

import csv
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from espnet2_caresep.cli.main import main
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.tags.events import Event, EventRule, find_events
from espnet2_caresep.inference.tags.formats import (
    FileTags,
    as_audacity,
    as_csv,
    as_json,
    as_text,
)
from espnet2_caresep.inference.tags.frame_scores import score_frames


@pytest.fixture
def clips(tmp_path, sound):
    """Two recordings and one file that is none."""
    soundfile.write(tmp_path / "a.wav", sound(1, 2.0)[0], 32000, "FLOAT")
    soundfile.write(tmp_path / "b.flac", sound(2, 0.5, 44100, 2).T, 44100)
    (tmp_path / "bad.wav").write_text("not audio")
    return tmp_path


def _tag(clips, model, *names, options=()):
    files = [str(clips / name) for name in names]
    return main(["tag", *files, "--model", str(model), *options])


def test_json_says_what_the_model_says(clips, tiny_zip, capsys):
    options = ("--format", "json", "--threshold", "0.3")
    assert _tag(clips, tiny_zip, "a.wav", "b.flac", options=options) == 0
    lines = capsys.readouterr().out.splitlines()
    separator = CaRESeparator.from_pretrained(tiny_zip, "cpu")
    for name, line in zip(("a.wav", "b.flac"), lines, strict=True):
        content, scores = json.loads(line), score_frames(separator, clips / name)
        assert content["file"] == str(clips / name)
        assert content["model"] == separator.fingerprint
        expected = find_events(scores, EventRule(0.3))
        assert [(e["label"], e["start"], e["end"]) for e in content["events"]] == [
            (e.label, round(e.start, 3), round(e.end, 3)) for e in expected
        ]
        given = {e["label"]: e["score"] for e in content["labels"]}
        named = {e.label for e in expected}
        for label, score in zip(scores.labels, scores.clip.tolist()):
            if score >= 0.3 or label in named:
                assert given.pop(label) == pytest.approx(score, abs=1e-4)
        assert not given


def test_one_file_per_recording_and_no_overwriting(clips, tiny_zip, capsys):
    out = clips / "out"
    options = ["--format", "audacity", "-o", str(out)]
    assert _tag(clips, tiny_zip, "a.wav", "b.flac", options=options) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["a.labels.txt", "b.labels.txt"]
    assert capsys.readouterr().out == ""
    before = (out / "a.labels.txt").read_bytes()
    assert _tag(clips, tiny_zip, "a.wav", options=options) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "a.labels.txt").read_bytes() == before
    assert _tag(clips, tiny_zip, "a.wav", options=[*options, "--overwrite"]) == 0


def test_folders_and_patterns(clips, tiny_zip, capsys):
    (clips / "in" / "deep").mkdir(parents=True)
    (clips / "a.wav").rename(clips / "in" / "a.wav")
    (clips / "b.flac").rename(clips / "in" / "deep" / "b.flac")
    options = ["--format", "csv", "-o", str(clips / "out")]
    assert _tag(clips, tiny_zip, "in", "in/*.wav", "in/*.mp3", options=options) == 2
    err = capsys.readouterr().err
    assert "in/*.mp3" in err and err.count("\n") == 1
    names = sorted(path.name for path in (clips / "out").rglob("*.csv"))
    assert names == ["a.tags.csv", "b.tags.csv"]
    assert (clips / "out" / "deep" / "b.tags.csv").exists()
    assert _tag(clips, tiny_zip, "in", options=["--format", "json"]) == 0
    assert capsys.readouterr().out.count("\n") == 2


def test_a_bad_file_does_not_stop_the_others(clips, tiny_zip, capsys):
    names = ("none.wav", "bad.wav", "a.wav")
    assert _tag(clips, tiny_zip, *names, options=["--format", "csv"]) == 2
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in err.splitlines()] == ["caresep tag"] * 2
    rows = list(csv.DictReader(out.splitlines()))
    assert {row["file"] for row in rows} <= {str(clips / "a.wav")}
    assert out.startswith("file,kind,label,score,start,end\n")


@pytest.mark.parametrize(
    "options, reason",
    [
        (["--threshold", "0"], "--threshold: must be above 0 and at most 1, not 0"),
        (["--threshold", "nan"], "--threshold: must be"),
        (["--top", "0"], "--top: must be at least 1, not 0"),
        (["--max-gap", "-1"], "--max-gap: must be at least 0"),
        (["--threads", "0"], "--threads: must be at least 1"),
        (["--format", "audacity"], "--output-dir"),
        (["-o", "FILE"], "is a file"),
    ],
)
def test_bad_options(clips, options, reason, capsys):
    options = [str(clips / "a.wav") if o == "FILE" else o for o in options]
    try:
        status = _tag(clips, "none.zip", "a.wav", "b.flac", options=options)
    except SystemExit as caught:
        status = caught.code
    err = capsys.readouterr().err
    assert status == 2 and reason in err and err.count("\n") == 1


def test_names_that_collide_and_models_that_are_missing(clips, sound, capsys):
    soundfile.write(clips / "a.flac", sound(1)[0], 32000)
    options = ["-o", str(clips / "out")]
    assert _tag(clips, "none.zip", "a.wav", "a.flac", options=options) == 2
    assert "would both become" in capsys.readouterr().err
    assert _tag(clips, "none.zip", "a.wav") == 2
    assert "none.zip: no such model" in capsys.readouterr().err


TAGS = FileTags(
    "d/a b.wav",
    3.5,
    "0123456789abcdef",
    0.5,
    {"dog, bark": 0.9, "rain": 0.25},
    ("dog, bark", 0.9),
    [Event("dog, bark", 0.32, 1.28, 0.95), Event("rain", 0.64, 3.5, 0.51234)],
)


def test_formats_are_read_back_by_others():
    assert json.loads(as_json(TAGS)) == {
        "file": "d/a b.wav",
        "seconds": 3.5,
        "model": "0123456789abcdef",
        "threshold": 0.5,
        "labels": [
            {"label": "dog, bark", "score": 0.9},
            {"label": "rain", "score": 0.25},
        ],
        "events": [
            {"label": "dog, bark", "start": 0.32, "end": 1.28, "score": 0.95},
            {"label": "rain", "start": 0.64, "end": 3.5, "score": 0.5123},
        ],
    }
    rows = list(csv.reader(as_csv(TAGS).splitlines()))
    assert rows[1] == ["d/a b.wav", "clip", "dog, bark", "0.9000", "0", "3.5"]
    assert rows[4] == ["d/a b.wav", "event", "rain", "0.5123", "0.64", "3.5"]
    # Audacity: start, end and text between tabs, in seconds.
    starts, ends = np.loadtxt(as_audacity(TAGS).splitlines(), usecols=(0, 1)).T
    assert starts.tolist() == [0.32, 0.64] and ends.tolist() == [1.28, 3.5]
    assert as_audacity(TAGS).splitlines()[0].split("\t")[2] == "dog, bark 0.95"
    assert "dog, bark  0.90" in as_text(TAGS) and "0.64 s -     3.50 s" in as_text(TAGS)


def test_a_model_that_never_learned_to_tag_says_so(clips, tiny_model, capsys):
    assert _tag(clips, tiny_model, "b.flac") == 0
    assert capsys.readouterr().err == ""
    folder = clips / "model"
    shutil.copytree(tiny_model, folder)
    config = folder / "config.yaml"
    config.write_text(config.read_text() + "mode: sep\n")
    assert _tag(clips, folder, "b.flac") == 0
    assert "was trained to separate, not to tag" in capsys.readouterr().err


def test_text_says_what_was_most_likely():
    empty = FileTags("a.wav", 1.0, "f", 0.5, {}, ("rain", 0.31), [])
    assert "nothing reaches 0.5; the most likely is rain, 0.31" in as_text(empty)
    silent = FileTags("a.wav", 1.0, "f", 0.5, {}, ("rain", 0.0), [])
    assert "it is silent" in as_text(silent)


@pytest.mark.parametrize("command", ["tag", "models"])
def test_help_is_quick(command):
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "espnet2_caresep.cli.main", command, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and f"usage: caresep {command}" in done.stdout
    assert time.monotonic() - start < 1
