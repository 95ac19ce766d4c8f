"""Variations of pictures, against numpy's interpolation and the powers of mixtures."""

import math

import numpy as np
import pytest
import torch

from espnet2_caresep.network.conv_tagger import SILENCE
from espnet2_caresep.training import pictures as pictures_module
from espnet2_caresep.training.pictures import (
    add_noise,
    cut,
    mix,
    narrow,
    shift_bands,
    vary,
)


@pytest.mark.parametrize("start", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("speed", [0.8, 1.0, 1.25])
def test_a_piece_at_another_speed_is_linear_interpolation(monkeypatch, speed, start):
    monkeypatch.setattr(pictures_module, "_uniform", lambda x: torch.full((2,), start))
    pictures = torch.randn(2, 50, 3)
    pieces = cut(pictures, torch.tensor([50, 44]), torch.tensor([speed, 1.0]), 30)
    first = round(start * 14)
    if abs(start * 14 - first) < 1e-6:
        torch.testing.assert_close(pieces[1], pictures[1, first : first + 30])
    place = (np.arange(30) + start * (50 / speed - 30)) * speed
    for band in range(3):
        expected = np.interp(
            place, np.arange(50), pictures[0, :, band], right=SILENCE
        ).astype(np.float32)
        np.testing.assert_allclose(pieces[0, :, band], expected, atol=1e-4)


def test_a_short_clip_begins_its_piece_or_lies_somewhere_in_it():
    torch.manual_seed(0)
    pictures = torch.zeros(400, 12, 2)
    pictures[:, 10:] = SILENCE
    pieces = cut(pictures, torch.full((400,), 10), torch.ones(400), 30)
    held = pieces[..., 0] > SILENCE / 2
    assert ((held.sum(1) >= 9) & (held.sum(1) <= 10)).all()
    first = held.float().argmax(1)
    assert 160 < (first == 0).sum() < 260
    assert first.max() >= 19 and (first + held.sum(1)).max() <= 30


def test_bands_move_up_and_down():
    pictures = torch.arange(5.0).expand(3, 2, 5)
    varied = shift_bands(pictures, torch.tensor([0, 2, -2]))
    assert varied[0, 0].tolist() == [0, 1, 2, 3, 4]
    assert varied[1, 1].tolist() == [0, 0, 0, 1, 2]
    assert varied[2, 0].tolist() == pytest.approx([2, 3, 4, SILENCE, SILENCE])


def test_variations_move_pictures_but_silence_stays_the_least(monkeypatch):
    pictures = torch.randn(20, 30, 16)
    pictures[:, 20:] = SILENCE
    frames = torch.full((20,), 20)
    varied = vary(pictures, frames, 30)
    assert varied.shape == pictures.shape and varied.min() >= SILENCE - 1e-5
    assert not torch.allclose(varied, pictures)
    for name in ("SHIFT", "RESPONSE", "LEVEL", "NARROWED"):
        monkeypatch.setattr(pictures_module, name, 0)
    monkeypatch.setattr(pictures_module, "SPEED", 1.0)
    torch.testing.assert_close(vary(pictures, frames, 20), pictures[:, :20])


def test_some_pictures_end_at_a_lower_band():
    torch.manual_seed(0)
    pictures = narrow(torch.zeros(400, 3, 64))
    left = (pictures == 0).sum(2)
    assert (left == left[:, :1]).all()
    held = pictures == 0
    assert (held.cumprod(2) == held).all()  # nothing is missing further down
    assert 28 <= left.min() < 31 and left.max() == 64
    assert 160 < (left[:, 0] < 64).sum() < 240


def test_some_pictures_have_steady_noise():
    torch.manual_seed(0)
    pictures = torch.randn(400, 3, 16, dtype=torch.float64)
    varied = add_noise(pictures)
    noisy = (varied != pictures).any((1, 2))
    assert 160 < noisy.sum() < 240
    noise = (varied.exp() - pictures.exp())[noisy]
    torch.testing.assert_close(noise, noise[:, :1].expand_as(noise))
    assert 0 < noise.median() < 0.1


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
