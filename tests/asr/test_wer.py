"""Word error rates against slow and simple computations."""

import functools
import itertools
import json

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from espnet2_caresep.bin import asr_scoring
from espnet2_caresep.data.files import write_table
from espnet2_caresep.scoring.wer import (
    Errors,
    bootstrap_interval,
    count_errors,
    spoken_words,
    word_error_rate,
)

WORDS = st.lists(st.sampled_from(["ab", "c"]), max_size=6)


@given(WORDS, WORDS)
def test_edits_are_those_of_the_definition(reference, hypothesis):
    @functools.cache
    def distance(i, j):
        if not i or not j:
            return i + j
        return min(
            distance(i - 1, j) + 1,
            distance(i, j - 1) + 1,
            distance(i - 1, j - 1) + (reference[i - 1] != hypothesis[j - 1]),
        )

    errors = count_errors(reference, hypothesis)
    assert errors.total == distance(len(reference), len(hypothesis))
    assert errors.words == len(reference)
    assert min(errors.substitutions, errors.deletions, errors.insertions) >= 0
    length = len(reference) - errors.deletions + errors.insertions
    assert length == len(hypothesis)


def test_kinds_of_errors():
    said = ["press", "one", "to", "hear", "this"]
    assert count_errors(said, said) == Errors(5, 0, 0, 0)
    assert count_errors(said, ["press", "to", "hear", "that", "now"]) == Errors(
        5, 1, 1, 1
    )
    assert count_errors(said, []) == Errors(5, 0, 5, 0)
    assert count_errors([], ["press"]) == Errors(0, 0, 0, 1)


@pytest.mark.parametrize(
    "text, words",
    [
        ("That's it...  Press 1, or 7!", "that's it press one or seven"),
        ("followed by # (simple tone) or *", "followed by pound or star"),
        ("mailbox 42 'quoted'", "mailbox 42 quoted"),
        ("[beep]", ""),
        ("PLAY-BACK", "play back"),
    ],
)
def test_words_as_they_are_said(text, words):
    assert spoken_words(text) == words.split()


def test_intervals_over_utterances():
    errors = [Errors(10, wrong, 0, 0) for wrong in (0, 1, 2, 3, 4)] * 20
    low, high = bootstrap_interval(errors, seed=1)
    assert word_error_rate(errors) == 0.2
    # The mean of 100 values of variance 0.02: +-1.96 * sqrt(0.02 / 100)
    assert (low, high) == pytest.approx((0.172, 0.228), abs=0.008)
    # Paired: one error less in every utterance has no spread at all.
    better = [Errors(10, e.substitutions, 0, 1) for e in errors]
    assert bootstrap_interval(errors, better) == pytest.approx((-0.1, -0.1))
    with pytest.raises(ValueError, match="the same in both"):
        bootstrap_interval(errors, errors[1:])


@pytest.fixture
def scored(tmp_path):
    """Scores ``SET={condition: words wrong in each of 40 utterances of 4 words}``.

    A set of noise at -6 dB, of which separation leaves half; sets named valid... choose.
    """
    uids = [f"u{n:02d}" for n in range(40)]
    rng = np.random.default_rng(0)
    clean, noise = 0.1 * rng.standard_normal((2, 8000))
    noise -= clean * (noise @ clean) / (clean @ clean)
    audio = {"clean": clean, "mix": clean + 2 * noise, "target": clean / 2 + noise}
    for name, samples in audio.items():
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, samples, 16000, subtype="FLOAT")

    def score(**sets):
        for name, wrong in sets.items():
            data, outputs = tmp_path / "data" / name, tmp_path / "inference" / name
            data.mkdir(parents=True, exist_ok=True)
            outputs.mkdir(parents=True, exist_ok=True)
            write_table(data / "text", dict.fromkeys(uids, "One two three four."))
            for path, wav in (
                (data / "wav.scp", "mix"),
                (data / "spk1.scp", "clean"),
                (outputs / "spk1.scp", "target"),
            ):
                write_table(path, dict.fromkeys(uids, tmp_path / f"{wav}.wav"))
            rows = ["utterance\tcondition\ttext"]
            for condition, count in wrong.items():
                for uid, n in zip(uids, itertools.cycle(count)):
                    said = ["oh"] * n + ["one", "two", "three", "four"][n:]
                    rows.append(f"{uid}\t{condition}\t{' '.join(said)}")
            (outputs / "hyp.tsv").write_text("\n".join(rows) + "\n")
        valid = [name for name in sets if name.startswith("valid")]
        asr_scoring.main(
            ["--data_dir", str(tmp_path / "data"), "--asr", "small"]
            + ["--sets", *(set(sets) - set(valid)), "--valid_sets", *valid]
            + ["--inference_dir", str(tmp_path / "inference"), "--separator", "sep"]
            + ["--output_dir", str(tmp_path)]
        )
        return (tmp_path / "WER.md").read_text()

    return score


def test_the_page_says_whether_separation_helps(scored, capsys):
    page = scored(test={"mixture": [2], "separated": [1], "clean": [0]})
    assert "Recogniser: small  \nSeparator: sep" in page
    assert "there are no validation sets" in page
    assert "## test: 40 utterances, 160 words" in page
    assert "| mixture | 50.0 [50.0, 50.0] |  | 80 | 0 | 0 |" in page
    row = "| separated | 25.0 [25.0, 25.0] | -25.0 [-25.0, -25.0] | 40 | 0 | 0 |"
    assert row in page
    assert "- test: separated has a lower WER than the mixture." in page
    assert page in capsys.readouterr().out
    page = scored(test={"mixture": [1], "separated": [2], "clean": [0]})
    assert "- test: separated has a higher WER" in page
    unsure = {"mixture": [1, 1, 1, 1, 1, 0], "separated": [0, 2, 0, 2, 0]}
    assert "cannot be told apart (the interval" in scored(test={**unsure, "clean": [0]})


def test_the_share_of_the_mixture_is_chosen_elsewhere(scored, tmp_path):
    others = {"mixture": [2], "clean": [0]}
    page = scored(
        test={**others, "separated": [0], "separated+0.2": [1], "separated+1": [0]},
        valid_a={**others, "separated": [2], "separated+0.2": [0], "separated+1": [1]},
        valid_b={**others, "separated": [0], "separated+0.2": [1], "separated+1": [2]},
    )
    chosen = json.loads((tmp_path / "WER.json").read_text())["chosen"]
    assert chosen["condition"] == "separated+0.2" and chosen["utterances"] == 80
    assert (
        chosen["wer"]["separated+0.2"] == 0.125 and chosen["wer"]["separated"] == 0.25
    )
    assert (
        "Chosen on valid_a, valid_b (80 utterances): separated+0.2, WER 12.5 %" in page
    )
    row = "| test | 50.0 [50.0, 50.0] | 0.0 [0.0, 0.0] | 25.0 [25.0, 25.0] | 0.0 "
    assert row in page
    assert "- test: separated+0.2 has a lower WER than the mixture." in page
    assert "| separated+1 | 0.0 | 25.0 | 50.0 |" in page


def test_what_separation_did_to_the_speech(scored, tmp_path):
    scored(test={"mixture": [2], "separated": [1], "clean": [0]})
    speech = json.loads((tmp_path / "WER.json").read_text())["sets"]["test"]["speech"]
    clean, mix, target = (
        soundfile.read(tmp_path / f"{name}.wav")[0]
        for name in ("clean", "mix", "target")
    )
    for key, estimate in (("mixture_sdr", mix), ("separated_sdr", target)):
        error = np.sum((estimate - clean) ** 2)
        wanted = 10 * np.log10(np.sum(clean**2) / error)
        assert speech[key] == pytest.approx(wanted, abs=1e-4)
    assert speech["improved"] == 1
    assert speech["kept_db"] == pytest.approx(-6.02, abs=0.01)  # half of the amplitude


def test_lost_utterances_are_said(scored, tmp_path, capsys):
    wrong = {"mixture": [1], "separated": [1], "clean": [0]}
    scored(test=wrong)
    hyp = tmp_path / "inference/test/hyp.tsv"
    hyp.write_text("".join(hyp.read_text().splitlines(keepends=True)[:-3]))
    with pytest.raises(SystemExit) as end:
        asr_scoring.main(
            ["--data_dir", str(tmp_path / "data"), "--sets", "test", "--asr", "small"]
            + ["--inference_dir", str(tmp_path / "inference"), "--separator", "sep"]
            + ["--output_dir", str(tmp_path)]
        )
    assert end.value.code == 2
    assert "clean lacks 3 of 40 texts" in capsys.readouterr().err
    assert np.isnan(word_error_rate([]))
