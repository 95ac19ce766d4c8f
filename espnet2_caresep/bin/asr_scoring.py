"""Word error rates of mixtures, separated and clean speech, by set.

    python -m espnet2_caresep.bin.asr_scoring --data_dir dump/raw --sets asr_unseen_0dB ... \
        --inference_dir exp/X/inference --asr MODEL --output_dir exp/X/scores

writes ``WER.json`` and, rendered from it, ``WER.md``. Intervals are 95 % bootstrap
intervals over utterances.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import read_table, write_whole
from espnet2_caresep.scoring.wer import (
    Errors,
    bootstrap_interval,
    count_errors,
    spoken_words,
    word_error_rate,
)

RULES = """
WER: substitutions, deletions and insertions over the words of the references; texts are
compared in lower case, without punctuation, single digits as words. separated+A is the
target with A times the mixture added ("observation adding"). In brackets: 95 % bootstrap
intervals over utterances; those of the change are of paired utterances.
"""


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description="Word error rates")
    parser.add_argument("--data_dir", required=True, help="holds the sets")
    parser.add_argument("--sets", nargs="+", required=True, help="each has a text")
    parser.add_argument(
        "--inference_dir", required=True, help="SET/hyp.tsv of each set"
    )
    parser.add_argument("--asr", required=True, help="the recogniser, for the record")
    parser.add_argument("--output_dir", required=True)
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command and prints the table.

    Raises:
        SystemExit: With status 2 and one line on stderr if an input cannot be used.
    """
    args = get_parser().parse_args(cmd)
    with bad_input_exits():
        results = {"asr": args.asr, "sets": {}}
        for name in args.sets:
            text = read_table(Path(args.data_dir, name, "text"))
            hypotheses = read_hypotheses(Path(args.inference_dir, name, "hyp.tsv"))
            results["sets"][name] = score(text, hypotheses)
        out = Path(args.output_dir)
        out.mkdir(parents=True, exist_ok=True)
        page = render(results)
        for path, content in (
            (out / "WER.json", json.dumps(results, indent=1) + "\n"),
            (out / "WER.md", page),
        ):
            with write_whole(path) as part:
                part.write_text(content, encoding="utf-8")
        print(page)


def read_hypotheses(path: Path) -> dict[str, dict[str, str]]:
    """Reads a hyp.tsv: condition to utterance to text.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(
                csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, restval="")
            )
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["condition"], {})[row["utterance"]] = row["text"]
    return found


def score(text: dict[str, str], hypotheses: dict[str, dict[str, str]]) -> dict:
    """Word error rates of one set.

    Args:
        text: Utterance to what was said.
        hypotheses: Condition, among them ``mixture``, to utterance to what was heard.

    Returns:
        Condition to ``wer``, ``interval``, counts, and ``change`` against the mixture
        with ``change_interval``.

    Raises:
        ValueError: If a condition lacks utterances.
    """
    errors: dict[str, list[Errors]] = {}
    for condition, heard in hypotheses.items():
        missing = set(text) - set(heard)
        if missing:
            raise ValueError(f"{condition} lacks {len(missing)} of {len(text)} texts")
        errors[condition] = [
            count_errors(spoken_words(text[uid]), spoken_words(heard[uid]))
            for uid in text
        ]
    mixture = errors["mixture"]
    return {
        condition: {
            "utterances": len(items),
            "words": sum(item.words for item in items),
            "substitutions": sum(item.substitutions for item in items),
            "deletions": sum(item.deletions for item in items),
            "insertions": sum(item.insertions for item in items),
            "wer": word_error_rate(items),
            "interval": bootstrap_interval(items),
            "change": word_error_rate(items) - word_error_rate(mixture),
            "change_interval": bootstrap_interval(items, mixture),
        }
        for condition, items in errors.items()
    }


def render(results: dict) -> str:
    """The Markdown page of a WER.json."""
    lines = ["# Word error rates", "", f"Recogniser: {results['asr']}", ""]
    for name, conditions in results["sets"].items():
        first = conditions["mixture"]
        lines += [
            f"## {name}: {first['utterances']} utterances, {first['words']} words",
            "",
            "| condition | WER % | change against the mixture | sub | del | ins |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for condition, entry in conditions.items():
            change = _percent(entry["change"], entry["change_interval"], "+")
            counts = (entry[k] for k in ("substitutions", "deletions", "insertions"))
            cells = [condition, _percent(entry["wer"], entry["interval"])]
            cells.append("" if condition == "mixture" else change)
            lines.append("| " + " | ".join([*cells, *map(str, counts)]) + " |")
        lines += ["", _verdict(conditions), ""]
    return "\n".join(lines) + RULES


def _verdict(conditions: dict) -> str:
    """What the set says about separation, in a sentence."""
    separated = {k: v for k, v in conditions.items() if k.startswith("separated")}
    if not separated:
        return "Nothing was separated."
    best = min(separated, key=lambda name: separated[name]["wer"])
    change, interval = separated[best]["change"], separated[best]["change_interval"]
    if change >= 0:
        return "No form of the separated speech has a lower WER than the mixture."
    sure = "" if interval[1] < 0 else ", but the interval of the change includes zero"
    return f"Lowest after separation: {best}{sure}. It was chosen on these utterances."


def _percent(rate: float, interval: Sequence[float], sign: str = "") -> str:
    low, high = (f"{100 * end:{sign}.1f}" for end in interval)
    return f"{100 * rate:{sign}.1f} [{low}, {high}]"


if __name__ == "__main__":
    main()
