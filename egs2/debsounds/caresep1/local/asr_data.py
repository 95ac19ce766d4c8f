"""Chooses prompts with transcripts and writes data directories for recognition.

The Asterisk prompts are one voice; those with the same words stay together. Tests are made
of prompts of at least 4 words and 1.5 s whose audio the separator was not trained on:

- ``unseen`` and ``seen`` are for testing; only ``seen`` are in the recogniser's ``train``;
- ``valid`` and ``valid_seen`` are others, in the same way, for choosing: weights of the
  recogniser (``valid`` alone) and the share of the mixture.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import soundfile

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import write_table
from espnet2_caresep.scoring.wer import spoken_words

SOUNDS = "asterisk-core-sounds-en-g722"
TEXTS = "asterisk-core-sounds-en"
MIN_SECONDS, MAX_SECONDS = 0.3, 15.0
LINE = re.compile(r"([^;:\s][^:]*): +(.+)")


class Prompt(NamedTuple):
    """One recording."""

    path: Path
    words: str
    num_samples: int  # at 16 kHz

    @property
    def is_sentence(self) -> bool:
        """Whether it is long enough to test with."""
        return len(self.words.split()) >= 4 and self.num_samples >= 1.5 * 16000


def read_texts(root: Path) -> dict[str, str]:
    """Prompt to words, from the package's list."""
    texts: dict[str, str] = {}
    for path in sorted(root.rglob("core-sounds-en.txt*")):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as file:
            matches = (LINE.match(line.strip()) for line in file)
            texts.update({match[1]: match[2] for match in matches if match})
    return {name: " ".join(spoken_words(text)) for name, text in texts.items()}


def find_prompts(unpacked: Path) -> dict[str, Prompt]:
    """Name to prompt.

    Raises:
        ValueError: If the packages hold none.
    """
    stems = Counter(path.stem for path in (unpacked / SOUNDS).rglob("*.g722"))
    found = {}
    for name, words in read_texts(unpacked / TEXTS).items():
        path = unpacked / SOUNDS / "wav" / f"{name.rpartition('/')[2]}.wav"
        # Two prompts of one name in different folders cannot be told apart here.
        if not words or stems[path.stem] != 1 or not path.exists():
            continue
        info = soundfile.info(path)
        if MIN_SECONDS <= info.duration <= MAX_SECONDS:
            found[name.replace("/", "__")] = Prompt(path, words, info.frames)
    if not found:
        raise ValueError(f"{unpacked}: {SOUNDS} and {TEXTS} hold no prompts to use")
    return found


def split_prompts(
    prompts: dict[str, Prompt], heard: set[str], test: int, valid: int
) -> dict[str, list[str]]:
    """Split to names. What is not in ``unseen`` or ``valid`` is for training.

    Args:
        prompts: Name to prompt.
        heard: File stems that the separator was trained on, kept out of all but training.
        test: How many to test with, unseen and seen.
        valid: How many to choose with, unseen and seen.

    Raises:
        ValueError: If there are too few.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(prompts):
        groups.setdefault(prompts[name].words, []).append(name)
    order = sorted(groups)
    random.Random(0).shuffle(order)
    splits: dict[str, list[str]] = {"unseen": [], "valid": [], "train": []}
    usable = {
        name
        for name, prompt in prompts.items()
        if prompt.is_sentence and prompt.path.stem not in heard
    }
    for words in order:
        names = groups[words]
        if usable.issuperset(names) and len(splits["unseen"]) < test:
            splits["unseen"] += names
        elif usable.issuperset(names) and len(splits["valid"]) < valid:
            splits["valid"] += names
        else:
            splits["train"] += names
    known = [name for name in splits["train"] if name in usable]
    if len(splits["valid"]) < valid or len(known) < test + valid:
        raise ValueError(
            f"{len(usable)} prompts can be used for tests: too few for "
            f"2 x {test} to test and 2 x {valid} to choose with"
        )
    known = random.Random(1).sample(known, test + valid)
    return {**splits, "seen": known[:test], "valid_seen": known[test:]}


def main() -> None:
    """Writes train, valid, valid_seen, unseen and seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unpacked_dir", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True, help="of the corpus")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--test", type=int, default=50)
    parser.add_argument("--valid", type=int, default=40)
    args = parser.parse_args()
    prompts = find_prompts(args.unpacked_dir)
    with args.table.open(encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if r["split"] != "test"]
    heard = {Path(row["sources"]).stem for row in rows if row["package"] == SOUNDS}
    splits = split_prompts(prompts, heard, args.test, args.valid)
    for split, names in splits.items():
        folder = args.output_dir / split
        folder.mkdir(parents=True, exist_ok=True)
        columns = {
            "wav.scp": lambda prompt: prompt.path.resolve(),
            "text": lambda prompt: prompt.words,
            "utt2num_samples": lambda prompt: prompt.num_samples,
        }
        for file, column in columns.items():
            table = {name: column(prompts[name]) for name in names}
            write_table(folder / file, table)
        minutes = sum(prompts[name].num_samples for name in names) / 16000 / 60
        print(f"{split}: {len(names)} prompts, {minutes:.1f} minutes")


if __name__ == "__main__":
    with bad_input_exits():
        main()
