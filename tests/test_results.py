"""Scoring, results page and gallery on a small test set with known answers."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import yaml

from espnet2_caresep.bin import gallery, scoring
from espnet2_caresep.scoring import metrics, results
from espnet2_caresep.scoring.evaluation import evaluate_tags
from espnet2_caresep.scoring.metrics import sdr

GAINS = [0.0, 0.5, 0.9, 1.0]  # what the "model" of this test does to a target


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Four targets in one set of each kind; the model scales each by its gain."""
    folder = tmp_path_factory.mktemp("work")
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir()

    def save(name, samples):
        path = folder / "audio" / f"{name}.wav"
        soundfile.write(path, samples.astype(np.float32), 32000, "FLOAT")
        return path

    tables = {}
    for i, gain in enumerate(GAINS):
        target = rng.standard_normal(16000) * np.linspace(0, 1, 16000) / 4
        other = rng.standard_normal(16000) * np.linspace(1, 0, 16000) / 4
        files = {
            "target": save(f"target{i}", target),
            "other": save(f"other{i}", other),
            "mixture": save(f"mixture{i}", target + other),
            "scaled": save(f"scaled{i}", gain * target),
            "damped": save(f"damped{i}", 0.1 * other),
        }
        for kind, source, output in (
            ("mixture", "mixture", "scaled"),
            ("matched", "mixture", "scaled"),
            ("clean", "target", "scaled"),
            ("silence", "other", "damped"),
        ):
            for query in ("own", "other"):
                name = f"test_{kind}_{query}"
                rows = tables.setdefault(name, {})
                lines = {
                    f"sets/{name}/wav.scp": files[source],
                    f"sets/{name}/enroll_spk1.scp": files["target"],
                    f"sets/{name}/labels": f"{'ab'[i % 2]} extra",
                    f"out/{name}/spk1.scp": files[output],
                }
                if kind != "silence":
                    lines[f"sets/{name}/spk1.scp"] = files["target"]
                for path, value in lines.items():
                    rows.setdefault(path, []).append(f"pair{i}_1 {value}\n")
    for rows in tables.values():
        for path, lines in rows.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text("".join(lines))
    (folder / "labels").write_text("c1 a\nc2 b\nc3 a b\nc4 z\n")
    tags = "uid\ta\tb\tq\nc1\t.9\t.2\t0\nc2\t.8\t.1\t0\nc3\t.7\t.6\t.1\n"
    (folder / "tags.tsv").write_text(tags)
    return folder


@pytest.fixture(scope="module")
def scored(work, tiny_model):
    command = [
        *(sys.executable, "-m", "espnet2_caresep.bin.scoring"),
        *("--test_dir", work / "sets", "--inference_dir", work / "out"),
        *("--train_config", tiny_model / "config.yaml"),
        *("--tags", work / "tags.tsv", "--labels", work / "labels"),
        *("--output_dir", work / "scores", "--data", "four noises"),
        *("--data_list", work / "labels", "--command", "run.sh --x | y"),
        *("--wall_time", "125.4"),
    ]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    text = (work / "scores" / "RESULTS.json").read_text()

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_known_answers(scored):
    model = scored["systems"]["model"]
    for name in ("mixture_own", "matched_other", "clean_own", "clean_other"):
        entry = model[f"{name}/sdr"]
        # Gains 0, 0.5, 0.9: 0, 6.02 and 20 dB; gain 1 is exact, out of the mean.
        assert entry["mean"] == pytest.approx((0 + 6.0206 + 20) / 3, abs=0.01)
        assert entry["median"] == pytest.approx((6.0206 + 20) / 2, abs=0.01)
        assert (entry["items"], entry["infinite"]) == (4, 1)
        assert entry["infinite_share"] == 0.25
    assert model["silence_own/silence_sdr"]["mean"] == pytest.approx(20, abs=0.01)
    assert "clean_own/sdri" not in model and "silence_own/sdr" not in model
    # Gain 0 has no part in the reference: minus infinity counts as -100 dB.
    assert model["mixture_own/si_sdr"]["infinite"] >= 1


def test_baselines_and_oracles_stand_beside_the_model(scored):
    systems = scored["systems"]
    assert next(iter(systems)) == "model" and len(systems) == 5
    half = systems["constant mask 0.5"]
    assert half["clean_own/sdr"]["mean"] == pytest.approx(6.02, abs=0.01)
    assert half["silence_own/silence_sdr"]["mean"] == pytest.approx(6.02, abs=0.01)
    assert half["mixture_own/sdr"]["mean"] == pytest.approx(3.0, abs=0.2)
    ideal = systems["oracle: ideal ratio mask"]["mixture_own/sdr"]["mean"]
    phase = systems["oracle: phase-sensitive mask"]["mixture_own/sdr"]["mean"]
    assert 3 < ideal < phase


def test_tagging(scored):
    tagging = scored["tagging"]
    # a: ranked c1 +, c2 -, c3 +: (1 + 2/3) / 2. b: c3 +, c1 -, c2 +: the same.
    assert tagging["map"] == pytest.approx((1 + 2 / 3) / 2)
    assert (tagging["items"], tagging["missing"], tagging["dropped"]) == (3, 1, 1)
    assert tagging["unknown_labels"] == ["z"]
    assert tagging["per_class"]["q"] is None


def test_record_is_complete(scored):
    about = scored["about"]
    assert about["seed"] == 7 and about["wall_time_seconds"] == 125.4
    assert about["parameters"] > 1000 and about["configuration"] == "conf/tiny.yaml"
    # The system first, then its options: other systems have other options.
    assert about["extractor"] == "caresep" and "embed_dim=8" in about["network"]
    assert list(about).index("extractor") + 1 == list(about).index("network")
    assert about["data"] == "four noises" and "SHA-256" in about["list_labels"]


def test_page_is_rendered_from_the_json(scored, work):
    page = (work / "scores" / "RESULTS.md").read_text()
    assert page == results.render(scored)
    assert "| **model** | 8.67 / 13.01 |" in page
    assert "| mixture, other | matched, own |" in page and "- **matched**:" in page
    assert "| extractor | caresep |" in page
    assert "2 min 5 s" in page and "run.sh --x \\| y" in page
    assert "25.0 % infinite" in page
    for label in "ab":
        assert f"| {label} | 2 |" in page
    assert not {"nan", "None"} & set(page.replace("|", " ").split())


def test_every_item_is_kept(scored, work):
    rows = (work / "scores" / "items.tsv").read_text().splitlines()
    table = [row.split("\t") for row in rows]
    assert table[0] == ["test_set", "uid", "label", "system", "score", "dB"]
    # 5 systems, 4 items, own and other: scores of mixture, matched, clean, silence.
    assert len(table) - 1 == 5 * 4 * 2 * (5 + 5 + 3 + 1)
    first = next(r for r in table if r[1] == "pair1_1" and r[4] == "sdr")
    assert first[2] == "b" and float(first[5]) == pytest.approx(6.02, abs=0.01)


def _score(work, model, capsys, **changes):
    options = {
        "test_dir": work / "sets",
        "inference_dir": work / "out",
        "train_config": model / "config.yaml",
        "output_dir": work / "more",
        **changes,
    }
    command = [str(part) for k, v in options.items() for part in (f"--{k}", v)]
    scoring.main(command)
    return capsys.readouterr().out


def test_missing_outputs_are_counted(work, tiny_model, tmp_path, capsys):
    out = tmp_path / "out" / "test_mixture_own"
    out.mkdir(parents=True)
    lines = (work / "out" / "test_mixture_own" / "spk1.scp").read_text().splitlines()
    (out / "spk1.scp").write_text("\n".join(lines[:3]))
    _score(work, tiny_model, capsys, inference_dir=tmp_path / "out")
    found = json.loads((work / "more" / "RESULTS.json").read_text())
    assert found["test_sets"] == {"mixture_own": {"items": 3, "missing": 1}}
    assert found["tagging"] is None
    page = (work / "more" / "RESULTS.md").read_text()
    assert "1 more without an output" in page and "Tagging" not in page
    assert "matched" not in page


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"inference_dir": "none"}, "stage 7"),
        ({"train_config": "none"}, "none: cannot be read"),
        ({"tags": "none"}, "together"),
        ({"tags": "none", "labels": "none"}, "none: cannot be read"),
        ({"data_list": "none"}, "none: cannot be read"),
    ],
)
def test_bad_inputs_are_one_line(work, tiny_model, capsys, changes, reason):
    with pytest.raises(SystemExit) as end:
        _score(work, tiny_model, capsys, **changes)
    last = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and "error: " in last and reason in last


def test_the_page_names_another_system(work, tmp_path, capsys):
    conf = {
        "segment_frames": 64,
        "cnn_channels": 2,
        "unet_channels": 2,
        "unet_levels": 2,
        "query": "probabilities",
    }
    config = {"extractor": "pann_sep", "extractor_conf": conf}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    out = tmp_path / "out" / "test_clean_own"
    out.mkdir(parents=True)
    outputs = (work / "out" / "test_clean_own" / "spk1.scp").read_text()
    (out / "spk1.scp").write_text(outputs)
    _score(work, tmp_path, capsys, inference_dir=tmp_path / "out")
    page = (work / "more" / "RESULTS.md").read_text()
    assert "| extractor | pann_sep |" in page and "query=probabilities" in page


def test_broken_tag_tables_are_refused(work, tmp_path):
    for text, reason in (
        ("uid\ta\nc1\tx\n", "not a table"),
        ("uid\ta\nc1\n", "differ in length"),
        ("uid\ta\nelse\t1\n", "none of the items"),
    ):
        (tmp_path / "tags.tsv").write_text(text)
        with pytest.raises(ValueError, match=reason):
            evaluate_tags(tmp_path / "tags.tsv", work / "labels")


def test_infinities_survive_the_json():
    entry = results.summary_entry(metrics.summarize([np.inf, np.inf]))
    assert entry["median"] == "inf" and entry["mean"] is None
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry


def test_gallery(work, capsys):
    options = {
        "test_set": work / "sets" / "test_mixture_other",
        "inference_dir": work / "out" / "test_mixture_other",
        "output_dir": work / "gallery",
        "num_items": 2,
    }
    gallery.main([str(part) for k, v in options.items() for part in (f"--{k}", v)])
    assert "2 of 4 items" in capsys.readouterr().out
    index = (work / "gallery" / "index.md").read_text()
    # Evenly spaced ranks of four: the second and the best.
    assert "pair1_1: b" in index and "SDR 0" in index and "rank 2 of 4" in index
    assert "pair3_1: b" in index and "inf dB" in index
    for uid in ("pair1_1", "pair3_1"):
        assert (work / "gallery" / f"{uid}.png").read_bytes()[:4] == b"\x89PNG"
        target, _ = soundfile.read(work / "gallery" / f"{uid}_target.wav")
        output, _ = soundfile.read(work / "gallery" / f"{uid}_output.wav")
        assert f"{uid}_query.wav" in index and f"{uid}_mixture.wav" in index
        expected = 6.02 if uid == "pair1_1" else math.inf
        assert sdr(target, output) == pytest.approx(expected, abs=0.01)
    # Another choice leaves nothing of the first one.
    options["num_items"] = 1
    gallery.main([str(part) for k, v in options.items() for part in (f"--{k}", v)])
    names = {path.name for path in (work / "gallery").glob("*.png")}
    assert names == {"pair2_1.png"}


def test_gallery_choice_shows_the_whole_range():
    scores = {f"u{i:02}": float(i) for i in range(60)}
    assert gallery.choose_evenly(scores, 6) == [
        *("u05", "u15", "u25", "u35", "u45", "u55"),
    ]
    assert gallery.choose_evenly({"a": 1.0}, 6) == ["a"]


def test_gallery_needs_outputs(work, capsys):
    with pytest.raises(SystemExit) as end:
        gallery.main(
            [
                *("--test_set", str(work / "sets" / "test_mixture_own")),
                *("--inference_dir", "none", "--output_dir", "x"),
            ]
        )
    assert end.value.code == 2 and "cannot be read" in capsys.readouterr().err


def test_configuration_of_another_model_is_refused(work, tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"extractor": "other"}))
    with pytest.raises(SystemExit):
        scoring.main(
            [
                *("--test_dir", str(work / "sets")),
                *("--inference_dir", str(work / "out")),
                *("--train_config", str(tmp_path / "c.yaml"), "--output_dir", "x"),
            ]
        )
    assert "not 'caresep'" in capsys.readouterr().err
