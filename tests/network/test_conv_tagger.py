"""Convolutions that tag last, and what the rest of the network does beside them."""

import math

import pytest
import torch
from tiny_network import SIZES

from espnet2_caresep.network import CaRESep
from espnet2_caresep.network.band_split import mel_band_edges
from espnet2_caresep.network.conv_tagger import FLOOR, SILENCE, ConvTagger

TINY = {**SIZES, "segment_frames": 64, "clip_statistics": True}


@pytest.fixture(scope="module")
def networks():
    """The same network without a tagger and with one that has learned."""
    torch.manual_seed(0)
    plain = CaRESep(**TINY).eval()
    tagger = CaRESep(**TINY, conv_tagger=4).eval()
    missing, unexpected = tagger.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(name.startswith("conv_tagger.") for name in missing)
    tagger.conv_tagger.norm.num_batches_tracked.fill_(1)
    return plain, tagger


def test_the_rest_of_a_network_starts_alike_with_and_without_it():
    starts = []
    for channels in (0, 4):
        torch.manual_seed(0)
        starts.append(CaRESep(**TINY, conv_tagger=channels).state_dict())
    for name, weight in starts[0].items():
        assert torch.equal(weight, starts[1][name]), name


def test_queries_and_separation_stay_as_they_are(networks):
    audio = torch.randn(2, 12000)
    one, two = (net.encode_anchor(audio) for net in networks)
    assert torch.equal(one.query, two.query)
    separated = [net.separate(audio, one.query) for net in networks]
    assert torch.equal(*separated)


def test_clips_have_its_tags_and_frames_differ_from_them_as_before(networks):
    audio, (_, tagger) = torch.randn(2, 12000), networks
    one, two = (net.encode_anchor(audio) for net in networks)
    padded = torch.nn.functional.pad(audio, (0, tagger.segment_samples - 12000))
    picture, _ = tagger.clip_pictures(padded, torch.tensor([12000, 12000]))
    torch.testing.assert_close(two.clip_logits, tagger.conv_tagger(picture))
    before, after = (x.frame_logits - x.clip_logits[:, None] for x in (one, two))
    torch.testing.assert_close(before, after)


def test_before_it_has_learned_it_has_no_say():
    net = CaRESep(**TINY, conv_tagger=4).eval()
    audio = torch.randn(2, 12000)
    before = net.encode_anchor(audio).clip_logits
    for weight in net.conv_tagger.parameters():
        torch.nn.init.normal_(weight)
    assert torch.equal(net.encode_anchor(audio).clip_logits, before)
    net.conv_tagger.train()(torch.randn(3, 64, 64))
    assert net.conv_tagger.trained
    assert not torch.allclose(net.eval().encode_anchor(audio).clip_logits, before)


def test_while_the_rest_learns_it_has_no_say(networks):
    _, net = networks
    audio = torch.randn(2, 12000)
    final = net.encode_anchor(audio).clip_logits
    net.train()
    try:
        joint = net.encode_anchor(audio)
        joint.clip_logits.sum().backward()
    finally:
        net.eval()
    assert not torch.allclose(joint.clip_logits, final)
    assert net.head.conv.weight.grad is not None
    assert net.conv_tagger.classes.weight.grad is None


def test_a_picture_is_the_log_power_of_mel_bands():
    tagger = ConvTagger(257, 16, 16000, 2, 3)
    power = torch.rand(2, 40, 257)
    valid = torch.arange(40) < torch.tensor([[40], [25]])
    picture = tagger.picture(power, valid)
    assert (picture[1, 25:] == SILENCE).all()
    edges = mel_band_edges(257, 16, 16000)
    expected = power[0, 7, edges[3] : edges[5]].sum() * 16 / (2 * 257)
    assert picture[0, 7, 3].item() == pytest.approx(math.log(expected + FLOOR), 1e-4)
    white = tagger.picture(torch.ones(1, 1, 257), torch.ones(1, 1, dtype=torch.bool))
    assert white.exp().mean().item() == pytest.approx(1.0, abs=0.1)


def test_neither_padding_nor_level_moves_its_tags(networks):
    _, net = networks
    audio = torch.randn(2, 9000) * torch.linspace(0, 1, 9000)
    found = net.encode_anchor(audio).clip_logits
    padded = torch.nn.functional.pad(3 * audio, (0, 5000))
    again = net.encode_anchor(padded, torch.tensor([9000, 9000])).clip_logits
    torch.testing.assert_close(found, again, atol=1e-3, rtol=1e-3)


def test_when_a_sound_comes_does_not_matter():
    torch.manual_seed(0)
    tagger = ConvTagger(257, 32, 16000, 2, 3).eval()
    sound = 3 * torch.randn(1, 16, 32)
    pictures = torch.full((2, 128, 32), 0.0)
    pictures[0, 48:64] = pictures[1, 64:80] = sound  # 16 frames: four halvings
    one, two = tagger(pictures)
    torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("samples", [1024, 1])
def test_silent_and_very_short_clips_have_finite_tags(networks, samples):
    for audio in (torch.zeros(1, samples), torch.randn(1, samples)):
        assert torch.isfinite(networks[1].encode_anchor(audio).clip_logits).all()


def test_a_whole_clip_is_pictured_at_its_own_level(networks):
    _, net = networks
    size = net.segment_samples
    audio = torch.randn(2, 3 * size) * torch.tensor([[1.0], [100.0]])
    lengths = torch.tensor([3 * size, 9000])
    pictures, frames = net.clip_pictures(audio, lengths)
    assert torch.equal(frames, net.stft.frames(lengths))
    held = pictures.ne(SILENCE).any(2)
    assert torch.equal(held.sum(1), frames) and held[:, 0].all()
    audio[1, 9000:] = 0  # did not count
    assert torch.equal(net.clip_pictures(audio, lengths)[0], pictures)
    power = pictures.exp().sum((1, 2)) / frames / pictures.shape[2]
    torch.testing.assert_close(power, torch.full((2,), 1.0), atol=0.1, rtol=0)


def test_a_second_encoder_has_the_tagger():
    net = CaRESep(**TINY, shared=False, conv_tagger=2)
    assert net.conv_tagger is None and net.query_net.conv_tagger is not None
    assert net.encode_anchor(torch.randn(1, 9000)).clip_logits.shape == (1, 5)
