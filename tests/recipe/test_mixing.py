"""Reading segments and mixing at equal energy."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from places import AUDIO

from espnet2_caresep.data.mixing import (
    balance_energy,
    energy,
    loudest_start,
    mix_pair,
    read_segment,
)


def noise(seed, length=1000, scale=1.0):
    draw = np.random.default_rng(seed)
    return (scale * draw.standard_normal(length)).astype(np.float32)


@given(st.floats(-30, 30))
def test_sources_meet_at_0_db_whatever_their_levels(level):
    source1, source2 = noise(0), noise(1, scale=10 ** (level / 20))
    mixture, first, second = mix_pair(source1, source2)
    assert 10 * np.log10(energy(first) / energy(second)) == pytest.approx(0, abs=1e-4)
    np.testing.assert_array_equal(first, source1)
    np.testing.assert_array_equal(mixture, first + second)
    assert second.dtype == np.float32


@pytest.mark.parametrize("scale, gain", [(1e-3, 50.0), (1e3, 0.02)])
def test_the_factor_is_limited_as_in_reference_4(scale, gain):
    source = noise(1, scale=scale)
    np.testing.assert_allclose(balance_energy(source, noise(0)), gain * source, 1e-6)


def test_silence_stays_silence():
    silence = np.zeros(100, np.float32)
    assert not balance_energy(silence, noise(0)).any()
    mixture, _, second = mix_pair(silence, noise(0, 100))
    assert energy(mixture) == pytest.approx(0.02**2 * energy(noise(0, 100)), rel=1e-5)
    assert energy(np.zeros(0)) == 0.0
    np.testing.assert_array_equal(mixture, second)


def test_sources_of_different_length_are_refused():
    with pytest.raises(ValueError, match="equal length"):
        mix_pair(noise(0, 10), noise(1, 11))


@given(st.integers(1, 60), st.integers(0, 1000))
def test_the_loudest_window_is_the_one_a_search_finds(window, seed):
    audio = noise(seed, 50)
    starts = range(max(1, len(audio) - window + 1))
    best = max(energy(audio[start : start + window]) for start in starts)
    found = loudest_start(audio, window)
    assert found in starts
    assert energy(audio[found : found + window]) == pytest.approx(best, rel=1e-6)


CLIP = AUDIO / "elec_chime.flac"  # 44.1 kHz, one channel, 2.28 s


def test_a_segment_is_the_part_of_the_whole_file():
    whole, rate = soundfile.read(CLIP, dtype="float32")
    part = read_segment(CLIP, 0.5, 1.0, rate)
    np.testing.assert_array_equal(part, whole[round(0.5 * rate) :][:rate])
    long = read_segment(CLIP, 2.0, 1.0, rate)
    assert len(long) == rate and long.dtype == np.float32
    rest = whole[2 * rate :]
    np.testing.assert_array_equal(long[: len(rest)], rest)
    assert not long[len(rest) :].any()
    assert not read_segment(CLIP, 9.0, 1.0, rate).any()


def test_files_that_cannot_serve_are_refused(tmp_path):
    with pytest.raises(ValueError, match="needs one channel at 32000 Hz"):
        read_segment(CLIP, 0, 1, 32000)
    with pytest.raises(ValueError, match="needs one channel"):
        read_segment(AUDIO / "loop_breakbeat.flac", 0, 1, 44100)
    with pytest.raises(ValueError, match="cannot be read"):
        read_segment(tmp_path / "none.wav", 0, 1, 32000)
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(ValueError, match="cannot be read"):
        read_segment(tmp_path / "text.wav", 0, 1, 32000)
    bad = np.array([0.0, np.nan], np.float32)
    soundfile.write(tmp_path / "nan.wav", bad, 32000, subtype="FLOAT")
    with pytest.raises(ValueError, match="not finite"):
        read_segment(tmp_path / "nan.wav", 0, 1, 32000)
