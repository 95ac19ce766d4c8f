"""The card of a packed model: every figure from the scores, the licence, and a note."""

import json

import pytest
import yaml

from espnet2_caresep.bin import model_card


def write_inputs(folder):
    summary = {"items": 2, "mean": 3.21, "median": 3.0, "infinite": 0, "undefined": 0}
    summary |= {"infinite_share": 0.0}
    results = {
        "about": {"data": "sounds", "parameters": 7},
        "test_sets": {"mixture_own": {"items": 2, "missing": 0}},
        "systems": {"model": {"mixture_own/sdr": summary}},
        "classes": {},
        "tagging": None,
    }
    (folder / "RESULTS.json").write_text(json.dumps(results))
    (folder / "config.yaml").write_text("labels: [bell, dog]\nmode: sep\n")
    return [
        *("--results", str(folder / "RESULTS.json")),
        *("--train_config", str(folder / "config.yaml")),
        *("--name", "model.zip", "--output", str(folder / "README.md")),
    ]


def test_card_says_what_was_measured_and_whose_it_is(tmp_path):
    options = write_inputs(tmp_path)
    model_card.main(
        [*options, "--license", "cc-by-4.0", "--license_note", "Real cats."]
    )
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["license"] == "cc-by-4.0" and head["pipeline_tag"] == "audio-to-audio"
    (result,) = head["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == 3.21
    assert "3.21 / 3.00" in card and "Real cats." in card and "bell, dog" in card


@pytest.mark.parametrize("content", ["", "[]", '{"about": {}}'])
def test_what_holds_no_scores_is_one_line(tmp_path, capsys, content):
    options = write_inputs(tmp_path)
    (tmp_path / "RESULTS.json").write_text(content)
    with pytest.raises(SystemExit) as stop:
        model_card.main(options)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and "RESULTS.json" in error
    assert not (tmp_path / "README.md").exists()
