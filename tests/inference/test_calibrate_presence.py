"""The presence score of a model, fitted on mixtures in which a sound is or is not."""

import json
import math

import numpy as np
import pytest
import soundfile
import yaml

from espnet2_caresep.bin import calibrate_presence
from espnet2_caresep.inference.presence.listening_rule import ListeningRule, Signs
from espnet2_caresep.inference.separator import CaRESeparator
from espnet2_caresep.inference.stream import Block

RATE = 8000
SOUNDS = ("bell", "dog", "rain", "wind")
PRESENT, ABSENT = (0.5, 0.9, -0.5, 0.9), (0.01, 0.1, -2.0, 0.2)


class Stub:
    """Separates by name: a sound that is there takes half of the power, else 1 %.

    Which mixture it is, the mean of its samples tells. What it separates and what is
    there it tags rightly. It is a stream of its own, and judges itself.
    """

    def __init__(self):
        self.embedded = []

    def query(self, path):
        self.embedded.append(path)
        return path.split("/")[-1].split("_")[0]

    def open_stream(self, queries, sample_rate, channels):
        assert (sample_rate, channels) == (RATE, 1)
        assert isinstance(self.presence_rule, ListeningRule)
        self.queries, self.judge = queries, self
        return self

    def push(self, block):
        self.heard = SOUNDS[:2] if block.mean() > 0 else SOUNDS[2:]

    def finish(self):
        return Block(np.zeros((len(self.queries), 1, 1)), np.zeros((1, 1)))

    def signs(self):
        there = [name in self.heard for name in self.queries]
        return [[Signs(*(PRESENT if x else ABSENT))] for x in there]


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
            for table in (f"spk{n}", f"enroll_spk{n}", f"other_spk{n}"):
                kind = table.split("_")[0]
                path = tmp_path / f"{name}_{kind}.wav"
                path.touch()
                tables.setdefault(f"{table}.scp", {})[uid] = path
            tables.setdefault(f"label_spk{n}", {})[uid] = name
    for name, table in tables.items():
        lines = [f"{uid} {value}\n" for uid, value in table.items()]
        (tmp_path / name).write_text("".join(lines))
    return tmp_path


def test_signs_of_present_and_absent_queries(folder):
    model = Stub()
    model.presence_rule = ListeningRule()
    found = calibrate_presence.find_signs(model, folder, seed=0)
    assert sorted(set(model.embedded)) == sorted(model.embedded)  # each one once
    assert found["own"] == found["other"] == [[PRESENT]] * 4
    assert found["absent"] == [[ABSENT]] * 4 * calibrate_presence.STRANGERS


def test_fit_finds_the_border_of_two_classes():
    # Equal spreads of 0.4 about 0.9 and -0.3: the posterior is a logistic function with
    # its midpoint halfway and a slope of distance / variance.
    rng = np.random.default_rng(0)
    present, absent = rng.normal(0.9, 0.4, 4000), rng.normal(-0.3, 0.4, 4000)
    # The shares tell nothing, the tags of the mixture speak against presence, and own
    # clips are told by their spectrum: other clips and absent sounds are the question.
    found = {
        "own": [[Signs(0.1, x, -5.0, 1.0)] for x in present],
        "other": [[Signs(0.1, x, -5.0, 0.0)] for x in present],
        "absent": [*[[Signs(0.1, x, rng.normal(-4.5), 0.0)] for x in absent], []],
    }
    rule = calibrate_presence.fit(found)
    assert rule["share_weight"] == rule["mixture_weight"] == 0
    assert rule["spectrum_weight"] > 0
    assert rule["target_weight"] == pytest.approx(1.2 / 0.4**2, rel=0.1)
    score = ListeningRule(**rule).score([Signs(0.1, 0.3, -5.0, 0.0)])
    assert score == pytest.approx(0.5, abs=0.05)
    report = calibrate_presence.judge(found, rule)
    # Normal distributions 3 standard deviations apart: area Phi(3 / sqrt 2)
    area = 0.5 * (1 + math.erf(3 / math.sqrt(2) / math.sqrt(2)))
    assert report["roc_auc_other"] == pytest.approx(area, abs=0.01)
    assert report["roc_auc_own"] > 0.99 and report["judged_present_own"] > 0.99
    assert report["judged_present_other"] == pytest.approx(0.933, abs=0.02)
    assert report["judged_present_absent"] == pytest.approx(0.067, abs=0.02)
    assert report["median_share_db_absent"] == -10 and report["queries"] == 12001
    # Five of a hundred present other clips may be taken for absent: below -1.645
    # standard deviations of the present, 1.355 above the mean of the absent.
    assert report["surely_absent_other"] == pytest.approx(0.05, abs=0.005)
    assert report["surely_absent_absent"] == pytest.approx(0.912, abs=0.02)
    # As many absent ones may be taken for present: above 1.645 deviations of the
    # absent, 1.355 below the mean of the present.
    assert report["surely_present_absent"] == pytest.approx(0.05, abs=0.005)
    assert report["surely_present_other"] == pytest.approx(0.912, abs=0.02)
    # So half of the absent ones are written 40 dB below what they took.
    assert report["median_faded_db_absent"] == -50
    assert report["median_faded_db_own"] == -10


def test_fit_weighs_all_signs():
    """Normal signs: the weights are the distances of the means over the variances."""
    rng = np.random.default_rng(0)
    distance = np.array([0.3, 0.4, 1.0, 0.2])
    spread = np.array([0.2, 0.2, 2.0, 0.2])

    def draw(count, means):
        return [[Signs(*row)] for row in means + spread * rng.normal(size=(count, 4))]

    found = {
        "own": draw(4000, -5 + distance),
        "other": draw(4000, -5 + distance),
        "absent": draw(4000, [-5, -5, -5, -5]),
    }
    rule = calibrate_presence.fit(found)
    share, target, mixture, spectrum = distance / spread**2
    assert rule["share_weight"] == pytest.approx(share, rel=0.1)
    assert rule["target_weight"] == pytest.approx(target, rel=0.1)
    assert rule["mixture_weight"] == pytest.approx(mixture, rel=0.2)
    assert rule["spectrum_weight"] == pytest.approx(spectrum, rel=0.1)
    # Two kinds are present, one is absent, and each weighs the same.
    halfway = ListeningRule(**rule).score([Signs(*(-5 + distance / 2))])
    assert halfway == pytest.approx(2 / 3, abs=0.05)


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
    assert report["presence"]["target_weight"] > 0
    assert report["presence"]["mixture_weight"] > 0
    assert report["test"]["roc_auc_other"] == 1


def test_a_model_that_tells_nothing_apart_keeps_the_default_rule(
    folder, monkeypatch, capsys
):
    monkeypatch.setattr(
        calibrate_presence,
        "_signs",
        lambda separator, mixture, queries: [[Signs(0.1, 0.0, -1.0, 0.5)]]
        * len(queries),
    )
    config = folder / "config.yaml"
    config.write_text("extractor: caresep\n")
    run(folder, monkeypatch, "--config", str(config))
    assert "the default rule stays" in capsys.readouterr().out
    assert config.read_text() == "extractor: caresep\n"
    report = json.loads((folder / "presence.json").read_text())
    assert report["presence"] is None and report["test"] is None


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
