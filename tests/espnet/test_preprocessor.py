from unittest import mock

import numpy as np
import pytest
import soundfile
from synthetic import CLASSES, RATE, SAMPLES

from espnet2_caresep.config import ConfigError
from espnet2_caresep.data.files import write_table
from espnet2_caresep.data.preprocessor import PairMixingPreprocessor
from espnet2_caresep.data.segments import SegmentReader

PATH = {"speech_ref1": "never opened: the draw decides"}


@pytest.fixture
def make(corpus):
    def preprocessor(train=True, **options):
        defaults = {"source_dir": str(corpus / "train"), "max_samples": SAMPLES}
        return PairMixingPreprocessor(train, CLASSES, **{**defaults, **options})

    return preprocessor


def examples(preprocessor, count, uid="tone-06"):
    return [preprocessor(uid, dict(PATH)) for _ in range(count)]


def equal(first, second):
    return all(
        a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)
        for a, b in zip(first, second, strict=True)
    )


def test_a_pair_is_a_mixture_of_two_sources_at_0_db(make):
    for pair in examples(make(), 30):
        assert pair["speech_mix"].shape == (SAMPLES,)
        assert pair["speech_mix"].dtype == np.float32
        total = pair["speech_ref1"] + pair["speech_ref2"]
        np.testing.assert_allclose(pair["speech_mix"], total, atol=1e-6)
        power = [np.mean(pair[f"speech_ref{n}"] ** 2) for n in (1, 2)]
        assert power[1] == pytest.approx(power[0], rel=1e-3)
        assert not (pair["label1"] * pair["label2"]).any()
        # The query is the target's own segment, at its own level.
        np.testing.assert_array_equal(pair["enroll_ref1"], pair["speech_ref1"])
        scale = pair["speech_ref2"].std() / pair["enroll_ref2"].std()
        np.testing.assert_allclose(
            scale * pair["enroll_ref2"], pair["speech_ref2"], atol=1e-5
        )


def test_first_sources_are_balanced_over_classes_or_the_example_itself(make):
    first = np.mean([pair["label1"] for pair in examples(make(), 400)], 0)
    # One tone clip of eight is also a buzz, and one of the three buzzes a tone.
    assert first == pytest.approx([1 / 3 + 1 / 24, 1 / 3, 1 / 3 + 1 / 9], abs=0.08)
    own = examples(make(balance="utterance"), 20, uid="buzz-01")
    assert all(pair["label1"].tolist() == [1, 0, 0] for pair in own)


def test_draws_repeat_for_a_seed_and_differ_between_streams(make):
    def stream(epoch=1, worker=None, **options):
        preprocessor = make(**options)
        preprocessor.set_epoch(epoch)
        info = None if worker is None else mock.Mock(id=worker)
        target = "espnet2_caresep.data.preprocessor.get_worker_info"
        with mock.patch(target, return_value=info):
            return examples(preprocessor, 3)

    base = stream()
    assert equal(base, stream())
    assert not equal(base[:1], base[1:2])
    for other in (
        stream(seed=1),
        stream(epoch=2),
        stream(rank=1),
        stream(worker=1),
        stream(worker=1, rank=1),
        stream(worker=1, epoch=2),
    ):
        assert not equal(base, other)
    # ESPnet adds up epoch and worker: (1, 1) and (2, 0) would be one stream.
    assert not equal(stream(epoch=1, worker=1), stream(epoch=2, worker=0))


def test_an_epoch_starts_its_stream_anew(make):
    preprocessor = make()
    preprocessor.set_epoch(3)
    first = examples(preprocessor, 2)
    preprocessor.set_epoch(4)
    examples(preprocessor, 1)
    preprocessor.set_epoch(3)
    assert equal(first, examples(preprocessor, 2))


def test_outside_training_the_name_alone_decides(make):
    preprocessor = make(train=False, p_silence=0.5, p_other=1.0)
    first, second = examples(preprocessor, 2)
    assert equal([first], [second])
    assert equal([first], [make(train=False)("tone-06", dict(PATH))])
    assert first["label1"].tolist() == [0, 0, 1]
    assert not equal([first], examples(preprocessor, 1, uid="tone-07"))


def test_anchors_of_another_clip(make):
    pairs = examples(make(p_other=1.0), 20)
    assert not any(
        np.array_equal(pair["enroll_ref1"], pair["speech_ref1"]) for pair in pairs
    )
    share = np.mean(
        [
            np.array_equal(pair["enroll_ref1"], pair["speech_ref1"])
            for pair in examples(make(p_other=0.5), 100)
        ]
    )
    assert 0.3 < share < 0.7


@pytest.mark.parametrize("kind", ["identity", "silence"])
def test_special_triplets(make, kind):
    for pair in examples(make(**{f"p_{kind}": 1.0}), 5):
        inputs = pair["speech_mix"], pair["speech_mix2"]
        targets = pair["speech_ref1"], pair["speech_ref2"]
        if kind == "identity":
            np.testing.assert_array_equal(inputs, targets)
            # Each input is the query's own sound.
            assert inputs[0].std() == pytest.approx(inputs[1].std(), rel=1e-3)
        else:
            assert not np.any(targets)
            # The input of the first triplet is the second source and vice versa.
            np.testing.assert_allclose(inputs[1], pair["enroll_ref1"], atol=1e-6)


def test_a_third_sound_is_in_the_mixture_and_never_the_target(make):
    def thirds(**options):
        for pair in examples(make(balance="utterance", **options), 10):
            total = pair["speech_ref1"] + pair["speech_ref2"]
            yield pair, pair["speech_mix"] - total

    for pair, third in thirds(p_third=1.0, snr_range=[6, 6], gain_range=[-20, -20]):
        power = np.mean(pair["speech_ref1"] ** 2)
        assert 10 * np.log10(power / np.mean(third**2)) == pytest.approx(6, abs=0.01)
    held = [np.abs(third).max() > 1e-3 for _, third in thirds(p_third=0.5)]
    assert 0 < sum(held) < len(held)
    assert all(np.abs(third).max() < 1e-6 for _, third in thirds())
    # What is left when the target is taken away holds the third
    for pair in examples(make(balance="utterance", p_third=1.0, p_silence=1.0), 5):
        rest = pair["speech_mix2"] - pair["enroll_ref1"]
        assert np.abs(rest).max() > 1e-3


def test_levels(make):
    for pair in examples(make(snr_range=[6, 6], gain_range=[-20, -20]), 5):
        power = [np.mean(pair[f"speech_ref{n}"] ** 2) for n in (1, 2)]
        assert 10 * np.log10(power[0] / power[1]) == pytest.approx(6, abs=0.01)
        own = np.mean(pair["enroll_ref1"] ** 2)
        assert 10 * np.log10(power[0] / own) == pytest.approx(-20, abs=0.01)
        total = pair["speech_ref1"] + pair["speech_ref2"]
        np.testing.assert_allclose(pair["speech_mix"], total, atol=1e-6)


def test_tagging_needs_anchors_and_labels_only(make):
    for example in examples(make(mode="cls"), 5):
        assert set(example) == {"enroll_ref1", "enroll_ref2", "label1", "label2"}
        assert example["enroll_ref2"].shape == (SAMPLES,)


def test_a_tagger_is_given_whole_clips_besides(make):
    for example in examples(make(mode="tagger"), 5):
        for n in (1, 2):
            segment, whole = example[f"enroll_ref{n}"], example[f"speech_ref{n}"]
            assert segment.shape == (SAMPLES,) and whole.shape == (4 * SAMPLES,)
            held = np.trim_zeros(whole)
            assert np.trim_zeros(segment)[:100].tobytes() in held.tobytes()
        assert example["label1"].sum() == 1


def test_segments_are_energetic_and_short_clips_padded(tmp_path):
    audio = np.zeros(10 * RATE, np.float32)
    audio[6 * RATE : 7 * RATE] = 0.5
    soundfile.write(tmp_path / "event.wav", audio, RATE)
    soundfile.write(tmp_path / "short.wav", audio[6 * RATE : 6 * RATE + 8000], RATE)
    reader = SegmentReader(RATE, RATE)
    rng = np.random.default_rng(0)
    segments = [reader.read(rng, str(tmp_path / "event.wav")) for _ in range(20)]
    share = [np.mean(segment > 0.1) for segment in segments]
    assert min(share) >= 0.1 and len(set(share)) > 3
    short = [reader.read(rng, str(tmp_path / "short.wav")) for _ in range(5)]
    assert all(segment.shape == (RATE,) for segment in short)
    assert all(np.sum(segment > 0.1) == 8000 for segment in short)
    assert len({int(np.argmax(segment)) for segment in short}) > 1


def spoil(folder, name):
    """Two classes of three clips, of which one of each class can be used."""
    clean = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    bad = {
        "nan": np.full(RATE, np.nan),
        "silent": np.zeros(RATE),
        "short": clean[:100],
    }
    labels = {}
    for kind in ("buzz", "hiss"):
        for number in range(3):
            uid = f"{kind}{number}"
            labels[uid] = kind
            path = folder / f"{uid}.wav"
            if number == 0:
                soundfile.write(path, clean, RATE, subtype="FLOAT")
            elif name == "corrupt":
                path.write_bytes(b"RIFF of no kind")
            elif name == "rate":
                soundfile.write(path, clean, 16000)
            elif name != "missing":
                soundfile.write(path, bad[name], RATE, subtype="FLOAT")
    write_table(folder / "wav.scp", {uid: folder / f"{uid}.wav" for uid in labels})
    write_table(folder / "labels", labels)


@pytest.mark.parametrize(
    "name", ["nan", "silent", "short", "corrupt", "rate", "missing"]
)
def test_unusable_clips_are_counted_logged_and_replaced(make, tmp_path, caplog, name):
    spoil(tmp_path, name)
    preprocessor = make(source_dir=str(tmp_path), segment_seconds=0.5)
    for pair in examples(preprocessor, 10):
        assert all(np.isfinite(value).all() for value in pair.values())
    assert preprocessor.reader.skipped > 0
    assert f"({preprocessor.reader.skipped} so far)" in caplog.text
    assert "buzz1.wav" in caplog.text or "buzz2.wav" in caplog.text


def test_nothing_usable_is_an_error_and_not_an_endless_loop(make, tmp_path):
    spoil(tmp_path, "corrupt")
    for kind in ("buzz", "hiss"):
        (tmp_path / f"{kind}0.wav").write_bytes(b"")
    preprocessor = make(source_dir=str(tmp_path))
    with pytest.raises(ConfigError, match="clips in a row cannot be used.*buzz|hiss"):
        examples(preprocessor, 1)


def fixed(**changes):
    rng = np.random.default_rng(0)
    names = ("speech_mix", "speech_ref1", "speech_ref2", "enroll_ref1", "enroll_ref2")
    data = {name: rng.standard_normal(1000) for name in names}
    return {**data, "label1": "tone buzz", "label2": "hiss", **changes}


def test_fixed_mixtures_are_kept_and_labels_become_vectors(make):
    data = fixed()
    example = make(train=False, source_dir=None)("pair", dict(data))
    assert example["label1"].tolist() == [1, 0, 1]
    assert example["label2"].tolist() == [0, 1, 0]
    for name in ("speech_mix", "speech_ref2", "enroll_ref1"):
        np.testing.assert_allclose(example[name], data[name].astype(np.float32))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"label1": "howl"}, "pair: class 'howl'"),
        ({"speech_ref2": np.zeros(10)}, "differ in length"),
        ({"speech_mix": np.zeros((1000, 2))}, "one channel"),
        ({"speech_mix": np.full(1000, np.nan)}, "not finite"),
    ],
)
def test_bad_fixed_mixtures_are_refused(make, changes, message):
    with pytest.raises(ConfigError, match=message):
        make(train=False, source_dir=None)("pair", fixed(**changes))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"balance": "clip"}, "balance"),
        ({"p_other": 1.5}, "p_other"),
        ({"p_third": -0.1}, "p_third"),
        ({"p_identity": 0.6, "p_silence": 0.6}, "at most 1"),
        ({"snr_range": [5]}, "snr_range"),
        ({"segment_seconds": 1.0}, "segment_seconds"),
    ],
)
def test_options_without_meaning_are_refused(make, options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)
