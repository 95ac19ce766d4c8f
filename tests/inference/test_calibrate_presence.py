"""The presence score of a model, fitted on mixtures in which a sound is or is not."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import yaml

from espnet2_caresep.bin import calibrate_presence
from espnet2_caresep.inference.presence import PresenceRule
from espnet2_caresep.inference.separator import CaRESeparator

RATE = 8000
SOUNDS = ("bell", "dog", "rain", "wind")


class Stub:
    """Separates by name: a sound that is there takes half of the power, else 1 %.

    Which mixture it is, the mean of its samples tells.
    """

    def __init__(self):
        self.embedded = []

    def query(self, path):
        self.embedded.append(path)
        return path.split("/")[-1].split("_")[0]

    def separate_all(self, mix, queries, sample_rate):
        assert sample_rate == RATE
        heard = SOUNDS[:2] if mix.mean() > 0 else SOUNDS[2:]
        shares = {n: 0.5 if name in heard else 0.01 for n, name in queries.items()}
        stems = {n: mix * math.sqrt(share) for n, share in shares.items()}
        return SimpleNamespace(stems=stems)


@pytest.fixture
def folder(tmp_path):
    """Two mixtures, bell with dog and rain with wind, with two clips of each."""
    rng = np.random.default_rng(0)
    tables = {"wav.scp": {}}
    for pair in (SOUNDS[:2], SOUNDS[2:]):
        uid = "+".join(pair)
        path = tmp_path / f"{uid}.wav"
        mean = 0.05 if "bell" in pair else -0.05
        soundfile.write(path, mean + 0.1 * rng.standard_normal(2 * RATE), RATE)
        tables["wav.scp"][uid] = path
        for n, name in enumerate(pair, 1):
            for kind in ("enroll", "other"):
                path = tmp_path / f"{name}_{kind}.wav"
                path.touch()
                tables.setdefault(f"{kind}_spk{n}.scp", {})[uid] = path
            tables.setdefault(f"label_spk{n}", {})[uid] = name
    for name, table in tables.items():
        lines = [f"{uid} {value}\n" for uid, value in table.items()]
        (tmp_path / name).write_text("".join(lines))
    return tmp_path


def test_shares_of_present_and_absent_queries(folder):
    model = Stub()
    taken = calibrate_presence.shares(model, folder, seed=0)
    assert sorted(set(model.embedded)) == sorted(model.embedded)  # each one once
    assert taken["own"] == pytest.approx([10 * math.log10(0.5)] * 4, abs=1e-3)
    assert taken["other"] == pytest.approx(taken["own"])
    assert taken["absent"] == pytest.approx([-20.0] * 4, abs=1e-3)


def test_fit_finds_the_border_of_two_classes():
    # Equal spreads of 4 dB about -3 and -15 dB: the posterior is a logistic function
    # with its midpoint halfway and a width of variance / distance.
    rng = np.random.default_rng(0)
    present, absent = rng.normal(-3, 4, 4000), rng.normal(-15, 4, 4000)
    taken = {"own": [*present[:2000]], "other": [*present[2000:]], "absent": [*absent]}
    rule = calibrate_presence.fit(taken)
    assert rule["midpoint_db"] == pytest.approx(-9, abs=0.2)
    assert rule["width_db"] == pytest.approx(16 / 12, abs=0.1)
    assert PresenceRule(**rule).score(-9) == pytest.approx(0.5, abs=0.05)
    report = calibrate_presence.judge(taken, rule)
    # Normal distributions 3 standard deviations apart: area Phi(3 / sqrt 2)
    area = 0.5 * (1 + math.erf(3 / math.sqrt(2) / math.sqrt(2)))
    assert report["roc_auc_own"] == pytest.approx(area, abs=0.01)
    assert report["judged_present_own"] == pytest.approx(0.933, abs=0.02)
    assert report["judged_present_absent"] == pytest.approx(0.067, abs=0.02)


def run(folder, monkeypatch, *options):
    monkeypatch.setattr(CaRESeparator, "from_pretrained", lambda *a: Stub())
    calibrate_presence.main(
        [
            *("--model", "m", "--valid_dir", str(folder), "--test_dir", str(folder)),
            *("--output", str(folder / "presence.json"), *options),
        ]
    )


def test_the_model_gets_its_rule(folder, monkeypatch):
    config = folder / "config.yaml"
    config.write_text("extractor: caresep\nlabels: [bell]\n")
    run(folder, monkeypatch, "--config", str(config))
    report = json.loads((folder / "presence.json").read_text())
    assert yaml.safe_load(config.read_text()) == {
        "extractor": "caresep",
        "labels": ["bell"],
        "presence": report["presence"],
    }
    assert -20 < report["presence"]["midpoint_db"] < -3
    assert report["test"]["roc_auc_other"] == 1


def test_a_model_that_tells_nothing_apart_keeps_the_default_rule(
    folder, monkeypatch, capsys
):
    monkeypatch.setattr(calibrate_presence, "_shares", lambda *a: [-10.0] * 6)
    config = folder / "config.yaml"
    config.write_text("extractor: caresep\n")
    run(folder, monkeypatch, "--config", str(config))
    assert "the default rule stays" in capsys.readouterr().out
    assert config.read_text() == "extractor: caresep\n"
    report = json.loads((folder / "presence.json").read_text())
    assert report["presence"] is None and report["test"]["roc_auc_own"] == 0.5


@pytest.mark.parametrize(
    ("damage", "words"), [("labels", "absent"), ("table", "other_spk1.scp")]
)
def test_what_cannot_be_used_is_one_line(folder, monkeypatch, capsys, damage, words):
    if damage == "labels":  # no clip is a stranger to any mixture
        for n in (1, 2):
            table = folder / f"label_spk{n}"
            lines = [line.split()[0] for line in table.read_text().splitlines()]
            table.write_text("".join(f"{uid} bell\n" for uid in lines))
    else:
        (folder / "other_spk1.scp").unlink()
    with pytest.raises(SystemExit) as stop:
        run(folder, monkeypatch)
    error = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2 and words in error
    assert not (folder / "presence.json").exists()
