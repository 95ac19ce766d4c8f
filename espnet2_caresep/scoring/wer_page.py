"""WER.json -> WER.md."""

from __future__ import annotations

from collections.abc import Sequence

from espnet2_caresep.scoring.markdown import table

RULES = """
WER: substitutions, deletions and insertions over the words of the references; texts are
compared in lower case, without punctuation, single digits as words. separated+A is the
target with A times the mixture added ("observation adding"). In brackets: 95 % bootstrap
intervals over utterances; those of a change are of paired utterances. SDR: mean over the
items, against the clean speech. Speech kept: level of the speech in what was separated
against the speech in the mixture; the rest was suppressed along with the other sound.
"""


def render(results: dict) -> str:
    """The Markdown page of a WER.json."""
    sets, chosen = results["sets"], results["chosen"]
    lines = [
        "# Word error rates behind separation\n",
        f"Recogniser: {results['asr']}  \nSeparator: {results['separator']}\n",
        _choice(chosen),
        _summary(sets, chosen),
        *(f"- {name}: {_verdict(entry, chosen)}" for name, entry in sets.items()),
        "\n## WER in % by the share of the mixture that was added\n",
        _by_share({**sets, **results["valid_sets"]}),
        "## What separation did to the speech\n",
        _speech(sets),
    ]
    for name, entry in sets.items():
        first = entry["conditions"]["mixture"]
        title = f"{name}: {first['utterances']} utterances, {first['words']} words"
        lines += [f"## {title}\n", _details(entry["conditions"])]
    return "\n".join(lines) + RULES


def _choice(chosen: dict | None) -> str:
    if chosen is None:
        return "No share of the mixture was chosen: there are no validation sets.\n"
    wer = chosen["wer"]
    return (
        f"Chosen on {', '.join(chosen['sets'])} ({chosen['utterances']} utterances): "
        f"{chosen['condition']}, WER {100 * wer[chosen['condition']]:.1f} % there; "
        f"mixture {100 * wer['mixture']:.1f} %, separated alone "
        f"{100 * wer['separated']:.1f} %.\n"
    )


def _summary(sets: dict, chosen: dict | None) -> str:
    header = ["set", "mixture", "separated", "clean"]
    name = chosen["condition"] if chosen else "separated"
    if name != "separated":
        header.insert(3, f"{name} (chosen)")
    header.append(f"{name} against the mixture")
    rows = []
    for label, entry in sets.items():
        conditions = entry["conditions"]
        shown = ["mixture", "separated", name, "clean"]
        cells = [_percent(conditions[c]) for c in dict.fromkeys(shown)]
        rows.append([label, *cells, _percent(conditions[name], "change", "+")])
    return table(header, rows)


def _verdict(entry: dict, chosen: dict | None) -> str:
    """What a set says about separation, in a sentence."""
    name = chosen["condition"] if chosen else "separated"
    low, high = entry["conditions"][name]["change_interval"]
    if high < 0:
        return f"{name} has a lower WER than the mixture."
    if low > 0:
        return f"{name} has a higher WER than the mixture."
    return f"{name} and the mixture cannot be told apart (the interval includes zero)."


def _by_share(sets: dict) -> str:
    conditions = list(next(iter(sets.values()))["conditions"])
    rows = [
        [name, *(f"{100 * s['conditions'][name]['wer']:.1f}" for s in sets.values())]
        for name in conditions
    ]
    return table(["condition", *sets], rows)


def _speech(sets: dict) -> str:
    header = ["set", "SDR mixture", "SDR separated", "items improved", "speech kept"]
    rows = [
        [name, f"{entry['speech']['mixture_sdr']:.1f} dB"]
        + [f"{entry['speech']['separated_sdr']:.1f} dB"]
        + [f"{100 * entry['speech']['improved']:.0f} %"]
        + [f"{entry['speech']['kept_db']:.1f} dB"]
        for name, entry in sets.items()
    ]
    return table(header, rows)


def _details(conditions: dict) -> str:
    header = ["condition", "WER %", "change against the mixture", "sub", "del", "ins"]
    rows = []
    for name, entry in conditions.items():
        change = "" if name == "mixture" else _percent(entry, "change", "+")
        counts = [entry[k] for k in ("substitutions", "deletions", "insertions")]
        rows.append([name, _percent(entry), change, *counts])
    return table(header, rows)


def _percent(entry: dict, key: str = "wer", sign: str = "") -> str:
    interval: Sequence = entry["interval" if key == "wer" else f"{key}_interval"]
    low, high = (f"{100 * end:{sign}.1f}" for end in interval)
    return f"{100 * entry[key]:{sign}.1f} [{low}, {high}]"
