"""Signs of presence: which stretch of a recording is listened to, and what it tells."""

import shutil
import tracemalloc
from itertools import chain, pairwise

import numpy as np
import pytest
import soundfile
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_caresep.cli.main import main
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.presence.judge import ListeningJudge
from espnet2_caresep.inference.presence.listening_rule import (
    ListeningRule,
    Signs,
    likeness,
    log_expectation,
)
from espnet2_caresep.inference.presence.telling_stretches import TellingStretches

RULE = {"bias": 0.3, "share_weight": 2.0, "target_weight": 2.0, "mixture_weight": 0.5}


def _best(mixture, targets, length=100, cuts=()):
    stretches = TellingStretches(length, len(targets))
    for a, b in pairwise([0, *cuts, mixture.shape[1]]):
        stretches.update(mixture[:, a:b], targets[..., a:b])
    return stretches.best()


@settings(deadline=None)
@given(st.lists(st.integers(0, 530), max_size=6).map(sorted))
def test_blocks_change_nothing(cuts):
    rng = np.random.default_rng(1)
    mixture = rng.standard_normal((2, 530)).astype(np.float32)
    targets = rng.uniform(0, 1, (3, 1, 530)).astype(np.float32) * mixture
    whole, parts = _best(mixture, targets), _best(mixture, targets, cuts=cuts)
    assert [*map(len, whole)] == [*map(len, parts)] == [2, 2, 2]
    for one, other in zip(chain(*whole), chain(*parts)):
        assert (one.index, one.share) == (other.index, other.share)
        span = slice(100 * one.index, 100 * one.index + 100)
        assert np.array_equal(one.mixture, mixture[:, span].mean(0))
        assert np.array_equal(one.target, other.target)


def test_the_share_counts_more_than_the_level():
    mixture = np.ones((1, 450), np.float32)
    mixture[:, 200:300] = 0.1  # -20 dB
    gains = np.array(
        [
            [0.3, 0.2, 0.2, 0.1, 0.1],  # loudest, and the largest share
            [0.3, 0.2, 0.9, 0.1, 0.1],  # nine times the share outweighs 20 dB
            [0.3, 0.2, 0.4, 0.1, 0.1],  # less than twice does not
            [0.0, 0.0, 0.0, 0.0, 0.2],  # half a stretch at the end
            [0.0, 0.0, 0.0, 0.0, 0.0],
        ],
        np.float32,
    )
    targets = np.repeat(gains, 100, 1)[:, None, :450] * mixture
    best = _best(mixture, targets)
    indices = [[stretch.index for stretch in found] for found in best]
    assert indices == [[0, 1], [2, 0], [0, 2], [4], []]
    assert best[3][0].mixture.shape == (50,)
    # Too short a rest is dropped, unless it is all there is.
    short = targets[3:4, :, :420]
    assert _best(mixture[:, :420], short) == [[]]
    assert _best(mixture[:, 400:420], short[..., 400:])[0][0].index == 0


def test_channels_that_cancel_out_and_silence():
    tone = np.sin(np.arange(100.0, dtype=np.float32))
    both = np.stack([tone, -tone])
    assert _best(both, both[None]) == [[]]
    assert _best(both, np.stack([tone, tone])[None])[0][0].share == 1
    assert _best(0 * both, 0 * both[None]) == [[]]


def test_signs_are_those_of_the_stretch():
    """Every query has its own targets; those of the same stretch share the mixture."""
    rng = np.random.default_rng(0)
    table = {0.5: rng.normal(size=4), 0.25: rng.normal(size=4), 1.0: rng.normal(size=4)}
    calls = []

    def hear(pieces):
        calls.append(len(pieces))
        return np.array([table[float(piece[0])] for piece in pieces])

    tags = rng.normal(size=(3, 4))
    mixture = np.ones((1, 40), np.float32)
    targets = np.zeros((3, 1, 40), np.float32)
    targets[0, :, 10:20], targets[1, :, 10:20] = 0.5, 0.25
    judge = ListeningJudge(ListeningRule(**RULE), tags, 10, hear)
    judge.update(mixture, targets)
    assert calls == []  # nothing is heard before it is asked
    signs = judge.signs()
    assert calls == [3]  # two targets and one mixture
    for i, gain in enumerate([0.5, 0.25]):
        (sign,) = signs[i]
        assert sign.share == pytest.approx(gain**2)
        assert sign.target == likeness(tags[i], table[gain])
        assert sign.mixture == log_expectation(tags[i], table[1.0])
    assert signs[2] == [] and judge.scores()[2] == 0
    targets[2, :, :20] = [[0.5] * 10 + [0.25] * 10]
    judge = ListeningJudge(ListeningRule(**RULE), tags, 10, hear)
    judge.update(mixture, targets)
    assert [sign.share for sign in judge.signs()[2]] == pytest.approx([0.25, 0.0625])
    assert calls[-1] == 6  # four targets and two mixtures
    silent = ListeningJudge(ListeningRule(**RULE), tags, 10, None)
    silent.update(mixture, 0 * targets)
    assert silent.scores() == [0, 0, 0]


def test_memory_does_not_grow_with_length():
    def peak(seconds):
        judge = ListeningJudge(ListeningRule(**RULE), np.zeros((2, 3)), 8000, None)
        block = np.ones((2, 8000), np.float32)
        tracemalloc.start()
        for second in range(seconds):
            judge.update(block, np.stack([block, second * block]))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(200) < 1.2 * peak(10)


@pytest.fixture(scope="module")
def listening(tiny_model, tmp_path_factory):
    """The tiny model, with a rule that listens and a query of a class."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("m") / "listening")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"presence": RULE}))
    return folder


@pytest.fixture(scope="module")
def separator(listening):
    return CaRESeparator.from_pretrained(listening, "cpu", overlap=0.25)


def test_the_score_is_what_the_parts_say(separator, sound):
    """One segment at the network's rate: query, target and mixture tagged by hand."""
    mixture, clip = sound(0, 1.0), sound(1, 0.7)
    found = separator.separate(mixture, clip, 32000)

    def tags(audio):
        logits, _ = separator.network.tag(torch.from_numpy(audio))
        return logits[0].numpy()

    share = np.square(found.target).sum() / np.square(mixture).sum()
    query = tags(clip)
    signs = Signs(
        share,
        likeness(query, tags(found.target)),
        log_expectation(query, tags(mixture)),
    )
    assert found.presence == pytest.approx(
        ListeningRule(**RULE).score([signs]), abs=1e-4
    )
    assert np.allclose(separator.query(clip, 32000).tags, query, atol=1e-4)


def test_stream_file_and_batch_agree(separator, listening, sound, tmp_path, capsys):
    rate = 44100
    mixture, query = sound(0, 3.2, rate, 2), separator.query(sound(1), 32000)
    whole = separator.separate(mixture, query, rate)
    again = separator.separate(mixture, query, rate)
    assert 0 < whole.presence < 1 and whole.presence == again.presence
    (batch,) = separator.separate_batch([mixture], [query], rate)
    assert batch.presence == pytest.approx(whole.presence, abs=1e-6)
    # Beside another query, and in blocks
    both = separator.separate_all(mixture, {"a": query, "b": sound(2)}, rate)
    assert both.presence["a"] == pytest.approx(whole.presence, abs=1e-5)
    stream = separator.open_stream([query], rate, 2)
    for block in np.split(mixture, [100, 20000, 20001], 1):
        stream.push(block)
    stream.finish()
    assert stream.judge.scores() == [whole.presence]
    # Of a file, from the command line
    soundfile.write(tmp_path / "mix.wav", mixture.T, rate, "FLOAT")
    soundfile.write(tmp_path / "clip.wav", sound(1)[0], 32000, "FLOAT")
    command = ["separate", str(tmp_path / "mix.wav"), "--model", str(listening)]
    command += ["--overlap", "0.25", "-o", str(tmp_path / "out"), "--query"]
    assert main([*command, str(tmp_path / "clip.wav")]) == 0
    assert f"presence {whole.presence:.2f}" in capsys.readouterr().out


def test_banks_and_several_clips_carry_tags(separator, listening, sound, tmp_path):
    clips = []
    for i in range(2):
        clips.append(tmp_path / f"{i}.wav")
        soundfile.write(clips[i], sound(i, 0.4)[0], 32000, "FLOAT")
    both = separator.query([*map(str, clips)])
    tags = np.mean([separator.query(clip).tags for clip in clips], 0)
    assert np.allclose(both.tags, tags, atol=1e-6)
    soundfile.write(tmp_path / "mix.wav", sound(5)[0], 32000, "FLOAT")
    bank = str(tmp_path / "dog.safetensors")
    model = ["--model", str(listening)]
    assert main(["bank", "add", bank, *map(str, clips), *model]) == 0
    command = ["separate", str(tmp_path / "mix.wav"), *model, "--json"]
    command += ["-o", str(tmp_path / "out"), "--query"]
    assert main([*command, f"@{bank}"]) == 0
    (sidecar,) = tmp_path.glob("out/**/separation.json")
    (output,) = yaml.safe_load(sidecar.read_text())["outputs"]
    found = separator.separate(str(tmp_path / "mix.wav"), both)
    assert output["presence"] == pytest.approx(found.presence, abs=1e-3)


def test_silence_is_absent(separator, sound):
    found = separator.separate(np.zeros(32000, np.float32), sound(1), 32000)
    assert found.presence == 0
