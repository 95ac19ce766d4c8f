"""Two sources brought to the bandwidth of the narrower one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_caresep.data.bandwidth import bandwidth, match_bandwidth
from espnet2_caresep.data.mixing import energy

RATE = 32000
TIME = np.arange(2 * RATE) / RATE


def tone(frequency, scale=1.0):
    """A sine that fades in and out, so that its spectrum is a narrow line."""
    return (
        scale * np.sin(2 * np.pi * frequency * TIME) * np.hanning(len(TIME))
    ).astype(np.float32)


def level(audio, frequency):
    """Amplitude of a tone as made above, found in a sum of others."""
    probe = np.exp(-2j * np.pi * frequency * TIME)
    return 4 * abs(np.mean(audio * probe))


@settings(max_examples=20, deadline=None)
@given(st.floats(100, 15000), st.floats(1e-3, 10), st.booleans())
def test_a_tone_is_as_wide_as_its_frequency(frequency, scale, odd):
    audio = tone(frequency, scale)[int(odd) :]
    assert bandwidth(audio, RATE) == pytest.approx(frequency, abs=3)


def test_white_noise_is_as_wide_as_the_share_of_its_energy():
    noise = np.random.default_rng(0).standard_normal(RATE)
    assert bandwidth(noise, RATE) == pytest.approx(0.999 * RATE / 2, abs=20)


def test_the_weak_tenth_of_a_percent_does_not_count():
    below, above = tone(1000) + tone(8000, 0.03), tone(1000) + tone(8000, 0.04)
    assert bandwidth(below, RATE) == pytest.approx(1000, abs=3)
    assert bandwidth(above, RATE) == pytest.approx(8000, abs=3)


@pytest.mark.parametrize("cutoff", [150, 1000, 8000, 13000])
def test_what_is_wider_is_cut_and_nothing_moves(cutoff):
    narrow = tone(cutoff / 2) + tone(cutoff - 2)
    wide = tone(cutoff / 2) + tone(cutoff * 1.15)
    query = tone(cutoff / 2, 0.1) + tone(cutoff * 1.15, 0.1)
    sources, others = match_bandwidth([wide, narrow], [query], RATE)
    # Nothing of the narrow source is lost, and no sample comes earlier or later
    np.testing.assert_allclose(sources[1], narrow, atol=0.04)
    for given_, cut in ((wide, sources[0]), (query, others[0])):
        assert level(cut, cutoff * 1.15) < 2e-4 * level(cut, cutoff / 2)
        assert energy(cut) == pytest.approx(energy(given_), rel=1e-4)
        alone = level(given_, cutoff / 2) * tone(cutoff / 2) * np.sqrt(2)
        np.testing.assert_allclose(cut, alone, atol=0.04)
        assert cut.dtype == np.float32


def test_an_onset_at_the_edge_is_cut_as_well():
    """A click at the first sample must not come back as the filter's own onset."""
    click = np.zeros(RATE, np.float32)
    click[0] = 1.0
    narrow = tone(400)[:RATE]
    (cut, _), _ = match_bandwidth([click, narrow], [], RATE)
    power = np.abs(np.fft.rfft(cut, 4 * RATE)) ** 2
    assert power[4 * 800 :].sum() < 0.15 * power.sum()


def test_nothing_changes_where_the_narrower_one_is_wide():
    rng = np.random.default_rng(1)
    noises = [rng.standard_normal(RATE).astype(np.float32) for _ in range(3)]
    sources, others = match_bandwidth(noises[:2], noises[2:], RATE)
    for before, after in zip(noises, sources + others):
        np.testing.assert_array_equal(before, after)
