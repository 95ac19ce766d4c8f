"""The paper's Tables 1 and 2, with what our runs of their rows measured."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median, stdev

import yaml

# Columns of a run: name, heading, where RESULTS.json has it.
FIGURES = {
    "mixture": ("mixture-SDR", "mixture_own/sdr"),
    "other": ("mixture-SDR, other clip", "mixture_other/sdr"),
    "clean": ("clean-SDR", "clean_own/sdr"),
    "silence": ("silence-SDR", "silence_own/silence_sdr"),
    "mAP": ("mAP", None),
}


@dataclass(frozen=True)
class Row:
    """A row of the tables.

    Attributes:
        configs: Names of the configurations that train it, at the scales it has.
        title: What it is.
        table: Table of the paper, 1 or 2.
        identity: Letter in Table 2.
        flags: Grad, Init, Shared of Table 2.
        paper: The paper's figures (AudioSet): name in :data:`FIGURES` to value.
    """

    configs: tuple[str, ...]
    title: str
    table: int
    identity: str = ""
    flags: str = ""
    paper: dict[str, float] = field(default_factory=dict)


def _paper(mixture=None, clean=None, silence=None, mAP=None) -> dict[str, float]:
    figures = {"mixture": mixture, "clean": clean, "silence": silence, "mAP": mAP}
    return {name: value for name, value in figures.items() if value is not None}


_A = _paper(10.55, 27.83, 16.64)
_C = _paper(13.14, 103.16, 17.72)
_UNET = ("a", "train_ablation_a")
_SWIN = ("c", "train_caresep_768")
ROWS = [
    Row(
        ("pann_sep_probabilities", "train_pann_sep_527"),
        "PANN-SEP, class probabilities (527-d)",
        1,
        paper=_paper(7.38, 8.89, 11.00),
    ),
    Row(
        ("pann_sep_embedding", "train_pann_sep_2048"),
        "PANN-SEP, embedding (2048-d)",
        1,
        paper=_paper(9.42, 13.96, 15.89),
    ),
    Row(_UNET, "ST-SED-SEP (2048-d)", 1, paper={**_A, "mAP": 0.459}),
    Row(("cls", "train_care_cls_768"), "CaRE-CLS (768-d)", 1, paper=_paper(mAP=0.463)),
    Row(("train_care_cls_2048",), "CaRE-CLS (2048-d)", 1),
    Row(
        ("cls_sep", "train_care_cls_sep_768"),
        "CaRE-CLS+SEP (768-d)",
        1,
        paper=_paper(11.48, 97.18, 19.81, 0.446),
    ),
    Row(_SWIN, "CaRE-SEP (768-d)", 1, paper=_C),
    Row(
        ("train_caresep_2048",),
        "CaRE-SEP (2048-d)",
        1,
        paper=_paper(13.84, 96.1, 17.38),
    ),
    Row(("c_plain",), "CaRE-SEP, its query without the spectrum", 1),
    Row(_UNET, "ST-SED-SEP", 2, "A", "✗ ✓ ✗", _A),
    Row(
        ("b", "train_ablation_b"),
        "ST-SED-SEP with grad",
        2,
        "B",
        "✓ ✓ ✗",
        _paper(10.77, 31.85, 13.67),
    ),
    Row(_SWIN, "CaRE-SEP", 2, "C", "✓ ✓ ✓", _C),
    Row(
        ("d", "train_ablation_d"),
        "CaRE-SEP without grad",
        2,
        "D",
        "✗ ✓ ✓",
        _paper(10.09, 78.13, 5.85),
    ),
    Row(
        ("e", "train_ablation_e"),
        "CaRE-SEP without init",
        2,
        "E",
        "✓ ✗ ✓",
        _paper(11.33, 100.89, 15.73),
    ),
    Row(
        ("f", "train_ablation_f"),
        "CaRE-SEP without grad and init",
        2,
        "F",
        "✗ ✗ ✓",
        _paper(9.14, 69.25, 11.13),
    ),
    Row(
        ("g", "train_ablation_g"),
        "CaRE-SEP without grad and shared encoder",
        2,
        "G",
        "✗ ✓ ✗",
        _paper(10.34, 56.7, 17.59),
    ),
]

# What the paper concludes from Table 2: larger row, smaller row, figure.
ORDERINGS = [
    ("C", "A", "mixture"),
    ("C", "B", "mixture"),
    ("C", "D", "mixture"),
    ("C", "E", "mixture"),
    ("C", "F", "mixture"),
    ("C", "G", "mixture"),
    ("E", "F", "mixture"),
    ("D", "F", "mixture"),
    ("C", "A", "clean"),
    ("C", "A", "silence"),
    ("C", "D", "silence"),
]


@dataclass(frozen=True)
class Run:
    """One row with one seed, as its folder tells.

    Attributes:
        config: Name of its configuration.
        seed: Its seed.
        figures: Name in :data:`FIGURES` to mean over the test items.
        about: Parameters, updates, pairs of a batch, training data, wall time in s.
    """

    config: str
    seed: int
    figures: dict[str, float]
    about: dict


def read_runs(expdir: str | Path) -> list[Run]:
    """The scored runs in a folder of experiments.

    Raises:
        ValueError: If there is none, or one cannot be read.
    """
    runs = []
    for path in sorted(Path(expdir).glob("caresep_*/scores/RESULTS.json")):
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
            folder = path.parents[1]
            config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
            runs.append(_run(results, config))
        except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
            raise ValueError(f"{path}: is no result of a row ({error})") from error
    if not runs:
        raise ValueError(f"{expdir}: no caresep_*/scores/RESULTS.json; run some rows")
    return runs


def _run(results: dict, config: dict) -> Run:
    model = results["systems"].get("model", {})
    figures = {
        name: model[key]["mean"] for name, (_, key) in FIGURES.items() if key in model
    }
    tags = config["mode"] != "sep"  # elsewhere the head is what it started from
    if tags and results["tagging"]:
        figures["mAP"] = results["tagging"]["map"]
    about = results["about"]
    return Run(
        Path(config["config"]).stem,
        config["seed"],
        figures,
        {
            "data": about.get("data", ""),
            "parameters": about["parameters"],
            "updates": config["max_epoch"] * (config["num_iters_per_epoch"] or 0),
            "pairs": config["batch_size"],
            "seconds": about.get("wall_time_seconds"),
        },
    )


def orderings(runs: list[Run]) -> list[dict]:
    """Which conclusions of the paper hold: differences of two rows, seed by seed.

    Returns:
        One entry each with ``claim``, ``differences`` (one per seed that both rows
        have), ``paper`` (the paper's difference) and ``verdict``: "holds" or "does
        not hold" if every seed agrees, else "open".
    """
    by_letter = {row.identity: row for row in ROWS if row.identity}
    out = []
    for larger, smaller, figure in ORDERINGS:
        one, two = (
            {
                run.seed: run.figures[figure]
                for run in runs
                if run.config in by_letter[letter].configs and figure in run.figures
            }
            for letter in (larger, smaller)
        )
        seeds = sorted(one.keys() & two.keys())
        if not seeds:
            continue
        differences = [one[seed] - two[seed] for seed in seeds]
        verdict = "open"
        if len(seeds) > 1 and min(differences) > 0:
            verdict = "holds"
        elif len(seeds) > 1 and max(differences) < 0:
            verdict = "does not hold"
        paper = by_letter[larger].paper[figure] - by_letter[smaller].paper[figure]
        out.append(
            {
                "claim": f"{larger} over {smaller}, {FIGURES[figure][0]}",
                "differences": differences,
                "paper": round(paper, 2),
                "verdict": verdict,
            }
        )
    return out


def summary(values: list[float]) -> dict:
    """Mean, sample standard deviation (None for one value), count."""
    spread = stdev(values) if len(values) > 1 else None
    return {"mean": mean(values), "spread": spread, "runs": len(values)}


def table(runs: list[Run]) -> list[dict]:
    """The rows that were run: titles, summaries of our figures, the paper's figures."""
    out = []
    for row in ROWS:
        own = [run for run in runs if run.config in row.configs]
        if not own:
            continue
        values = {
            name: [run.figures[name] for run in own if name in run.figures]
            for name in FIGURES
        }
        seconds = [run.about["seconds"] for run in own if run.about["seconds"]]
        out.append(
            {
                "table": row.table,
                "id": row.identity,
                "model": row.title,
                "flags": row.flags,
                "ours": {name: summary(v) for name, v in values.items() if v},
                "seeds": sorted(run.seed for run in own),
                "parameters": own[0].about["parameters"],
                "updates": own[0].about["updates"],
                "pairs": own[0].about["pairs"],
                "seconds": median(seconds) if seconds else None,
                "paper": row.paper,
            }
        )
    return out
