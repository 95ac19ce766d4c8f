"""Statistics of a clip's bands beside its tokens, and the heads that tag with them."""

import numpy as np
import pytest
import torch
from scipy.fft import dct
from tiny_network import SIZES

from espnet2_caresep.network import CaRESep
from espnet2_caresep.network.statistics import CEPSTRA, FLOOR, ClipStatistics
from espnet2_caresep.network.tagging import TokenSemanticHead

BANDS, DIM, CLASSES = 24, 6, 4


@pytest.fixture
def head():
    torch.manual_seed(0)
    return ClipStatistics(BANDS, DIM, CLASSES).eval()


def test_statistics_are_those_of_numpy_and_scipy(head):
    torch.manual_seed(1)
    bands = torch.randn(2, 30, BANDS)
    valid = torch.ones(2, 30, dtype=torch.bool)
    valid[1, 20:] = False
    found = head.statistics(bands, valid).numpy()
    for row, frames in zip(found, (bands[0].numpy(), bands[1, :20].numpy())):
        cepstra = dct(frames, type=2, norm="ortho", axis=1)[:, :CEPSTRA]
        cepstra[:, 0] *= 2**0.5
        expected = [frames.mean(0)]
        for part in (
            frames,
            np.diff(frames, axis=0),
            cepstra,
            np.diff(cepstra, axis=0),
            np.diff(cepstra, 2, axis=0),
        ):
            expected.append(np.log(part.var(0) + FLOOR) / 2)
        np.testing.assert_allclose(row, np.concatenate(expected), atol=1e-4)


@pytest.mark.parametrize("frames", [1, 2])
def test_very_short_clips_have_finite_statistics_and_gradients(head, frames):
    bands = torch.zeros(1, 8, BANDS, requires_grad=True)
    valid = torch.arange(8)[None] < frames
    logits, change = head(bands, valid, torch.zeros(1, DIM))
    (logits.sum() + change.sum()).backward()
    assert torch.isfinite(logits).all() and torch.isfinite(bands.grad).all()


def test_the_embedding_is_undisturbed_at_first(head):
    bands, valid = torch.randn(3, 9, BANDS), torch.ones(3, 9, dtype=torch.bool)
    logits, change = head(bands, valid, torch.randn(3, DIM))
    assert logits.shape == (3, CLASSES) and not change.any()


def test_head_dropout_drops_a_channel_in_all_tokens_of_a_clip():
    torch.manual_seed(0)
    head = TokenSemanticHead(8, 2, 8, dropout=0.5).train()
    with torch.no_grad():  # each class reads one channel of the middle frame
        head.conv.weight.zero_()
        head.conv.bias.zero_()
        for i in range(8):
            head.conv.weight[i, i, :, 1] = 0.5
    tokens = torch.ones(16, 5, 2, 8)
    clip, frames = head(tokens, torch.ones(16, 5, dtype=torch.bool))
    assert set(frames.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(frames, clip[:, None].expand_as(frames))
    assert torch.equal(head.eval()(tokens, torch.ones(16, 5) > 0)[0], torch.ones(16, 8))


def test_a_network_with_statistics_keeps_its_promises():
    """Level and padding change nothing; a clip's logits are the mean of its frames'."""
    torch.manual_seed(0)
    net = CaRESep(**SIZES, clip_statistics=True, head_dropout=0.5).eval()
    torch.nn.init.normal_(net.statistics.to_embedding.weight)
    audio = torch.randn(1, 30000)
    padded = torch.nn.functional.pad(audio, (0, 20000))
    with torch.no_grad():
        alone = net.encode_anchor(audio)
        louder = net.encode_anchor(10 * audio)
        longer = net.encode_anchor(padded, torch.tensor([30000]))
    for other in (louder, longer):
        torch.testing.assert_close(alone.query, other.query, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(
            alone.clip_logits, other.clip_logits, rtol=1e-3, atol=1e-4
        )
    held = 3  # token frames of 32 STFT frames that hold audio
    mean = alone.frame_logits[:, :held].mean(1)
    torch.testing.assert_close(mean, alone.clip_logits, rtol=1e-3, atol=1e-4)


def test_statistics_change_embedding_and_tags():
    torch.manual_seed(0)
    net = CaRESep(**SIZES, clip_statistics=True).eval()
    torch.nn.init.normal_(net.statistics.to_embedding.weight)
    plain = CaRESep(**SIZES).eval()
    state = {k: v for k, v in net.state_dict().items() if "statistics" not in k}
    plain.load_state_dict(state)
    audio = torch.randn(1, 30000)
    with torch.no_grad():
        with_them, without = net.encode_anchor(audio), plain.encode_anchor(audio)
    assert with_them.query.shape == without.query.shape
    assert not torch.allclose(with_them.query, without.query)
    assert not torch.allclose(with_them.clip_logits, without.clip_logits)


def test_a_query_network_of_its_own_has_the_statistics():
    net = CaRESep(**SIZES, clip_statistics=True, shared=False)
    assert net.statistics is None and net.query_net.statistics is not None
