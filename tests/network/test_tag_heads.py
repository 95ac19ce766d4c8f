"""Tagging heads that are trained last, and the figures of sound that they see."""

import pytest
import torch
from tiny_network import SIZES

from espnet2_caresep.network import CaRESep
from espnet2_caresep.network.sound_features import SoundFeatures
from espnet2_caresep.network.tag_heads import TagHeads

TINY = {**SIZES, "segment_frames": 64, "clip_statistics": True}


@pytest.fixture(scope="module")
def networks():
    """The same network without and with such heads."""
    torch.manual_seed(0)
    plain = CaRESep(**TINY).eval()
    tagger = CaRESep(**TINY, tag_heads=3).eval()
    missing, unexpected = tagger.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(name.startswith("tag_heads.") for name in missing)
    return plain, tagger


def test_queries_and_separation_stay_as_they_are(networks):
    audio = torch.randn(2, 12000)
    one, two = (net.encode_anchor(audio) for net in networks)
    assert torch.equal(one.query, two.query) and one.features is None
    separated = [net.separate(audio, one.query) for net in networks]
    assert torch.equal(*separated)


def test_frames_differ_from_their_clip_as_they_did_before(networks):
    audio = torch.randn(2, 12000)
    one, two = (net.encode_anchor(audio) for net in networks)
    assert two.clip_logits.shape == (2, 5) and two.frame_logits.shape == (2, 2, 5)
    assert not torch.allclose(one.clip_logits, two.clip_logits)
    before, after = (x.frame_logits - x.clip_logits[:, None] for x in (one, two))
    torch.testing.assert_close(before, after)


def test_features_have_their_size_and_neither_padding_nor_level_moves_them(networks):
    _, net = networks
    audio = torch.randn(2, 9000) * torch.linspace(0, 1, 9000)
    found = net.encode_anchor(audio).features
    assert found.shape == (2, net.pooled_dim + net.sound.dim)
    padded = torch.nn.functional.pad(3 * audio, (0, 5000))
    again = net.encode_anchor(padded, torch.tensor([9000, 9000])).features
    torch.testing.assert_close(found, again, atol=1e-3, rtol=1e-3)


def test_silence_within_a_clip_does_not_count():
    sound = SoundFeatures(513, 64, 64, 32000)
    bands, power = torch.randn(1, 64, 64), torch.rand(1, 64, 513)
    valid = torch.ones(1, 64, dtype=torch.bool)
    power[:, 40:] = 0
    found = sound(bands, power, valid)
    torch.testing.assert_close(found, sound(bands, power, valid & (power.sum(-1) > 0)))


@pytest.mark.parametrize("samples", [1024, 1])
def test_silent_and_very_short_clips_have_finite_tags(networks, samples):
    for audio in (torch.zeros(1, samples), torch.randn(1, samples)):
        assert torch.isfinite(networks[1].encode_anchor(audio).clip_logits).all()


def test_heads_are_averaged_and_see_standardised_features():
    torch.manual_seed(0)
    heads = TagHeads(6, 4, 3).eval()
    features = 5 + 2 * torch.randn(50, 6)
    heads.standardise_to(features)
    torch.testing.assert_close(heads.mean, features.mean(0))
    each = heads.each(features.expand(3, -1, -1))
    assert each.shape == (3, 50, 4)
    torch.testing.assert_close(heads(features), each.mean(0))


def test_a_second_encoder_has_the_heads():
    net = CaRESep(**TINY, shared=False, tag_heads=2)
    assert net.tag_heads is None and net.query_net.tag_heads is not None
    assert net.encode_anchor(torch.randn(1, 9000)).clip_logits.shape == (1, 5)
