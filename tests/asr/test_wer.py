"""Word error rates against slow and simple computations."""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_caresep.bin import asr_scoring
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
    """Scores ``{condition: words wrong in each of 40 utterances of 4 words}``."""

    def score(**wrong):
        folder = tmp_path / "set"
        folder.mkdir(exist_ok=True)
        uids = [f"u{n:02d}" for n in range(40)]
        text = "".join(f"{uid} One two three four.\n" for uid in uids)
        (folder / "text").write_text(text)
        rows = ["utterance\tcondition\ttext"]
        for condition, count in wrong.items():
            for uid, n in zip(uids, itertools.cycle(count)):
                said = ["oh"] * n + ["one", "two", "three", "four"][n:]
                rows.append(f"{uid}\t{condition}\t{' '.join(said)}")
        (folder / "hyp.tsv").write_text("\n".join(rows) + "\n")
        asr_scoring.main(
            ["--data_dir", str(tmp_path), "--sets", "set", "--asr", "small"]
            + ["--inference_dir", str(tmp_path), "--output_dir", str(tmp_path)]
        )
        return (tmp_path / "WER.md").read_text()

    return score


def test_the_page_says_whether_separation_helps(scored, capsys):
    page = scored(mixture=[2], clean=[0], separated=[1], **{"separated+0.2": [0, 1]})
    assert "set: 40 utterances, 160 words" in page
    assert "| mixture | 50.0 [50.0, 50.0] |  | 80 | 0 | 0 |" in page
    assert (
        "| separated | 25.0 [25.0, 25.0] | -25.0 [-25.0, -25.0] | 40 | 0 | 0 |" in page
    )
    assert "Lowest after separation: separated+0.2. It was chosen on these" in page
    assert page in capsys.readouterr().out
    page = scored(mixture=[1], clean=[0], separated=[2])
    assert "No form of the separated speech has a lower WER" in page
    page = scored(mixture=[1, 1, 1, 1, 1, 0], clean=[0], separated=[0, 2, 0, 2, 0])
    assert "the interval of the change includes zero" in page


def test_lost_utterances_are_said(scored, tmp_path, capsys):
    scored(mixture=[1], separated=[1])
    hyp = tmp_path / "set/hyp.tsv"
    hyp.write_text("".join(hyp.read_text().splitlines(keepends=True)[:-3]))
    with pytest.raises(SystemExit) as end:
        asr_scoring.main(
            ["--data_dir", str(tmp_path), "--sets", "set", "--asr", "small"]
            + ["--inference_dir", str(tmp_path), "--output_dir", str(tmp_path)]
        )
    assert end.value.code == 2
    assert "separated lacks 3 of 40 texts" in capsys.readouterr().err
    assert np.isnan(word_error_rate([]))
