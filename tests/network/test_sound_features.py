"""Figures of sound that a kernel tags by."""

import torch
from tiny_network import SIZES

from espnet2_caresep.network import CaRESep
from espnet2_caresep.network.sound_features import SoundFeatures

TINY = {**SIZES, "segment_frames": 64, "clip_statistics": True}


def test_features_have_their_size_and_neither_padding_nor_level_moves_them():
    torch.manual_seed(0)
    net = CaRESep(**TINY, known_clips=3).eval()
    audio = torch.randn(2, 9000) * torch.linspace(0, 1, 9000)
    found = net.encode_anchor(audio).features
    assert found.shape == (2, net.pooled_dim + net.sound.dim)
    padded = torch.nn.functional.pad(3 * audio, (0, 5000))
    again = net.encode_anchor(padded, torch.tensor([9000, 9000])).features
    torch.testing.assert_close(found, again, atol=1e-3, rtol=1e-3)


def test_a_network_without_a_kernel_has_none():
    assert CaRESep(**TINY).encode_anchor(torch.randn(1, 9000)).features is None


def test_silence_within_a_clip_does_not_count():
    sound = SoundFeatures(513, 64, 64, 32000)
    bands, power = torch.randn(1, 64, 64), torch.rand(1, 64, 513)
    valid = torch.ones(1, 64, dtype=torch.bool)
    power[:, 40:] = 0
    found = sound(bands, power, valid)
    torch.testing.assert_close(found, sound(bands, power, valid & (power.sum(-1) > 0)))
