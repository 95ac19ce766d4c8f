"""Writes the tables of ``run_matrix.sh``: RESULTS.json and RESULTS.md.

Reads every scored run in a folder of experiments. The runs of a row are its seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import write_whole
from espnet2_caresep.scoring import matrix
from espnet2_caresep.scoring.machine import describe_machine
from espnet2_caresep.scoring.markdown import table
from espnet2_caresep.scoring.paper import FIGURES

RULES = """\
## How to read this

- **ours**: mean over the test items, then mean ± sample standard deviation over the seeds
  (one seed: no spread). mixture-, clean- and silence-SDR ask with the target's own clip, as
  the paper does; *other clip* asks with another clip of the class. mAP only where tagging
  was trained along. All rows have the same data, updates, batches and seeds. Weights: best
  own-clip mixture-SDR of the validation set (tagging rows: best mAP).
- **paper**: trained and tested on AudioSet, 2 million clips. Other data, other sizes, other
  lengths of training: **not comparable with our columns**. It stands here so that the
  *order* of the rows can be compared, not the figures.
- Titles are the paper's; the sizes of our networks are those of the configurations. At the small
  scale all rows but "without the spectrum" carry the query's mean spectrum as well, which is
  ours and gives most of what is measured there (docs/decisions.md).
- Flags: Grad (gradient flows through the query embedding), Init (encoder starts from the
  tagger), Shared (one encoder embeds the query and separates).
- time: median over the seeds of all stages that led to a score, data preparation included,
  the tagger that the row starts from in the first row that needed it.
"""


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Tabulate the rows that run_matrix.sh has trained and scored",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--expdir", required=True, help="folder of the experiments")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--scale", default="", help="name of the scale, to record")
    parser.add_argument("--command", default="", help="what was run, to record")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Reads the runs and writes both files.

    Raises:
        ValueError: If there is nothing to read.
    """
    runs = matrix.read_runs(args.expdir)
    results = {
        "scale": args.scale,
        "command": args.command,
        "data": sorted({run.about["data"] for run in runs}),
        "machine": describe_machine(),
        "rows": matrix.table(runs),
        "orderings": matrix.orderings(runs),
    }
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    for name, content in (
        ("RESULTS.json", text),
        ("RESULTS.md", render(json.loads(text))),
    ):
        with write_whole(folder / name) as part:
            part.write_text(content, encoding="utf-8")
    print(render(results))


def render(results: dict) -> str:
    """The Markdown page of a RESULTS.json."""
    rows = results["rows"]
    budgets = {
        (row["updates"], row["pairs"]) for row in rows if "mixture" in row["ours"]
    }
    budget = "; ".join(
        f"{updates} updates of {pairs} pairs ({2 * pairs} triplets)"
        for updates, pairs in sorted(budgets)
    )
    about = [
        ["scale", results["scale"]],
        ["command", f"`{results['command']}`"],
        ["data", ", ".join(results["data"])],
        ["budget of a separation row", budget],
        ["machine", results["machine"]],
    ]
    parts = [
        "# The rows of the paper's tables\n",
        table(["", ""], about),
        *(_rows(rows, number) for number in (1, 2)),
        _orderings(results["orderings"]),
        RULES,
    ]
    return "\n".join(part for part in parts if part)


def _rows(rows: list[dict], number: int) -> str:
    rows = [row for row in rows if row["table"] == number]
    if not rows:
        return ""
    names = [n for n in FIGURES if any(n in row["ours"] for row in rows)]
    paper = [n for n in FIGURES if any(n in row["paper"] for row in rows)]
    header = (["ID", "Model", "Grad Init Shared"] if number == 2 else ["Model"]) + [
        *(f"ours: {FIGURES[name][0]}" for name in names),
        "seeds",
        "parameters",
        "time",
        *(f"paper, AudioSet: {FIGURES[name][0]}" for name in paper),
    ]
    lines = []
    for row in rows:
        head = (
            [row["id"], row["model"], row["flags"]] if number == 2 else [row["model"]]
        )
        lines.append(
            head
            + [_cell(name, row["ours"].get(name)) for name in names]
            + [
                " ".join(map(str, row["seeds"])),
                f"{row['parameters'] / 1e6:.2f} M",
                _time(row["seconds"]),
            ]
            + [str(row["paper"].get(name, "")) for name in paper]
        )
    return f"## Table {number}\n\n" + table(header, lines)


def _orderings(entries: list[dict]) -> str:
    if not entries:
        return ""
    lines = [
        [
            entry["claim"],
            _cell("", matrix.summary(entry["differences"]), signed=True),
            " ".join(f"{value:+.2f}" for value in entry["differences"]),
            entry["verdict"],
            f"{entry['paper']:+.2f}",
        ]
        for entry in entries
    ]
    header = ["claim", "ours, dB", "seed by seed", "verdict", "paper, AudioSet, dB"]
    return (
        "## Which of the paper's orderings hold here\n\n"
        "Differences of two rows with the same seed. *holds*, *does not hold*: all seeds "
        "agree, and their mean is beyond 0.05 dB and beyond their standard deviation; "
        "*open*: anything else.\n\n" + table(header, lines)
    )


def _cell(name: str, entry: dict | None, signed: bool = False) -> str:
    if entry is None:
        return ""
    digits = 3 if name == "mAP" else 2
    text = f"{entry['mean']:{'+' if signed else ''}.{digits}f}"
    if entry["spread"] is not None:
        text += f" ± {entry['spread']:.{digits}f}"
    return text


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds / 60:.1f} min"


if __name__ == "__main__":
    main()
