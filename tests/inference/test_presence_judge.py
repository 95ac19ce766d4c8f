"""Signs of presence: which stretch of a recording is listened to, and what it tells."""

import shutil
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_caresep.cli.main import main
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.presence.fade import Fade
from espnet2_caresep.inference.presence.judge import ListeningJudge
from espnet2_caresep.inference.presence.listening_rule import (
    ListeningRule,
    Signs,
    likeness,
    log_expectation,
    spectral_likeness,
)
from espnet2_caresep.inference.presence.stretches import Stretches
from espnet2_caresep.inference.results import Query
from espnet2_caresep.network.query_layout import QueryLayout

RULE = {
    "bias": 0.3,
    "share_weight": 2.0,
    "target_weight": 2.0,
    "mixture_weight": 0.5,
    "spectrum_weight": 1.5,
}
LAYOUT = QueryLayout(pooled=2, bins=5)


def _queries(tags, spectra=None):
    """Queries of class logits (queries, classes) and log power (queries, bins)."""
    spectra = np.zeros((len(tags), LAYOUT.bins)) if spectra is None else spectra
    pooled = np.full((len(tags), LAYOUT.pooled), np.nan)  # nobody looks at it
    return [*map(Query, np.concatenate([pooled, spectra], 1), np.asarray(tags))]


def _cut(mixture, targets, length=100, cuts=()):
    stretches = Stretches(length, len(targets))
    found = []
    for a, b in pairwise([0, *cuts, mixture.shape[1]]):
        parts = stretches.update(mixture[:, a:b], targets[..., a:b])
        found += [rows.copy() for rows in parts]
    rest = stretches.rest()
    return found if rest is None else [*found, rest]


@settings(deadline=None)
@given(st.lists(st.integers(0, 530), max_size=6).map(sorted))
def test_blocks_change_nothing(cuts):
    rng = np.random.default_rng(1)
    mixture = rng.standard_normal((2, 530)).astype(np.float32)
    targets = rng.uniform(0, 1, (3, 1, 530)).astype(np.float32) * mixture
    found = _cut(mixture, targets, cuts=cuts)
    whole = np.concatenate([mixture.mean(0)[None], targets.mean(1)])
    assert [rows.shape[1] for rows in found] == [100] * 5 + [30]
    assert np.array_equal(np.concatenate(found, 1), whole)
    # Too short a rest is dropped, unless it is all there is.
    assert len(_cut(mixture[:, :520], targets[..., :520])) == 5
    assert [len(x[0]) for x in _cut(mixture[:, :20], targets[..., :20])] == [20]


def _judge(mixture, targets, rule=RULE, tags=None, hear=None):
    tags = np.eye(len(targets)) if tags is None else tags
    hear = hear or (lambda pieces: np.ones((len(pieces), len(targets))))
    judge = ListeningJudge(
        ListeningRule(**rule),
        _queries(tags),
        LAYOUT,
        100,
        lambda pieces: _queries(hear(pieces)),
    )
    judge.update(mixture, targets)
    return judge


def test_every_stretch_that_is_not_silent_counts():
    mixture = np.ones((1, 450), np.float32)
    mixture[:, 200:300] = 0.1  # -20 dB
    gains = np.array(
        [
            [0.3, 0.2, 0.9, 0.1, 0.1],
            [0.0, 0.0, 0.4, 0.0, 0.2],  # the last one is half a stretch
            [0.0, 0.0, 0.0, 0.0, 0.0],
        ],
        np.float32,
    )
    targets = np.repeat(gains, 100, 1)[:, None, :450] * mixture
    judge = _judge(mixture, targets)
    shares = [
        [round(signs.share**0.5, 3) for signs in found] for found in judge.signs()
    ]
    assert shares == [[0.3, 0.2, 0.9, 0.1, 0.1], [0.4, 0.2], []]
    # The best one tells, and the more there are, the more it has to say.
    tells = [judge.rule.score([max(found)]) for found in judge.signs()[:2]]
    scores = [verdict.presence for verdict in judge.verdicts()]
    for score, alone, count in zip(scores, tells, (5, 2)):
        odds = alone / (1 - alone) / count**0.5
        assert score == pytest.approx(odds / (1 + odds))
    assert scores[2] == 0


def test_channels_that_cancel_out_and_silence():
    tone = np.sin(np.arange(100.0, dtype=np.float32))
    both = np.stack([tone, -tone])
    assert _judge(both, both[None]).signs() == [[]]
    ((signs,),) = _judge(both, np.stack([tone, tone])[None]).signs()
    assert signs.share == 1
    (verdict,) = _judge(0 * both, 0 * both[None]).verdicts()
    assert verdict.presence == 0


def test_each_stretch_is_faded_as_a_file_of_its_own_would_be():
    """Tags tell: in the second of four stretches the target is what it should be, in
    the third it is doubtful; the fourth is silent."""
    heard = {0.1: [0.0, 1.0, 0.0], 0.2: [1.0, 0.0, 0.0], 0.3: [0.3, 0.7, 0.0]}
    heard[1.0] = [0.0, 0.0, 0.0]

    def hear(pieces):
        return np.array([heard[round(float(piece[0]), 2)] for piece in pieces])

    rule = {"bias": 0.0, "target_weight": 8.0, "threshold": 0.6, "absent": 0.05}
    rest = {"tags": np.array([[1.0, 0.0, 0.0]]), "hear": hear}
    mixture = np.ones((1, 400), np.float32)
    target = np.repeat([0.1, 0.2, 0.3, 0.0], 100).astype(np.float32)[None, None]
    judge = _judge(mixture, target, rule, **rest)
    (verdict,) = judge.verdicts()
    assert verdict.presence > 0.9 and verdict.fade.level == 1
    alone = []
    for start in (0, 100, 200, 300):
        span = slice(start, start + 100)
        part = _judge(mixture[:, span], target[..., span], rule, **rest)
        alone.append(part.verdicts()[0].fade.level)
    assert verdict.fade.gains == pytest.approx(tuple(alone))
    assert alone[1] == 1 and alone[0] == alone[3] == 0.01 and 0.1 < alone[2] < 0.99
    # Nothing is louder than in a recording whose sound is judged absent
    judge.rule = ListeningRule(**rule | {"bias": -8.0})
    (doubted,) = judge.verdicts()
    assert doubted.fade.level < 1
    assert max(doubted.fade.gains) <= doubted.fade.level
    # A rule that is not calibrated fades nothing
    judge.rule = ListeningRule(**rule | {"absent": 0.0})
    assert set(judge.verdicts()[0].fade.gains) == {1}
    # Beside the best stretch one that would be loud enough alone is in doubt
    bias, likely = 1.6, likeness(np.array([1.0, 0.0, 0.0]), np.array(heard[0.3]))
    odds = np.exp(bias + 8.0 * likely)
    judge.rule = ListeningRule(**rule | {"bias": bias})
    assert judge.verdicts()[0].fade.gains[1:3] == (1, 1)
    judge.rule = ListeningRule(**rule | {"bias": bias, "certain": 0.9})
    gains = judge.verdicts()[0].fade.gains
    assert gains[1:3] == pytest.approx((1, np.sqrt(odds / 9)))
    assert 0.4 < gains[2] < 0.8


@given(
    st.lists(st.floats(0.01, 1), max_size=6),
    st.integers(1, 50),
    st.lists(st.integers(0, 400), min_size=2, max_size=2).map(sorted),
)
def test_gains_run_from_middle_to_middle(gains, length, span):
    fade = Fade(0.5, length, tuple(gains))
    found = fade.between(*span)
    assert found.dtype == np.float32 and len(found) == span[1] - span[0]
    if not gains:
        assert (found == 0.5).all()
        return
    assert np.array_equal(found, fade.between(0, span[1])[span[0] :])
    assert ((min(gains) - 1e-6 <= found) & (found <= 1)).all()
    middles = np.arange(len(gains)) * 2 * length + length
    of_twice = Fade(0.5, 2 * length, tuple(gains)).between(0, 600)
    assert of_twice[middles] == pytest.approx(gains)


def test_the_louder_stretch_counts_where_two_meet():
    found = Fade(1.0, 100, (0.1, 1.0, 0.1)).between(0, 300)
    assert (found[100:200] == 1).all()
    assert found[99] > 0.98 and found[200] > 0.98
    assert found[0] == found[299] == np.float32(0.1)


def test_signs_are_those_of_the_stretch():
    """Every query has its own targets; those of the same stretch share the mixture."""
    rng = np.random.default_rng(0)
    levels = (0.5, 0.25, 1.0)
    table = dict(zip(levels, rng.normal(size=(3, 4))))
    spectra = dict(zip(levels, rng.normal(size=(3, 5))))
    calls = []

    def hear(pieces):
        calls.append(len(pieces))
        found = [float(piece[0]) for piece in pieces]
        return _queries([table[x] for x in found], [spectra[x] for x in found])

    tags, wanted = rng.normal(size=(3, 4)), rng.normal(size=(3, 5))
    queries = _queries(tags, wanted)
    mixture = np.ones((1, 40), np.float32)
    targets = np.zeros((3, 1, 40), np.float32)
    targets[0, :, 10:20], targets[1, :, 10:20] = 0.5, 0.25
    judge = ListeningJudge(ListeningRule(**RULE), queries, LAYOUT, 10, hear)
    judge.update(mixture, targets)
    assert calls == [3]  # two targets and one mixture; nothing in silence
    signs = judge.signs()
    for i, gain in enumerate([0.5, 0.25]):
        (sign,) = signs[i]
        assert sign.share == pytest.approx(gain**2)
        assert sign.target == likeness(tags[i], table[gain])
        assert sign.mixture == log_expectation(tags[i], table[1.0])
        assert sign.spectrum == spectral_likeness(wanted[i], spectra[gain])
    assert signs[2] == [] and judge.verdicts()[2].presence == 0
    targets[2, :, :20] = [[0.5] * 10 + [0.25] * 10]
    judge = ListeningJudge(ListeningRule(**RULE), queries, LAYOUT, 10, hear)
    judge.update(mixture, targets)
    assert [sign.share for sign in judge.signs()[2]] == pytest.approx([0.25, 0.0625])
    assert calls[1:] == [2, 4]  # each stretch once, the mixture once for all queries
    silent = ListeningJudge(ListeningRule(**RULE), queries, LAYOUT, 10, None)
    silent.update(mixture, 0 * targets)
    assert [verdict.presence for verdict in silent.verdicts()] == [0, 0, 0]


def test_memory_does_not_grow_with_length():
    def peak(seconds):
        judge = ListeningJudge(
            ListeningRule(**RULE),
            _queries(np.zeros((2, 3))),
            LAYOUT,
            8000,
            lambda pieces: _queries(np.zeros((len(pieces), 3))),
        )
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

    def spectrum(audio):
        embedding = separator.network.embed(torch.from_numpy(audio))
        return embedding[0, separator.network.pooled_dim :].numpy()

    share = np.square(found.target).sum() / np.square(mixture).sum()
    query = tags(clip)
    signs = Signs(
        share,
        likeness(query, tags(found.target)),
        log_expectation(query, tags(mixture)),
        spectral_likeness(spectrum(clip), spectrum(found.target)),
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
    assert stream.judge.verdicts() == [(whole.presence, whole.fade)]
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
