"""Word error rates of mixtures, separated and clean speech, by set.

    python -m espnet2_caresep.bin.asr_scoring --data_dir dump/raw --sets asr_unseen_0dB ... \
        --valid_sets asr_valid_0dB ... --inference_dir exp/X/inference --separator X \
        --asr MODEL --output_dir exp/X/scores

writes ``WER.json`` and, rendered from it, ``WER.md``. How much of the mixture is added to
what was separated is chosen on the validation sets, all together, and then stands for each
of the other sets. Intervals are 95 % bootstrap intervals over utterances.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import read_table, write_whole
from espnet2_caresep.scoring.speech import separated_speech
from espnet2_caresep.scoring.wer import (
    Errors,
    bootstrap_interval,
    count_errors,
    spoken_words,
    word_error_rate,
)
from espnet2_caresep.scoring.wer_page import render


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description="Word error rates")
    parser.add_argument("--data_dir", required=True, help="holds the sets")
    parser.add_argument("--sets", nargs="+", required=True, help="each has a text")
    parser.add_argument(
        "--valid_sets", nargs="*", default=[], help="sets to choose the share on"
    )
    parser.add_argument(
        "--inference_dir",
        required=True,
        help="SET/hyp.tsv and SET/spk1.scp of each set",
    )
    parser.add_argument("--separator", required=True, help="for the record")
    parser.add_argument("--asr", required=True, help="the recogniser, for the record")
    parser.add_argument("--output_dir", required=True)
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Scores, writes both files and prints the table.

    Raises:
        ValueError: If an input cannot be used.
    """
    sets, valid_sets = (
        {name: _read_errors(args, name) for name in names}
        for names in (args.sets, args.valid_sets)
    )
    results = {
        "asr": args.asr,
        "separator": args.separator,
        "chosen": choose(valid_sets),
        "sets": {
            name: {
                "conditions": score(errors),
                "speech": separated_speech(
                    Path(args.data_dir, name),
                    Path(args.inference_dir, name, "spk1.scp"),
                ),
            }
            for name, errors in sets.items()
        },
        "valid_sets": {
            name: {"conditions": score(errors)} for name, errors in valid_sets.items()
        },
    }
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


def _read_errors(args: argparse.Namespace, name: str) -> dict[str, list[Errors]]:
    text = read_table(Path(args.data_dir, name, "text"))
    hypotheses = read_hypotheses(Path(args.inference_dir, name, "hyp.tsv"))
    return compare(text, hypotheses)


def compare(
    text: dict[str, str], hypotheses: dict[str, dict[str, str]]
) -> dict[str, list[Errors]]:
    """Condition to the errors in each utterance.

    Args:
        text: Utterance to what was said.
        hypotheses: Condition to utterance to what was heard.

    Raises:
        ValueError: If a condition lacks utterances.
    """
    errors = {}
    for condition, heard in hypotheses.items():
        missing = set(text) - set(heard)
        if missing:
            raise ValueError(f"{condition} lacks {len(missing)} of {len(text)} texts")
        errors[condition] = [
            count_errors(spoken_words(text[uid]), spoken_words(heard[uid]))
            for uid in text
        ]
    return errors


def choose(sets: dict[str, dict[str, list[Errors]]]) -> dict | None:
    """The form of the separated speech with the lowest WER over all sets together.

    Returns:
        ``condition``, ``wer`` of each condition, the ``sets`` and their ``utterances``;
        None without sets.
    """
    if not sets:
        return None
    first = next(iter(sets.values()))
    pooled = {c: [e for errors in sets.values() for e in errors[c]] for c in first}
    wer = {condition: word_error_rate(errors) for condition, errors in pooled.items()}
    # The first of equals: shares are listed from the smallest on
    best = min((c for c in wer if c.startswith("separated")), key=wer.get)
    utterances = len(pooled["mixture"])
    return {"condition": best, "wer": wer, "sets": list(sets), "utterances": utterances}


def score(errors: dict[str, list[Errors]]) -> dict:
    """Word error rates of one set.

    Args:
        errors: Condition, among them ``mixture``, to the errors in each utterance.

    Returns:
        Condition to ``wer``, ``interval``, counts, and ``change`` against the mixture
        with ``change_interval``.
    """
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


if __name__ == "__main__":
    main()
