"""RESULTS.json, and RESULTS.md rendered from it: no figure is typed by hand."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

from espnet2_caresep.data.files import write_whole
from espnet2_caresep.scoring.evaluation import KINDS, MODEL, QUERIES
from espnet2_caresep.scoring.markdown import table
from espnet2_caresep.scoring.metrics import Summary

MAIN_SCORE = {
    "mixture": "sdr",
    "matched": "sdr",
    "clean": "sdr",
    "silence": "silence_sdr",
}
DETAILS = {
    "sdri": "SDRi",
    "si_sdr": "SI-SDR",
    "si_sdri": "SI-SDRi",
    "uss_sdr": "SDR as USS/AudioSep",
}
RULES = """\
## What the figures mean

Each cell is mean / median over the items, in dB; larger is better.

- **mixture, clean**: 10 log10(sum s² / sum (s - ŝ)²), not invariant to scale; museval's
  BSS Eval v4 gives the same for one source. **silence**: power of an input without the
  target over power of the output, both floored at 1e-8.
- **own**: the query is the target's own clip, the protocol of the literature, which
  leaks the target. **other**: another clip of the class, which is what a user has.
- Pairs are mixed at equal energy (0 dB). All rows score the same items: those for which
  the model gave an output; items without one are counted above.
- A reference of zeros has no SDR: such items are left out and counted. An output of
  zeros counts as it is (SDR 0 dB). Plus infinity (output equal to the reference) is left
  out of a mean, which can only lower it; minus infinity enters a mean as -100 dB;
  medians are over all defined items. Shares of infinite items are given where not zero.
- Masks and oracles live on the {spectrogram} Hann spectrogram at 32 kHz with the mixture's
  phase. Static mask: min(1, mean query power / mean mixture power) per frequency, the
  query brought to half the mixture's energy. Oracles know the target S and the rest N:
  ideal ratio mask |S| / (|S| + |N|); phase-sensitive mask Re(S / X) within 0..1.
- mAP: macro mean of scikit-learn's average precision; classes without a positive clip
  are dropped and counted.
"""
MATCHED = """\
- **matched**: mixtures of the same clips without what a recording's missing treble gives
  away: both sources and the queries are low-passed to the narrower source's bandwidth
  (99.9 % of its energy lies below), each brought back to its energy, then mixed.
"""


def summary_entry(summary: Summary) -> dict:
    """A summary as it stands in the JSON: numbers, null for NaN, "inf" for infinity."""
    return {key: _jsonable(value) for key, value in asdict(summary).items()}


def write_results(folder: str | Path, results: dict) -> tuple[Path, Path]:
    """Writes both files, each whole or not at all.

    Args:
        folder: Where to write RESULTS.json and RESULTS.md; made if missing.
        results: See :func:`render` for what is read from it.

    Returns:
        Paths of the JSON and of the Markdown file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # What is rendered is what was written: the page goes through the JSON.
    text = json.dumps(_jsonable(results), indent=1, allow_nan=False, ensure_ascii=False)
    paths = folder / "RESULTS.json", folder / "RESULTS.md"
    for path, content in zip(paths, (text + "\n", render(json.loads(text)))):
        with write_whole(path) as part:
            part.write_text(content, encoding="utf-8")
    return paths


def read_results(path: str | Path) -> dict:
    """The content of a RESULTS.json that :func:`write_results` wrote.

    Raises:
        ValueError: If it cannot be read or is something else.
    """
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); run stage 8") from error
    if not isinstance(results, dict) or "about" not in results:
        raise ValueError(f"{path}: is no RESULTS.json of stage 8")
    return results


def render(results: dict) -> str:
    """The Markdown page of a RESULTS.json.

    Args:
        results: ``about`` (name to text or number; names in ``_seconds`` are times),
            ``test_sets`` (name to ``items`` and ``missing``), ``systems`` (system to
            ``<test set>/<score>`` to summary), ``classes`` (class to the same),
            ``tagging`` or null.

    Returns:
        The page.
    """
    sets = [f"{kind}_{query}" for kind in KINDS for query in QUERIES]
    sets = [name for name in sets if name in results["test_sets"]]
    sections = [
        "# Results\n",
        _about(results["about"]),
        "## Separation\n",
        _separation(results, sets),
        _counts(results["test_sets"]),
        _infinite(results["systems"]),
        _details(results, sets),
    ]
    if results["tagging"]:
        sections.append(_tagging(results["tagging"]))
    # Files from before this was recorded have the spectrogram of the paper
    spectrogram = results["about"].get("spectrogram", "1024/320")
    rules = RULES.replace("{spectrogram}", spectrogram)
    sections += [_classes(results, sets), rules]
    page = "\n".join(section for section in sections if section)
    return page + MATCHED * any(name.startswith("matched") for name in sets)


def _about(about: dict) -> str:
    rows = []
    for name, value in about.items():
        if name.endswith("_seconds"):
            minutes, seconds = divmod(round(value), 60)
            name, value = name.removesuffix("_seconds"), f"{minutes} min {seconds} s"
        elif name == "parameters":
            value = f"{value:,} ({value / 1e6:.2f} M)"
        rows.append([name.replace("_", " "), value])
    return table(["", ""], rows)


def _separation(results: dict, sets: list[str]) -> str:
    header = ["SDR, dB: mean / median", *(name.replace("_", ", ") for name in sets)]
    rows = []
    for system, scores in results["systems"].items():
        keys = [f"{name}/{MAIN_SCORE[name.split('_')[0]]}" for name in sets]
        label = f"**{system}**" if system == MODEL else system
        rows.append([label, *(_cell(scores.get(key)) for key in keys)])
    return table(header, rows)


def _details(results: dict, sets: list[str]) -> str:
    sets = [name for name in sets if name.startswith("mixture")]
    if not sets:
        return ""
    columns = [(name, score) for score in DETAILS for name in sets]
    header = ["Mixture sets, dB: mean / median"]
    header += [f"{DETAILS[score]}, {name.split('_')[1]}" for name, score in columns]
    rows = [
        [system, *(_cell(scores.get(f"{name}/{score}")) for name, score in columns)]
        for system, scores in results["systems"].items()
    ]
    return table(header, rows)


def _classes(results: dict, sets: list[str]) -> str:
    precision = (results["tagging"] or {}).get("per_class", {})
    header = ["class", "items", *(name.replace("_", ", ") for name in sets)]
    header += ["average precision"] * bool(precision)
    rows = []
    for label, entry in results["classes"].items():
        keys = [f"{name}/{MAIN_SCORE[name.split('_')[0]]}" for name in sets]
        items = max((entry[key]["items"] for key in keys if key in entry), default=0)
        row = [label, items, *(_cell(entry.get(key)) for key in keys)]
        if precision:
            row.append(_number(precision.get(label), 3))
        rows.append(row)
    return "## The model class by class\n\n" + table(header, rows)


def _tagging(tagging: dict) -> str:
    text = (
        f"## Tagging\n\nmAP {_number(tagging['map'], 3)} over {tagging['classes']} "
        f"classes and {tagging['items']} clips; {tagging['dropped']} classes without a "
        f"positive clip dropped, {tagging['missing']} clips without tags."
    )
    if tagging["unknown_labels"]:
        names = ", ".join(tagging["unknown_labels"])
        text += f" Labels that the model has no class for: {names}."
    return text + "\n"


def _counts(test_sets: dict) -> str:
    parts = [
        f"{name.replace('_', ', ')} {entry['items']}"
        + (f" ({entry['missing']} more without an output)" if entry["missing"] else "")
        for name, entry in test_sets.items()
    ]
    return f"Items: {'; '.join(parts)}.\n"


def _infinite(systems: dict) -> str:
    notes = []
    for system, scores in systems.items():
        for key, entry in scores.items():
            kind, score = key.split("_")[0], key.split("/")[1]
            shown = score == MAIN_SCORE[kind] or (
                kind == "mixture" and score in DETAILS
            )
            if shown and (entry["infinite"] or entry["undefined"]):
                share = _number(100 * (entry["infinite_share"] or 0), 1)
                notes.append(
                    f"{system}, {key.replace('_', ' ')}: {share} % infinite, "
                    f"{entry['undefined']} undefined"
                )
    return f"Infinite and undefined: {'; '.join(notes)}.\n" if notes else ""


def _cell(entry: dict | None) -> str:
    if entry is None:
        return ""
    return f"{_number(entry['mean'], 2)} / {_number(entry['median'], 2)}"


def _number(value, digits: int) -> str:
    if value is None:
        return "-"
    # Adding zero turns the minus zero of a rounded figure into zero.
    return value if isinstance(value, str) else f"{round(value, digits) + 0:.{digits}f}"


def _jsonable(value):
    if isinstance(value, dict):
        return {key: _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
