"""``caresep models``: what is found, and what it says of itself."""

import json
import zipfile

import pytest
import yaml

from espnet2_caresep.cli.main import main
from espnet2_caresep.inference import models
from espnet2_caresep.network.systems import SYSTEMS

RESULTS = {
    "about": {"data": "debsounds", "parameters": 7442533},
    "systems": {"model": {"mixture_other/sdr": {"mean": 3.263, "median": 2.7}}},
    "tagging": {"map": 0.358},
}
CONFIG = {"extractor": "caresep", "labels": ["dog", "rain"], "licence": "CC-BY-4.0"}
META = {"yaml_files": {"train_config": "exp/m/config.yaml"}}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home and an empty folder of shipped models."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(models, "shipped_models", list)
    return tmp_path


def _folder(folder, config=CONFIG, results=RESULTS):
    (folder / "exp/m/scores").mkdir(parents=True)
    meta = {"yaml_files": {"train_config": str(folder / "exp/m/config.yaml")}}
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta))
    (folder / "exp/m/config.yaml").write_text(yaml.safe_dump(config))
    if results:
        file = folder / "exp/m/scores/RESULTS.json"
        file.write_text(json.dumps(results))


def _zip(path, config=CONFIG, results=RESULTS):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta.yaml", yaml.safe_dump(META))
        archive.writestr("exp/m/config.yaml", yaml.safe_dump(config))
        archive.writestr("exp/m/scores/RESULTS.json", json.dumps(results))
    return path


def _list(capsys):
    assert main(["models", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_nothing_at_hand(home, capsys):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("no models") and str(home) in out
    assert _list(capsys) == []


def test_models_of_all_places(home, monkeypatch, capsys):
    shipped = _zip(home / "default.zip")
    monkeypatch.setattr(models, "shipped_models", lambda: [shipped])
    _folder(home / ".cache/espnet_model_zoo/0f3a", results=None)
    snapshot = ".cache/huggingface/hub/models--ann--dogs/snapshots/12ab"
    _folder(home / snapshot)
    # A model of another task is none of ours.
    _folder(home / ".cache/espnet_model_zoo/asr", {"encoder": "conformer"})
    rows = _list(capsys)
    names = [(row["origin"], row["name"]) for row in rows]
    expected = [("shipped", "default.zip"), ("cached", "0f3a"), ("cached", "ann/dogs")]
    assert names == expected
    assert rows[0]["scores"] == {"mixture SDR, other clip": 3.263, "mAP": 0.358}
    assert rows[0]["licence"] == "CC-BY-4.0" and rows[0]["labels"] == ["dog", "rain"]
    assert rows[1]["scores"] == {} and rows[2]["parameters"] == 7442533
    # An unpacked model is used by its experiment folder.
    assert rows[2]["path"] == str(home / snapshot / "exp/m")

    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert f"--model {shipped}" in out and "CC-BY-4.0" in out
    assert "mixture SDR, other clip: 3.26 dB" in out and "mAP: 0.36" in out
    assert "7.4 M parameters, 2 labels" in out and "score    not stated" in out


def test_a_model_card_states_the_licence(home, capsys):
    folder = home / ".cache/huggingface/hub/models--ann--dogs/snapshots/12ab"
    _folder(folder, CONFIG | {"licence": None})
    cards = {
        "---\nlicense: apache-2.0\ntags:\n- dogs\n---\n# Dogs\n": "apache-2.0",
        "# Dogs\n---\nlicense: apache-2.0\n---\n": None,
        "# Dogs\n": None,
    }
    for text, licence in cards.items():
        (folder / "README.md").write_text(text)
        assert _list(capsys)[0]["licence"] == licence


def test_a_zip_in_the_cache_is_used_itself(home, capsys):
    folder = home / ".cache/espnet_model_zoo/0f3a"
    _folder(folder)
    _zip(folder / "model.zip")
    (row,) = _list(capsys)
    assert (row["path"], row["name"]) == (str(folder / "model.zip"), "model.zip")


def test_damaged_models_are_listed_as_such(home, monkeypatch, capsys):
    broken = home / "broken.zip"
    broken.write_bytes(b"PK no zip")
    no_config = home / "empty.zip"
    with zipfile.ZipFile(no_config, "w") as archive:
        archive.writestr("meta.yaml", yaml.safe_dump(META))
    bad_yaml = home / "yaml.zip"
    with zipfile.ZipFile(bad_yaml, "w") as archive:
        archive.writestr("meta.yaml", "a: [")
    monkeypatch.setattr(models, "shipped_models", lambda: [broken, no_config, bad_yaml])
    rows = _list(capsys)
    assert len(rows) == 3 and all("cannot be read" in row["problem"] for row in rows)
    assert main(["models"]) == 0
    assert capsys.readouterr().out.count("problem") == 3


def test_large_texts_are_not_read(home, monkeypatch, capsys):
    shipped = _zip(home / "default.zip")
    monkeypatch.setattr(models, "shipped_models", lambda: [shipped])
    monkeypatch.setattr(models, "TEXT_LIMIT", 20)
    assert "too large" in _list(capsys)[0]["problem"]


def test_a_packed_model_is_recognised(tiny_zip):
    info = models.describe_model(tiny_zip, "cached", "tiny")
    assert info.system == "caresep" and info.labels == ("bell", "dog", "rain")
    assert info.path == tiny_zip and info.licence is None


def test_all_systems_of_the_package_are_known():
    assert set(models.SYSTEMS) == set(SYSTEMS)
