"""Stage 11: fits a model's presence score on validation mixtures, tests it on others.

A query is present in a mixture if the mixture holds its sound: the own clip and another
clip of the class of each source. It is absent if none of the mixture's labels is its
own: sources of other pairs, drawn at random. A logistic regression on the signs of
presence (``inference/presence/listening_rule.py``) gives the model's rule. Own clips,
other clips and absent sounds weigh the same each: own clips are easily told, so between
the other two there is no favour. A sign that speaks against presence is left out.
Below the score that 5 % of the present other clips do not reach, a sound is taken for
surely absent; between that and the threshold, stems are faded. From the score that 5 %
of the absent queries reach it is taken for surely present.
Writes presence.json: the rule, and how well it tells present from absent (area under
the ROC curve, shares of right answers), for own and other clips apart.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from espnet2_caresep.bin.measuring import open_model, parser_with_model
from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import write_whole
from espnet2_caresep.data.mixture_pairs import read_mixture_pairs
from espnet2_caresep.inference.presence.listening_rule import ListeningRule, Signs
from espnet2_caresep.progress import progress

KINDS = ("own", "other", "absent")
STRANGERS = 3  # absent queries of each kind for a mixture
MISSED = 0.05  # share of present sounds, by other clips, that may be surely absent
MISTAKEN = 0.05  # share of absent sounds that may be surely present


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = parser_with_model("Calibrate a model's presence score")
    parser.add_argument("--valid_dir", required=True, help="fixed mixtures to fit on")
    parser.add_argument("--test_dir", required=True, help="fixed mixtures to report on")
    parser.add_argument("--output", required=True, help="presence.json to write")
    parser.add_argument(
        "--config", help="config.yaml of the model, which gets the rule as `presence`"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the absent queries")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Separates, fits, reports and writes.

    Raises:
        ValueError: If a folder holds no mixtures.
    """
    separator = open_model(args)
    # Whatever rule it has: all signs are wanted
    separator.presence_rule = ListeningRule()
    valid = find_signs(separator, Path(args.valid_dir), args.seed)
    rule = fit(valid)
    test = find_signs(separator, Path(args.test_dir), args.seed)
    report = {
        "presence": rule,
        "valid": rule and judge(valid, rule),
        "test": rule and judge(test, rule),
    }
    with write_whole(Path(args.output)) as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if rule is None:
        print("nothing tells present from absent sounds: the default rule stays")
    elif args.config:
        config = yaml.safe_load(Path(args.config).read_text(encoding="utf-8"))
        config["presence"] = rule
        with write_whole(Path(args.config)) as part:
            part.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    print(json.dumps(report))


def find_signs(separator, folder: Path, seed: int) -> dict[str, list[list[Signs]]]:
    """What speaks for each query in its mixture.

    Args:
        separator: The model, with a rule that listens.
        folder: Fixed mixtures of stage 3.
        seed: Of the draw of absent queries.

    Returns:
        One list for each of :data:`KINDS`; absent queries are own and other clips.

    Raises:
        ValueError: If the folder lacks a file, or has no absent query for a mixture.
    """
    pairs = read_mixture_pairs(folder)
    draw = random.Random(seed)
    query = functools.cache(separator.query)  # absent ones come again where they belong
    out: dict[str, list[list[Signs]]] = {kind: [] for kind in KINDS}
    sources = [source for pair in pairs.values() for source in pair.sources]
    for uid in progress(list(pairs), f"queries of {folder.name}"):
        pair = pairs[uid]
        strangers = [one for one in sources if not one.labels & pair.labels]
        if not strangers:
            raise ValueError(f"{folder}: no clip is absent from {uid}")
        kinds, queries = [], []
        for kind in ("own", "other"):
            kinds += [kind, kind, *["absent"] * STRANGERS]
            wanted = [*pair.sources, *draw.choices(strangers, k=STRANGERS)]
            queries += [query(getattr(source, kind)) for source in wanted]
        for kind, signs in zip(kinds, _signs(separator, pair.mixture, queries)):
            out[kind].append(signs)
    return out


def _signs(separator, mixture: str, queries: list) -> list[list[Signs]]:
    from espnet2_caresep.inference.audio.recording import read_audio
    from espnet2_caresep.inference.stream import separate_whole

    heard = read_audio(mixture)
    stream = separator.open_stream(queries, heard.sample_rate, heard.channels)
    separate_whole(stream, heard.blocks())
    return stream.judge.signs()


def fit(found: dict[str, list[list[Signs]]]) -> dict[str, float] | None:
    """The rule of presence that tells present from absent best.

    None if no sign speaks for presence.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.utils.class_weight import compute_sample_weight

    # A silent target is judged absent by any rule
    rows = [(_loudest(signs), kind) for kind in KINDS for signs in found[kind] if signs]
    x = np.array([signs for signs, _ in rows])
    kinds = np.array([kind for _, kind in rows])
    y, weight = kinds != "absent", compute_sample_weight("balanced", kinds)
    scale = x.std(0)
    # The usual unit penalty: few mixtures may be told apart without a mistake
    model = LogisticRegression()
    used = [i for i, spread in enumerate(scale) if spread > 1e-9]
    weights = np.zeros(len(scale))
    while used:
        model.fit(x[:, used] / scale[used], y, weight)
        found_weights = model.coef_[0] / scale[used]
        if (found_weights > 0).all():
            weights[used] = found_weights
            break
        used.pop(int(model.coef_[0].argmin()))
    if not used:
        return None
    names = [f"{sign}_weight" for sign in Signs._fields]
    numbers = {"bias": model.intercept_[0], **dict(zip(names, weights))}
    rule = {name: round(float(value), 3) for name, value in numbers.items()}
    score = ListeningRule(**rule).score
    other, absent = ([*map(score, found[kind])] for kind in ("other", "absent"))
    lowest = float(np.quantile(other, MISSED, method="lower"))
    highest = float(np.quantile(absent, 1 - MISTAKEN, method="higher"))
    rule["threshold"] = 0.5
    rule["absent"] = min(round(lowest, 3), rule["threshold"])
    rule["certain"] = max(round(highest, 3), rule["threshold"])
    return rule


def judge(
    found: dict[str, list[list[Signs]]], rule: dict[str, float]
) -> dict[str, float]:
    """How well a rule tells present from absent: areas under ROC curves, right answers.

    With it the median share that queries of each kind take, in dB, as the network
    gives it and faded by the rule.
    """
    from sklearn.metrics import roc_auc_score

    presence = ListeningRule(**rule)
    scores = {kind: [*map(presence.score, signs)] for kind, signs in found.items()}
    absent = scores["absent"]
    out = {"queries": sum(map(len, scores.values()))}
    for kind in ("own", "other"):
        truth = [1] * len(scores[kind]) + [0] * len(absent)
        out[f"roc_auc_{kind}"] = float(roc_auc_score(truth, [*scores[kind], *absent]))
    for kind, values in scores.items():
        out[f"judged_present_{kind}"] = float(
            np.mean([*map(presence.is_present, values)])
        )
        out[f"surely_present_{kind}"] = float(
            np.mean([*map(presence.is_surely_present, values)])
        )
        out[f"surely_absent_{kind}"] = float(
            np.mean([*map(presence.is_surely_absent, values)])
        )
    for kind, signs in found.items():
        shares = np.array([_loudest(one).share if one else 0.0 for one in signs])
        faded = shares * np.square([*map(presence.level, scores[kind])])
        for name, values in (("share", shares), ("faded", faded)):
            median = max(float(np.median(values)), 1e-10)
            out[f"median_{name}_db_{kind}"] = 10 * math.log10(median)
    return {name: round(value, 4) for name, value in out.items()}


def _loudest(signs: list[Signs]) -> Signs:
    """Of the stretch of which the target took most; a fixed mixture has one, mostly."""
    return max(signs, key=lambda stretch: stretch.share)


if __name__ == "__main__":
    main()
