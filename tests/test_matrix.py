"""The table of the rows: what is read, averaged, compared and shown."""

import json

import pytest
import yaml

from espnet2_caresep.bin import summarize_matrix
from espnet2_caresep.scoring import matrix
from espnet2_caresep.scoring.paper import ROWS


def write_run(root, name, seed, mixture, mode="sep", mAP=0.5, seconds=60.0):
    folder = root / f"caresep_{name}_seed{seed}"
    (folder / "scores").mkdir(parents=True)
    config = {
        "config": f"conf/tuning/debsounds_cpu/{name}.yaml",
        "seed": seed,
        "mode": mode,
        "max_epoch": 2,
        "num_iters_per_epoch": 100,
        "batch_size": 4,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    values = {"mixture_own/sdr": mixture, "silence_own/silence_sdr": 20.0}
    systems = {"model": {key: {"mean": value} for key, value in values.items()}}
    results = {
        "about": {"data": "sounds", "parameters": 7e6, "wall_time_seconds": seconds},
        "systems": systems if mode != "cls" else {},
        "tagging": {"map": mAP},
    }
    (folder / "scores" / "RESULTS.json").write_text(json.dumps(results))
    return folder


@pytest.fixture
def experiments(tmp_path):
    for seed, (a, c, d) in enumerate([(3.0, 5.0, 5.5), (3.5, 4.0, 3.5), (2.5, 6.0, 5)]):
        write_run(tmp_path, "a", seed, a)
        write_run(tmp_path, "c", seed, c, seconds=60.0 * (seed + 1))
        write_run(tmp_path, "d", seed, d)
    write_run(tmp_path, "cls", 0, 0.0, mode="cls", mAP=0.4)
    return tmp_path


def test_rows_are_averaged_over_their_seeds(experiments):
    rows = {
        (r["table"], r["model"]): r for r in matrix.table(matrix.read_runs(experiments))
    }
    row = rows[2, "CaRE-SEP"]
    assert row["ours"]["mixture"] == {
        "mean": pytest.approx(5.0),
        "spread": pytest.approx(1.0),
        "runs": 3,
    }
    assert row["seeds"] == [0, 1, 2] and row["seconds"] == 120
    assert row["updates"] == 200 and row["pairs"] == 4
    # A separator's head is the one it started from: its mAP is not the row's.
    assert "mAP" not in row["ours"]
    assert rows[1, "CaRE-CLS (768-d)"]["ours"] == {
        "mAP": {"mean": 0.4, "spread": None, "runs": 1}
    }
    # Rows A and C stand in both tables; rows that nobody ran stand in neither.
    assert {key[0] for key in rows if "ST-SED" in key[1]} == {1, 2}
    assert not any("PANN" in model for _, model in rows)


def test_orderings_pair_the_seeds(experiments):
    entries = {e["claim"]: e for e in matrix.orderings(matrix.read_runs(experiments))}
    over_a = entries["C over A, mixture-SDR"]
    assert over_a["differences"] == pytest.approx([2.0, 0.5, 3.5])
    assert over_a["verdict"] == "holds" and over_a["paper"] == 2.59
    assert entries["C over D, mixture-SDR"]["verdict"] == "open"
    assert "C over E, mixture-SDR" not in entries  # row E was not run


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1.0, 2.0, 1.5], "holds"),
        ([-1.0, -2.0], "does not hold"),
        ([1.0, -0.1, 2.0], "open"),
        ([0.01, 0.02, 0.01], "open"),  # the same
        ([0.1, 2.0], "open"),  # within the spread
        ([5.0], "open"),
    ],
)
def test_verdicts(differences, expected):
    assert matrix.verdict(differences) == expected


def test_one_seed_decides_nothing(tmp_path):
    write_run(tmp_path, "a", 0, 9.0)
    write_run(tmp_path, "c", 0, 3.0)
    entry = matrix.orderings(matrix.read_runs(tmp_path))[0]
    assert entry["differences"] == [-6.0] and entry["verdict"] == "open"


def test_page_keeps_the_papers_figures_apart(experiments, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--expdir", str(experiments), "--output_dir", str(out)]
    summarize_matrix.main(
        [*options, "--scale", "small", "--command", "./run_matrix.sh"]
    )
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    assert page == capsys.readouterr().out.removesuffix("\n")
    line = next(line for line in page.splitlines() if line.startswith("| C |"))
    assert "5.00 ± 1.00" in line and line.endswith("| 13.14 | 103.16 | 17.72 |")
    header = next(line for line in page.splitlines() if line.startswith("| ID |"))
    assert header.count("paper, AudioSet") == 3
    assert "not comparable" in page and "200 updates of 4 pairs" in page
    assert json.loads((out / "RESULTS.json").read_text())["scale"] == "small"


def test_every_row_of_the_paper_has_its_configuration():
    import pathlib

    tuning = pathlib.Path(__file__).parents[1] / "conf" / "tuning"
    names = {path.stem for path in tuning.rglob("*.yaml")}
    listed = {config for row in ROWS for config in row.configs}
    assert listed <= names
    starts = {"pann_cls", "train_pann_cls"}
    ours = {f"train_debsounds_{name}" for name in ("cpu", "more")}
    ours |= {f"{name}_cls" for name in ours}
    steps = ("long", "tagger", "refine", "compare", "mask", "other", "again", "looks")
    steps += ("third",)
    ours |= {f"train_debsounds_more_{step}" for step in steps}
    ours |= {f"train_debsounds_cpu_{step}" for step in ("tagger", "st_sed_sep")}
    assert names - listed == starts | ours


@pytest.mark.parametrize("damage", ["none", "config", "json"])
def test_what_cannot_be_read_is_named(tmp_path, capsys, damage):
    if damage != "none":
        folder = write_run(tmp_path, "c", 0, 3.0)
        victim = "config.yaml" if damage == "config" else "scores/RESULTS.json"
        (folder / victim).write_text("[]")
    with pytest.raises(SystemExit) as stop:
        summarize_matrix.main(
            ["--expdir", str(tmp_path), "--output_dir", str(tmp_path / "out")]
        )
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1
    assert str(tmp_path) in error and not (tmp_path / "out").exists()
