"""CaRESeparator on audio as people have it."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.presence.fade import Fade
from espnet2_caresep.scoring.metrics import sdr


@pytest.fixture(scope="module")
def separator(tiny_model):
    return CaRESeparator.from_pretrained(tiny_model, "cpu")


def test_equals_the_network_itself(separator, tiny_network, sound):
    mixture, query = sound(0), sound(1)
    result = separator.separate(mixture, query, 32000)
    with torch.inference_mode():
        embedding = tiny_network.embed(torch.from_numpy(query))
        expected = tiny_network.separate(torch.from_numpy(mixture), embedding)
    assert sdr(expected, result.target)[0] > 100
    assert np.allclose(separator.embed(query, 32000), embedding[0], atol=1e-5)


def test_query_matters(separator, sound):
    mixture = sound(0)
    one = separator.separate(mixture, sound(1), 32000).target
    two = separator.separate(mixture, sound(5), 32000).target
    assert sdr(one, two)[0] < 60


@pytest.mark.parametrize("kind", ["path", "array", "tensor", "flat", "float64"])
def test_ways_to_give_audio(separator, sound, tmp_path, kind):
    mixture, query = sound(0), sound(1)
    expected = separator.separate(mixture, query, 32000).target
    if kind == "path":
        for name, audio in (("m.wav", mixture), ("q.flac", query)):
            subtype = "FLOAT" if name == "m.wav" else "PCM_24"
            soundfile.write(tmp_path / name, audio.T, 32000, subtype=subtype)
        result = separator.separate(str(tmp_path / "m.wav"), tmp_path / "q.flac")
        expected = expected[0]
    elif kind == "tensor":
        result = separator.separate(torch.tensor(mixture), torch.tensor(query), 32000)
    elif kind == "flat":
        result = separator.separate(mixture[0], query[0], 32000)
        expected = expected[0]
    else:
        mixture = mixture.astype(np.float64) if kind == "float64" else mixture
        result = separator.separate(mixture, query, 32000)
    assert result.target.shape == expected.shape
    assert result.target.dtype == result.residual.dtype == np.float32
    assert sdr(np.ravel(expected), np.ravel(result.target)) > 80


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(1, 3),
    st.sampled_from([8000, 22050, 32000, 44100, 48000, 384000]),
    st.floats(0.04, 3.0),
)
def test_comes_back_as_it_came(separator, sound, channels, rate, seconds):
    mixture = np.round(sound(2, seconds, rate, channels) * 2**15) / 2**15
    result = separator.separate(mixture, sound(1), rate, 32000)
    assert result.sample_rate == rate
    assert result.target.shape == result.residual.shape == mixture.shape
    assert np.array_equal(result.target + result.residual, mixture)
    faint = replace(result, fade=Fade(1.0, 4000, (0.25, 1.0))).faded()
    gains = Fade(1.0, 4000, (0.25, 1.0)).between(0, mixture.shape[-1])
    assert np.allclose(faint.target, result.target * gains, atol=1e-7)
    assert np.array_equal(faint.target + faint.residual, mixture)
    assert np.array_equal(faint.faded().target, faint.target)
    assert (faint.sample_rate, faint.presence) == (rate, result.presence)


def test_each_stem_has_its_own_fade(separator, sound):
    mixture = np.round(sound(0, 0.4) * 2**15) / 2**15
    found = separator.separate_all(mixture, {"a": sound(1), "b": sound(2)}, 32000)
    fades = {"a": Fade(0.5), "b": Fade(1.0, 3200, (0.01, 1.0))}
    faint = replace(found, fade=fades).faded()
    gains = {name: fade.between(0, 12800) for name, fade in fades.items()}
    for name, stem in found.stems.items():
        assert np.allclose(faint.stems[name], stem * gains[name], atol=1e-7)
    assert np.array_equal(faint.stems["a"] + faint.stems["b"] + faint.residual, mixture)
    assert faint.presence == found.presence


def test_float_mixtures_add_up_to_one_rounding(separator, sound):
    mixture = 37.3 * sound(3)
    result = separator.separate(mixture, sound(1), 32000)
    gap = np.abs(result.target + result.residual - mixture)
    assert gap.max() <= np.abs(mixture).max() * 2**-23


def test_level_and_channels(separator, sound):
    mixture, query = sound(0, channels=2), sound(1)
    result = separator.separate(mixture, query, 32000).target
    loud = separator.separate(8 * mixture, 0.01 * query, 32000).target
    assert sdr(8 * result, loud).min() > 60
    left = separator.separate(mixture[0], query[0], 32000).target
    assert sdr(left, result[0]) > 100


def test_content_above_the_models_band_stays_in_the_residual(separator, sound):
    rate = 48000
    time = np.arange(rate) / rate
    high = 0.3 * np.sin(2 * np.pi * 20000 * time).astype(np.float32)
    result = separator.separate(high, sound(1)[0], rate, 32000)
    inner = slice(4800, -4800)
    assert sdr(high[inner], result.residual[inner]) > 60


def test_long_audio_is_finite_and_deterministic(separator, sound):
    mixture = sound(4, seconds=5)
    first = separator.separate(mixture, sound(1), 32000).target
    again = separator.separate(mixture, sound(1), 32000).target
    assert np.isfinite(first).all() and np.array_equal(first, again)


def test_queries_with_templates_of_clips_of_any_length(tiny_model_with_parts, sound):
    separator = CaRESeparator.from_pretrained(tiny_model_with_parts, "cpu")
    layout = separator.network.layout
    mixture = sound(0, 3.0)[0] + sound(1, 3.0)[0]
    for seconds in (0.2, 1.0, 3.0):
        query = separator.query(sound(1, seconds)[0], sample_rate=32000)
        templates = query.embedding[layout.without_templates().size :]
        assert (templates >= 0).all() and templates.any()
        one, two = (separator.separate(mixture, query, 32000) for _ in range(2))
        assert np.isfinite(one.target).all() and one.target.any()
        assert np.array_equal(one.target, two.target)
        error = one.target + one.residual - mixture
        assert np.abs(error).max() <= 2**-23


def test_silent_mixture_gives_silence(separator, sound):
    result = separator.separate(np.zeros((2, 4000), np.float32), sound(1), 32000)
    assert not result.target.any() and not result.residual.any()


def test_tags_equal_the_networks(separator, tiny_network, sound):
    clip = sound(1)
    tags = separator.tag(clip, 32000)
    with torch.inference_mode():
        logits, _ = tiny_network.tag(torch.from_numpy(clip))
    assert tags.labels == ["bell", "dog", "rain"]
    assert np.allclose(tags.probabilities, logits[0].sigmoid(), atol=1e-6)


@pytest.mark.parametrize("seconds", [0.5, 1.2, 3.0])
def test_tag_frames_cover_the_clip(separator, sound, seconds):
    tags = separator.tag(sound(1, seconds), 32000)
    covered = len(tags.frames) * tags.frame_seconds
    assert seconds <= covered < seconds + tags.frame_seconds
    assert ((0 <= tags.frames) & (tags.frames <= 1)).all()


def test_a_long_clip_has_the_tags_of_its_segments(separator, sound):
    size, step = separator.network.segment_samples, 30720  # three token frames
    assert step < size < 2 * step
    clip = sound(1, 3 * step / 32000)[0]
    tags = separator.tag(clip, 32000)
    parts = [clip[start : start + size] for start in range(0, 3 * step, step)]
    found = [separator.tag(part, 32000) for part in parts]
    logits = [logit(part.probabilities) for part in found]
    mean = np.average(logits, axis=0, weights=[len(part) for part in parts])
    assert np.allclose(tags.probabilities, expit(mean), atol=1e-5)
    frames = np.concatenate([part.frames[:3] for part in found])
    assert np.allclose(tags.frames, frames, atol=1e-5)


BAD = {
    "silent": (np.zeros(9000, np.float32), "query is silent"),
    "short": (np.ones(900, np.float32), "shorter than one analysis window"),
    "empty": (np.zeros(0, np.float32), "is empty"),
    "nan": (np.array([0.1, np.nan], np.float32), "NaN"),
    "integers": (np.ones(9000, np.int16), "32768"),
    "interleaved": (np.zeros((9000, 2), np.float32), r"\(channels, samples\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_queries_are_refused(separator, sound, name):
    query, message = BAD[name]
    with pytest.raises(ValueError, match=message) as caught:
        separator.separate(sound(0), query, 32000)
    assert "\n" not in str(caught.value)


def test_output_that_is_not_finite_is_refused(separator, sound):
    with pytest.raises(ValueError, match="not finite"):
        separator.separate(1e30 * sound(0), sound(1), 32000)


def test_bad_mixtures_are_refused(separator, sound):
    with pytest.raises(ValueError, match="mixture: is shorter than one analysis"):
        separator.separate(np.ones(1, np.float32), sound(1), 32000)
    with pytest.raises(ValueError, match="sample_rate"):
        separator.separate(sound(0), sound(1))
    with pytest.raises(ValueError, match="no such file"):
        separator.separate("missing.wav", sound(1), query_sample_rate=32000)


def test_unknown_device_is_refused(tiny_model):
    for name in ("cuda", "toaster"):
        if name == "cuda" and torch.cuda.is_available():
            continue
        with pytest.raises(ValueError, match="device"):
            CaRESeparator.from_pretrained(tiny_model, name)
