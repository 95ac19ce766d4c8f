"""Chooses prompts with transcripts and writes data directories for recognition.

The Asterisk prompts are one voice. Prompts of at least 4 words and 1.5 to 15 s are taken;
those with the same words stay together. ``unseen`` are for testing, with words that no
training prompt has as a whole and with audio that the separator was not trained on;
``seen`` are some of ``train``, to test with what the recogniser knows.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
import re
from collections import Counter
from pathlib import Path

import soundfile

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import write_table
from espnet2_caresep.scoring.wer import spoken_words

SOUNDS = "asterisk-core-sounds-en-g722"
TEXTS = "asterisk-core-sounds-en"
LINE = re.compile(r"([^;:\s][^:]*): +(.+)")


def read_texts(root: Path) -> dict[str, str]:
    """Prompt to words, from the package's list."""
    texts: dict[str, str] = {}
    for path in sorted(root.rglob("core-sounds-en.txt*")):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as file:
            matches = (LINE.match(line.strip()) for line in file)
            texts.update({match[1]: match[2] for match in matches if match})
    return {name: " ".join(spoken_words(text)) for name, text in texts.items()}


def choose_prompts(
    unpacked: Path, min_words: int, min_seconds: float, max_seconds: float
) -> dict[str, tuple[Path, str]]:
    """Prompt to its audio and words.

    Raises:
        ValueError: If the packages hold none.
    """
    stems = Counter(path.stem for path in (unpacked / SOUNDS).rglob("*.g722"))
    chosen = {}
    for name, words in read_texts(unpacked / TEXTS).items():
        path = unpacked / SOUNDS / "wav" / f"{name.rpartition('/')[2]}.wav"
        # Two prompts of one name in different folders cannot be told apart here.
        if len(words.split()) < min_words or stems[path.stem] != 1:
            continue
        if (
            path.exists()
            and min_seconds <= soundfile.info(path).duration <= max_seconds
        ):
            chosen[name.replace("/", "__")] = path, words
    if not chosen:
        raise ValueError(f"{unpacked}: {SOUNDS} and {TEXTS} hold no prompts to use")
    return chosen


def split_prompts(
    prompts: dict[str, tuple[Path, str]], heard: set[str], unseen: int, valid: int
) -> dict[str, list[str]]:
    """Split to names. What is not in a test or validation set is for training.

    Args:
        prompts: Prompt to its audio and words.
        heard: File stems that the separator was trained on, kept out of ``unseen``.
        unseen: How many to test with.
        valid: How many to validate with.

    Raises:
        ValueError: If too few are left for training.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(prompts):
        groups.setdefault(prompts[name][1], []).append(name)
    order = sorted(groups)
    random.Random(0).shuffle(order)
    splits: dict[str, list[str]] = {"unseen": [], "valid": [], "train": []}
    for words in order:
        names = groups[words]
        new = not any(prompts[name][0].stem in heard for name in names)
        if new and len(splits["unseen"]) < unseen:
            splits["unseen"] += names
        elif len(splits["valid"]) < valid:
            splits["valid"] += names
        else:
            splits["train"] += names
    if len(splits["train"]) < unseen:
        raise ValueError(f"only {len(splits['train'])} prompts are left for training")
    splits["seen"] = random.Random(1).sample(splits["train"], len(splits["unseen"]))
    return splits


def main() -> None:
    """Writes train, valid, unseen and seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unpacked_dir", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True, help="of the corpus")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--unseen", type=int, default=50)
    parser.add_argument("--valid", type=int, default=20)
    args = parser.parse_args()
    prompts = choose_prompts(args.unpacked_dir, 4, 1.5, 15.0)
    with args.table.open(encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if r["split"] != "test"]
    heard = {Path(row["sources"]).stem for row in rows if row["package"] == SOUNDS}
    splits = split_prompts(prompts, heard, args.unseen, args.valid)
    for split, names in splits.items():
        folder = args.output_dir / split
        folder.mkdir(parents=True, exist_ok=True)
        audio = {name: prompts[name][0].resolve() for name in names}
        write_table(folder / "wav.scp", audio)
        write_table(folder / "text", {name: prompts[name][1] for name in names})
        print(f"{split}: {len(names)} prompts")


if __name__ == "__main__":
    with bad_input_exits():
        main()
