"""Power at unit level, of a segment by itself and with what surrounds it."""

import numpy as np
import pytest
import torch
from tiny_network import SIZES

from espnet2_caresep.network import CaRESep
from espnet2_caresep.network.level import at_unit_level, mean_power_around
from espnet2_caresep.network.stft import STFT

BINS, FRAMES = 129, 12


def spectra(frames=9):
    torch.manual_seed(0)
    return torch.randn(2, frames, BINS, dtype=torch.complex64)


def test_padding_counts_for_nothing():
    spectrum, frames = spectra(), torch.tensor([9, 7])
    heard = at_unit_level(spectrum, frames, FRAMES)
    assert heard.power.shape == (2, FRAMES, BINS) and not heard.power[1, 7:].any()
    assert heard.valid.sum(1).tolist() == [9, 7]
    power = spectrum[1, :7].abs().square()
    expected = power / power.mean()
    torch.testing.assert_close(heard.power[1, :7], expected)
    torch.testing.assert_close(heard.log_mean[1], torch.log(expected.mean(0) + 1e-6))
    louder = at_unit_level(100 * spectrum, frames, FRAMES)
    torch.testing.assert_close(louder.power, heard.power)
    with pytest.raises(ValueError, match="9 frames are more than a segment of 8"):
        at_unit_level(spectrum, frames, 8)


def test_surroundings_stand_for_level_and_spectrum():
    spectrum, frames = spectra(), torch.tensor([9, 9])
    own = spectrum.abs().square().mean(1)
    alone = at_unit_level(spectrum, frames, FRAMES)
    for ours, same in zip(alone, at_unit_level(spectrum, frames, FRAMES, own)):
        torch.testing.assert_close(ours, same)
    within = at_unit_level(spectrum, frames, FRAMES, 4 * own.flip(1))
    torch.testing.assert_close(within.power, alone.power / 4)
    torch.testing.assert_close(within.log_mean, alone.log_mean.flip(1))
    silent = at_unit_level(0 * spectrum, frames, FRAMES, 0 * own)
    assert not silent.power.any() and silent.log_mean.isfinite().all()


def test_surroundings_come_in_as_a_raised_cosine():
    stft = STFT(256, 80)
    audio = torch.randn(2, 6400)
    inner = slice(1600, 4800)
    power = stft(audio).abs().square().numpy()
    place = 80 * np.arange(power.shape[1])
    fade = np.clip([1600 - place, place - 4800], 0, 1600).max(0) / 1600
    weight = np.cos(np.pi / 2 * fade) ** 2
    expected = (weight[:, None] * power).sum(1) / weight.sum()
    found = mean_power_around(stft, audio, [inner])
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    # Beyond half a segment nothing counts, and without surroundings there are none.
    longer = torch.nn.functional.pad(audio, (800, 800), value=3.0)
    both = [slice(0, 3200), slice(2400, 5600)]
    apart = mean_power_around(stft, longer, both)[2:]
    torch.testing.assert_close(apart, found, rtol=1e-2, atol=1e-3)
    assert mean_power_around(stft, audio, [slice(0, 6400)]) is None


def test_a_mask_follows_the_surroundings_and_not_the_level():
    torch.manual_seed(0)
    network = CaRESep(**SIZES, query_spectrum=True, refine_channels=8).eval()
    mixture, query = torch.randn(2, 1, network.segment_samples) / 10
    spectrum, frames = network.stft(mixture), torch.tensor([network.segment_frames])
    around = spectrum.abs().square().mean(1)
    with torch.inference_mode():
        given = network.embed(query), frames
        alone = network.mask(spectrum, *given)
        within = network.mask(spectrum, *given, around)
        torch.testing.assert_close(within, alone, rtol=1e-3, atol=1e-5)
        other = network.mask(spectrum, *given, 4 * around.flip(1))
        assert (other - alone).abs().max() > 1e-2
        louder = network.mask(8 * spectrum, *given, 256 * around.flip(1))
        torch.testing.assert_close(louder, other, rtol=1e-3, atol=1e-4)
