"""Stage 11: fits a model's presence score on validation mixtures, tests it on others.

A query is present in a mixture if the mixture holds its sound: the own clip and another
clip of the class of each source. It is absent if none of the mixture's labels is its
own: a source of another pair, drawn at random. A logistic regression on the share of
energy that was separated (``inference/presence.py``) gives ``midpoint_db`` and
``width_db``; present and absent queries weigh the same. Writes presence.json: the rule,
and how well it tells present from absent (area under the ROC curve, shares of right
answers), for own and other clips apart.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
from collections.abc import Sequence
from pathlib import Path

import yaml

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import read_table, write_whole
from espnet2_caresep.progress import progress

KINDS = ("own", "other", "absent")


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Calibrate a model's presence score",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="experiment folder or zip")
    parser.add_argument("--valid_dir", required=True, help="fixed mixtures to fit on")
    parser.add_argument("--test_dir", required=True, help="fixed mixtures to report on")
    parser.add_argument("--output", required=True, help="presence.json to write")
    parser.add_argument(
        "--config", help="config.yaml of the model, which gets the rule as `presence`"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the absent queries")
    parser.add_argument("--num_threads", type=int, default=1, help="CPU threads")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Separates, fits, reports and writes.

    Raises:
        ValueError: If a folder holds no mixtures.
    """
    import torch

    from espnet2_caresep.inference.separator import CaRESeparator

    torch.set_num_threads(args.num_threads)
    separator = CaRESeparator.from_pretrained(args.model, "cpu")
    valid = shares(separator, Path(args.valid_dir), args.seed)
    rule = fit(valid)
    test = shares(separator, Path(args.test_dir), args.seed)
    report = {"presence": rule, "valid": judge(valid, rule), "test": judge(test, rule)}
    with write_whole(Path(args.output)) as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if rule is None:
        print("present and absent sounds take equal shares: the default rule stays")
    elif args.config:
        config = yaml.safe_load(Path(args.config).read_text(encoding="utf-8"))
        config["presence"] = rule
        with write_whole(Path(args.config)) as part:
            part.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    print(json.dumps(report))


def shares(separator, folder: Path, seed: int) -> dict[str, list[float]]:
    """Share of energy in dB that each query takes out of its mixture.

    Args:
        separator: The model.
        folder: Fixed mixtures of stage 3.
        seed: Of the draw of absent queries.

    Returns:
        One list for each of :data:`KINDS`; absent queries are own and other clips.

    Raises:
        ValueError: If the folder lacks a file, or has no absent query for a mixture.
    """
    mixtures = read_table(folder / "wav.scp")
    labels, clips = [], {"own": [], "other": []}
    for n in (1, 2):
        labels.append(read_table(folder / f"label_spk{n}"))
        clips["own"].append(read_table(folder / f"enroll_spk{n}.scp"))
        clips["other"].append(read_table(folder / f"other_spk{n}.scp"))
    draw = random.Random(seed)
    query = functools.cache(separator.query)  # absent ones come again where they belong
    out: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for uid in progress(list(mixtures), f"queries of {folder.name}"):
        heard = {name for table in labels for name in table[uid].split()}
        strangers = [
            (other, n)
            for other in mixtures
            for n in (0, 1)
            if not heard & set(labels[n][other].split())
        ]
        if not strangers:
            raise ValueError(f"{folder}: no clip is absent from {uid}")
        kinds, queries = [], []
        for kind, tables in clips.items():
            other, n = draw.choice(strangers)
            kinds += [kind, kind, "absent"]
            queries += [query(table[uid]) for table in tables]
            queries.append(query(tables[n][other]))
        for kind, share in zip(kinds, _shares(separator, mixtures[uid], queries)):
            out[kind].append(share)
    return out


def _shares(separator, mixture: str, queries: list) -> list[float]:
    import numpy as np

    from espnet2_caresep.inference.audio import read_audio
    from espnet2_caresep.inference.presence import PresenceMeter

    heard = read_audio(mixture)
    named = dict(enumerate(queries))
    found = separator.separate_all(heard.samples, named, heard.sample_rate)
    meter = PresenceMeter(heard.sample_rate, len(queries))
    meter.update(heard.samples, np.stack(list(found.stems.values())))
    # Nothing at all: further down than any sound gets
    return [max(share, -100.0) for share in meter.shares_db()]


def fit(taken: dict[str, list[float]]) -> dict[str, float] | None:
    """The rule of presence that tells present from absent best.

    None if what is present takes no larger a share than what is absent.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    present = [*taken["own"], *taken["other"]]
    x = np.array([*present, *taken["absent"]])[:, None]
    y = np.array([1] * len(present) + [0] * len(taken["absent"]))
    model = LogisticRegression(C=np.inf, class_weight="balanced").fit(x, y)
    slope, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        return None
    rule = {"midpoint_db": -offset / slope, "width_db": 1 / slope, "threshold": 0.5}
    return {name: round(value, 3) for name, value in rule.items()}


def judge(
    taken: dict[str, list[float]], rule: dict[str, float] | None
) -> dict[str, float]:
    """How well a rule tells present from absent: areas under ROC curves, right answers."""
    from sklearn.metrics import roc_auc_score

    from espnet2_caresep.inference.presence import PresenceRule

    absent = taken["absent"]
    out = {"queries": sum(map(len, taken.values()))}
    for kind in ("own", "other"):
        truth = [1] * len(taken[kind]) + [0] * len(absent)
        out[f"roc_auc_{kind}"] = float(roc_auc_score(truth, [*taken[kind], *absent]))
    presence = PresenceRule(**rule or {})
    for kind, values in taken.items():
        found = [presence.is_present(presence.score(value)) for value in values]
        out[f"judged_present_{kind}"] = sum(found) / len(found)
    return {name: round(value, 4) for name, value in out.items()}


if __name__ == "__main__":
    main()
