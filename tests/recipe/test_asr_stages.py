"""Stages 9 and 10 on tiny data; recognisers are stand-ins, the rest is real."""

import gzip
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import sentencepiece
import soundfile
from packages import python
from places import AUDIO, DEBSOUNDS

from espnet2_caresep.data.files import read_table

ASR_DATA_SH = f"""#!/usr/bin/env bash
echo ran >>asr_data_calls
for split in train valid valid_seen unseen seen; do
    mkdir -p "$2/${{split}}"
    echo "say-${{split}} {AUDIO}/tabla_ghe5.flac" >"$2/${{split}}/wav.scp"
    echo "say-${{split}} please press one now" >"$2/${{split}}/text"
done
echo "say-more {AUDIO}/elec_chime.flac" >>"$2/train/wav.scp"
echo "say-more goodbye" >>"$2/train/text"
LC_ALL=C sort -o "$2/train/wav.scp" "$2/train/wav.scp"
LC_ALL=C sort -o "$2/train/text" "$2/train/text"
"""
# Hears mixtures half, everything else well; training leaves what it was asked.
STAND_IN = """#!{python}
import os, sys
args = sys.argv[1:]
if "espnet2_caresep.bin.asr_decode" in args:
    option = lambda name: args[args.index(name) + 1]
    os.makedirs(option("--output_dir"), exist_ok=True)
    with open(option("--output_dir") + "/hyp.tsv", "w") as file:
        print("utterance", "condition", "text", sep="\\t", file=file)
        for line in open(option("--key_file")):
            for name, text in [("mixture", "please one"), ("clean", "Please press 1, now"),
                               ("separated", "press one now"),
                               ("separated+" + option("--observations"), "please press one now")]:
                print(line.split()[0], name, text, sep="\\t", file=file)
elif "espnet2.bin.asr_train" in args:
    with open(args[args.index("--output_dir") + 1] + "/asked", "w") as file:
        file.write(" ".join(args))
else:
    os.execv("{python}", ["{python}", *args])
"""


@pytest.fixture
def asr_recipe(recipe, run, tiny_model, tmp_path):
    """The recipe after stage 7, with speech; returns a runner of stages 9 and 10."""
    run("--stop_stage", "3")
    (recipe / "local/asr_data.sh").write_text(ASR_DATA_SH)
    (recipe / "local/asr_data.sh").chmod(0o755)
    shutil.copytree(tiny_model, recipe / "exp/caresep_train")
    stand_in = tmp_path / "bin/python3"
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN.format(python=sys.executable))
    stand_in.chmod(0o755)

    def run_asr(*options, status=0):
        done = subprocess.run(
            ["./caresep.sh", "--stage", "9", "--stop_stage", "10", "--nj", "1"]
            + ["--score_with_asr", "true", "--asr_snrs", "-5", "--inference_nj", "1"]
            + ["--asr_observations", "0.3", *options],
            cwd=recipe,
            env={**os.environ, "CARESEP_PYTHON": str(stand_in)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run_asr


def test_word_error_rates_of_a_recipe(asr_recipe, recipe):
    error = asr_recipe(status=2).stderr
    assert "--asr_model says which recogniser; this recipe trains none" in error
    for name in ("train_asr.sh", "asr_units.py"):
        shutil.copy(DEBSOUNDS / "local" / name, recipe / "local")
    shutil.copy(DEBSOUNDS / "conf/asr.yaml", recipe / "conf")
    text = asr_recipe().stdout
    page = (recipe / "exp/caresep_train/scores/WER.md").read_text()
    assert "Recogniser: exp/asr_small (small: one voice, telephone prompts)" in page
    assert "Separator: valid.mixture_sdr.best.pth, SHA-256 " in page
    assert "(2 utterances): separated+0.3, WER 0.0 % there" in page
    assert "Chosen on asr_valid_-5dB, asr_valid_seen_-5dB " in page
    assert "## asr_unseen_-5dB: 1 utterances, 4 words" in page
    assert "| mixture | 50.0 [50.0, 50.0] |  | 0 | 2 | 0 |" in page
    assert "| clean | 0.0 [0.0, 0.0] | -50.0 [-50.0, -50.0] | 0 | 0 | 0 |" in page
    assert "asr_unseen_-5dB: separated+0.3 has a lower WER than" in page
    assert page in text
    scores = json.loads((recipe / "exp/caresep_train/scores/WER.json").read_text())
    assert list(scores["sets"]) == ["asr_unseen_-5dB", "asr_seen_-5dB"]
    noises = {"valid": "valid", "valid_seen": "valid", "unseen": "test", "seen": "test"}
    for group, source in noises.items():
        mixed = read_table(recipe / f"dump/raw/asr_{group}_-5dB/noise")
        assert set(mixed.values()) <= set(
            read_table(recipe / f"dump/raw/{source}/wav.scp")
        )

    # What was separated is as long as the mixture.
    sets = recipe / "exp/caresep_train/inference_valid.mixture_sdr.best"
    separated = read_table(sets / "asr_unseen_-5dB/spk1.scp")
    mixture = read_table(recipe / "dump/raw/asr_unseen_-5dB/wav.scp")
    lengths = [
        soundfile.info(recipe / table["say-unseen"]).frames
        for table in (separated, mixture)
    ]
    assert lengths[0] == lengths[1] > 0

    # The training of the recogniser, and its units.
    asked = (recipe / "exp/asr_small/asked").read_text()
    assert "--config conf/asr.yaml" in asked and "--resume true" in asked
    assert "--train_data_path_and_name_and_type data/asr/train/text,text,text" in asked
    units = recipe / "exp/asr_small/units"
    tokens = (units / "tokens.txt").read_text().split()
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(units / "bpe.model"))
    words = "please press one now"
    assert set(pieces.encode(words, out_type=str)) <= set(tokens)
    assert len(tokens) == len(set(tokens))

    # Another recogniser: only what depends on it is done again.
    text = asr_recipe("--asr_model", "user/asr").stdout
    assert "the mixtures with speech are there already" in text
    assert text.count("Stage 7 is done already for asr_") == 4
    assert (recipe / "asr_data_calls").read_text() == "ran\n"
    page = (recipe / "exp/caresep_train/scores/WER.md").read_text()
    assert "Recogniser: user/asr" in page


def test_a_recipe_without_transcripts_says_so(run):
    text = run("--stage", "9", "--stop_stage", "10", "--score_with_asr", "true").stdout
    assert text.count("no speech with transcripts") == 2
    assert "Stage 9" not in run("--stage", "9", "--stop_stage", "10").stdout


PROMPTS = {
    **{f"p{n}": f"Press {n} for number {n}." for n in range(1, 10)},
    "same-a": "You may press pound now.",
    "same-b": "you may press pound now",
    "heard": "The separator knows these words.",
    "brief": "For training.",
    "quiet": "(10 seconds of silence, nothing more)",
    "tiny": "A clip that is much too short.",
    "fast": "Said in half a second.",
    "twice": "This name stands in two folders.",
}


@pytest.fixture
def prompts(tmp_path):
    """Unpacked packages with prompts, and a table; returns what asr_data.py writes."""
    sounds = tmp_path / "unpacked/asterisk-core-sounds-en-g722"
    texts = tmp_path / "unpacked/asterisk-core-sounds-en/usr"
    for folder in (sounds / "a/b", sounds / "wav", texts):
        folder.mkdir(parents=True)
    for name in PROMPTS:
        (sounds / "a" / f"{name}.g722").touch()
        samples = {"tiny": 4000, "fast": 8000}.get(name, 32000)
        soundfile.write(sounds / "wav" / f"{name}.wav", np.zeros(samples), 16000)
    (sounds / "a/b/twice.g722").touch()
    lines = ["; Core Sounds", "", *(f"{k}: {v}" for k, v in PROMPTS.items())]
    with gzip.open(texts / "core-sounds-en.txt.gz", "wt") as file:
        file.write("\n".join(lines))
    table = "uid\tsplit\tsources\tpackage\n"
    table += "x\ttrain\ty/heard.g722\tasterisk-core-sounds-en-g722\n"
    (tmp_path / "table.tsv").write_text(table)

    def write(*options, status=0):
        arguments = ["--unpacked_dir", tmp_path / "unpacked", "--table"]
        arguments += [tmp_path / "table.tsv", "--output_dir", tmp_path / "asr"]
        error = python("asr_data.py", *arguments, *options, status=status).stderr
        splits = ("train", "valid", "valid_seen", "unseen", "seen")
        if status:
            return error
        return {s: read_table(tmp_path / "asr" / s / "text") for s in splits}

    write.folder = tmp_path / "asr"
    return write


def test_prompts_are_split_by_their_words(prompts):
    splits = prompts("--test", "3", "--valid", "2")
    taken = [name for split in ("train", "valid", "unseen") for name in splits[split]]
    assert sorted(taken) == sorted({*PROMPTS} - {"quiet", "tiny", "twice"})
    assert {"heard", "brief", "fast"} <= set(
        splits["train"]
    )  # trained with, not tested
    texts = {split: set(table.values()) for split, table in splits.items()}
    assert not texts["train"] & (texts["unseen"] | texts["valid"])
    assert not texts["unseen"] & texts["valid"]
    for split in ("seen", "valid_seen"):
        assert splits[split].items() <= splits["train"].items()
        assert not {"heard", "brief", "fast"} & set(splits[split])
    assert not set(splits["seen"]) & set(splits["valid_seen"])
    assert len(splits["seen"]) == len(splits["unseen"]) >= 3
    lengths = read_table(prompts.folder / "train/utt2num_samples")
    assert lengths["fast"] == "8000" and set(lengths) == set(splits["train"])
    every = {name: text for split in splits.values() for name, text in split.items()}
    assert every["p7"] == "press seven for number seven"
    assert prompts("--test", "3", "--valid", "2") == splits


def test_too_few_prompts_are_refused(prompts):
    error = prompts("--test", "4", "--valid", "3", status=2)
    assert "11 prompts can be used for tests: too few for 2 x 4" in error
