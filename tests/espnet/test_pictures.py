"""Variations of pictures, against numpy's interpolation and the powers of mixtures."""

import math

import numpy as np
import pytest
import torch

from espnet2_caresep.network.conv_tagger import SILENCE
from espnet2_caresep.training import pictures as pictures_module
from espnet2_caresep.training.pictures import change_speed, mix, shift_bands, vary


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.25])
def test_another_speed_is_linear_interpolation(speed):
    pictures = torch.randn(2, 50, 3)
    varied = change_speed(pictures, torch.tensor([speed, 1.0]))
    torch.testing.assert_close(varied[1], pictures[1])
    place = np.arange(50) * speed
    for band in range(3):
        back = np.minimum(place, 98 - place)
        expected = np.interp(back, np.arange(50), pictures[0, :, band])
        torch.testing.assert_close(
            varied[0, :, band].numpy(), expected.astype(np.float32), atol=1e-4, rtol=0
        )


def test_bands_move_up_and_down():
    pictures = torch.arange(5.0).expand(3, 2, 5)
    varied = shift_bands(pictures, torch.tensor([0, 2, -2]))
    assert varied[0, 0].tolist() == [0, 1, 2, 3, 4]
    assert varied[1, 1].tolist() == [0, 0, 0, 1, 2]
    assert varied[2, 0].tolist() == pytest.approx([2, 3, 4, SILENCE, SILENCE])


def test_variations_move_pictures_but_silence_stays_the_least(monkeypatch):
    pictures = torch.randn(20, 30, 16)
    pictures[:, 20:] = SILENCE
    varied = vary(pictures)
    assert varied.shape == pictures.shape and varied.min() >= SILENCE - 1e-5
    assert not torch.allclose(varied, pictures)
    for name in ("SHIFT", "RESPONSE", "LEVEL"):
        monkeypatch.setattr(pictures_module, name, 0)
    monkeypatch.setattr(pictures_module, "SPEED", 1.0)
    torch.testing.assert_close(vary(pictures), pictures)


def test_powers_and_labels_of_mixtures_are_in_proportion():
    torch.manual_seed(0)
    power = torch.rand(6, 4, 3) + 0.1
    mixed, labels = mix(power.log(), torch.eye(6), 0.6)
    share = labels.diagonal()
    assert (share >= 0.5).all() and torch.allclose(labels.sum(1), torch.ones(6))
    scale = share.square()[:, None, None]
    rest = (1 - share).square()[:, None, None]
    torch.testing.assert_close(mixed.exp(), scale * power + rest * power.roll(1, 0))


def test_a_clip_with_nothing_mixed_into_it_stays_itself(monkeypatch):
    ones = torch.distributions.Beta(torch.tensor(1e6), torch.tensor(1e-6))
    monkeypatch.setattr(torch.distributions, "Beta", lambda *_: ones)
    pictures = torch.zeros(2, 3, 4)
    mixed, labels = mix(pictures, torch.eye(2), 0.6)
    assert torch.allclose(labels, torch.eye(2), atol=1e-5)
    assert mixed.abs().max() <= math.exp(SILENCE) + 1e-5
