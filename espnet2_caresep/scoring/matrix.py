"""What our runs of the rows of the paper's tables measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev

import yaml

from espnet2_caresep.scoring.paper import FIGURES, ORDERINGS, ROWS

NOTICED = 0.05  # dB; two rows that differ by less are the same


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
        have), ``paper`` (the paper's difference) and ``verdict``.
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
        paper = by_letter[larger].paper[figure] - by_letter[smaller].paper[figure]
        out.append(
            {
                "claim": f"{larger} over {smaller}, {FIGURES[figure][0]}",
                "differences": differences,
                "paper": round(paper, 2),
                "verdict": verdict(differences),
            }
        )
    return out


def verdict(differences: list[float]) -> str:
    """ "holds" or "does not hold" where the seeds are clear about it, else "open".

    Clear: several seeds, all of one sign, and a mean of more than :data:`NOTICED` dB and
    of more than the seeds' standard deviation.
    """
    if len(differences) < 2:
        return "open"
    size = abs(mean(differences))
    if size <= NOTICED or size <= stdev(differences):
        return "open"
    if min(differences) > 0:
        return "holds"
    return "does not hold" if max(differences) < 0 else "open"


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
