"""Augmentation: what changes of a source, and what does not."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_caresep.config import ConfigError
from espnet2_caresep.data.augment import LevelAugment, SourceAugment
from espnet2_caresep.data.segments import SegmentReader

RATE = 32000


def tone(frequency, samples=RATE):
    return np.sin(2 * np.pi * frequency * np.arange(samples) / RATE).astype(np.float32)


def loudest(audio):
    """Frequency in Hz of the loudest bin."""
    power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    return np.argmax(power) * RATE / len(audio)


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_pitch_follows_the_speed_as_of_a_tape(tmp_path, speed):
    soundfile.write(tmp_path / "a.wav", tone(1000, 3 * RATE), RATE, "FLOAT")
    reader = SegmentReader(RATE, RATE, augment=SourceAugment(RATE, [speed, speed]))
    segment = reader.read(np.random.default_rng(0), str(tmp_path / "a.wav"))
    assert segment.shape == (RATE,) and segment.dtype == np.float32
    assert loudest(segment) == pytest.approx(1000 * speed, abs=2)


def test_a_faster_short_clip_lasts_shorter(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1000, RATE // 2), RATE, "FLOAT")
    reader = SegmentReader(RATE, RATE, augment=SourceAugment(RATE, [1.25, 1.25]))
    segment = reader.read(np.random.default_rng(0), str(tmp_path / "a.wav"))
    sounding = np.flatnonzero(np.abs(segment) > 0.05)
    assert segment.shape == (RATE,)
    assert np.ptp(sounding) == pytest.approx(RATE / 2 / 1.25, abs=100)


def test_speeds_lie_in_the_range_and_spread_evenly_in_octaves():
    augment = SourceAugment(RATE, [0.5, 2.0])
    rng = np.random.default_rng(0)
    octaves = np.log2([augment.speed(rng) for _ in range(2000)])
    assert octaves.min() > -1 and octaves.max() < 1
    assert abs(octaves.mean()) < 0.05
    assert octaves.std() == pytest.approx(2 / np.sqrt(12), rel=0.05)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), gain=st.floats(0.5, 12))
def test_timbre_changes_by_no_more_than_the_filters_can(seed, gain):
    noise = np.random.default_rng(1).standard_normal(RATE).astype(np.float32)
    augment = SourceAugment(RATE, eq_gain=gain)
    changed = augment(np.random.default_rng(seed), noise, len(noise))
    # Bands of 250 Hz: single bins of noise and of its filtered copy differ by chance
    before, after = (
        (np.abs(np.fft.rfft(x)[1:]) ** 2).reshape(-1, 250).sum(1)
        for x in (noise, changed)
    )
    change = 10 * np.log10(after / before)
    assert np.abs(change).max() <= 2 * gain + 0.2
    assert np.ptp(change) > 0.01


def test_without_options_nothing_changes():
    noise = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    augment = SourceAugment(RATE)
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    assert augment.speed(rng) == 1.0
    assert augment(rng, noise, 1000) is noise
    assert rng.bit_generator.state == state  # trainings without it draw as before


def test_levels():
    ones = np.ones(100, np.float32)
    source1, source2 = LevelAugment([6, 6], [-20, -20])(
        np.random.default_rng(0), ones, ones
    )
    assert source1.dtype == source2.dtype == np.float32
    assert source1[0] == pytest.approx(0.1)
    assert 20 * np.log10(source1[0] / source2[0]) == pytest.approx(6, abs=1e-4)


@pytest.mark.parametrize(
    "conf, message",
    [
        ({"speed_range": [1.2, 0.8]}, "speed_range must be two factors"),
        ({"speed_range": "0.8"}, "speed_range must be two factors"),
        ({"speed_range": [0.1, 1]}, "must lie within 0.5 and 2"),
        ({"eq_gain": -1}, "eq_gain must be at least 0 dB"),
    ],
)
def test_bad_values_are_named(conf, message):
    with pytest.raises(ConfigError, match=message):
        SourceAugment(RATE, **conf)
