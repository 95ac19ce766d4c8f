"""Tags by likeness to known clips, against scikit-learn's kernel ridge regression."""

import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from tiny_network import SIZES

from espnet2_caresep.network import CaRESep
from espnet2_caresep.network.kernel_tagger import SHARPNESS, KernelTagger
from espnet2_caresep.training.kernel import (
    EMBEDDING_SHARE,
    NEARNESS,
    RIDGE,
    fit,
    principal_axes,
)

TINY = {**SIZES, "segment_frames": 64}


def clips(count, dim=12, seed=0):
    """Features of three kinds of clips, which overlap, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.arange(count) % 3
    centres = 1.5 * torch.randn(3, dim, generator=torch.Generator().manual_seed(9))
    features = centres[kinds] + torch.randn(count, dim, generator=generator)
    return features, torch.eye(3)[kinds]


def test_it_is_kernel_ridge_regression():
    features, labels = clips(60)
    tagger = KernelTagger(12, 3, 60)
    fit(tagger, features, labels, embedding=5)
    mean, scale = features.mean(0), features.std(0)
    share = torch.tensor([EMBEDDING_SHARE] * 5 + [1.0] * 7)
    weighted = (features - mean) / scale * share
    distances = torch.pdist(weighted).square()
    prior = labels.mean(0)
    reference = KernelRidge(
        alpha=RIDGE, kernel="rbf", gamma=NEARNESS / distances.quantile(0.5).item()
    ).fit(weighted, labels - prior)
    new, _ = clips(30, seed=1)
    weighted = (new - mean) / scale * share
    expected = prior + torch.from_numpy(reference.predict(weighted)).float()
    torch.testing.assert_close(
        tagger(new), SHARPNESS * (expected - 0.5), atol=1e-3, rtol=1e-3
    )


def test_new_clips_have_the_labels_of_those_that_they_resemble():
    tagger = KernelTagger(12, 3, 90)
    fit(tagger, *clips(90), embedding=0)
    new, labels = clips(60, seed=1)
    right = tagger(new).argmax(1) == labels.argmax(1)
    assert right.float().mean() > 0.9
    tagger.nearness.fill_(100.0)
    far = tagger(new[:1] + 5)
    torch.testing.assert_close(far[0], SHARPNESS * (tagger.prior - 0.5))


@pytest.mark.parametrize("count", [1, 2, 20, 200])
def test_it_may_hold_more_clips_than_there_are_or_fewer(count):
    tagger = KernelTagger(12, 3, 40)
    features, labels = clips(count)
    fit(tagger, features, labels, embedding=0)
    assert torch.isfinite(tagger(features)).all()
    assert tagger.clips[min(count, 40) :].eq(0).all()
    assert tagger.weights[min(count, 40) :].eq(0).all()
    if count == 200:
        right = tagger(features).argmax(1) == labels.argmax(1)
        assert right.float().mean() > 0.9


def test_fitting_again_forgets_what_was():
    features, labels = clips(60)
    once, twice = KernelTagger(12, 3, 50), KernelTagger(12, 3, 50)
    fit(twice, *clips(45, seed=3), embedding=0)
    for tagger in (once, twice):
        fit(tagger, features, labels, embedding=0)
    for one, two in zip(once.buffers(), twice.buffers()):
        assert torch.equal(one, two)


def test_before_it_is_fitted_it_hears_nothing():
    assert torch.equal(
        KernelTagger(4, 2, 3)(torch.randn(5, 4)), torch.full((5, 2), -4.0)
    )


def test_axes_are_those_of_a_singular_value_decomposition():
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    axes = principal_axes(x, 3)
    _, _, reference = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    torch.testing.assert_close(
        (reference[:3] @ axes).abs(), torch.eye(3), atol=1e-5, rtol=0
    )


def test_tagger_and_kernel_have_a_say_each():
    torch.manual_seed(0)
    both = CaRESep(**TINY, conv_tagger=2, known_clips=4).eval()
    both.conv_tagger.norm.num_batches_tracked.fill_(1)
    tagger = CaRESep(**TINY, conv_tagger=2).eval()
    tagger.load_state_dict(both.state_dict(), strict=False)
    features = torch.randn(4, both.pooled_dim + both.sound.dim)
    fit(both.kernel, features, torch.eye(5)[:4], both.pooled_dim)
    audio = torch.randn(2, 12000)
    one, two = (net.encode_anchor(audio) for net in (tagger, both))
    assert torch.equal(one.query, two.query)
    kernel = both.kernel(two.features)
    torch.testing.assert_close(two.clip_logits, 0.7 * one.clip_logits + 0.3 * kernel)
    moved = two.clip_logits - one.clip_logits
    torch.testing.assert_close(two.frame_logits, one.frame_logits + moved[:, None])


@pytest.mark.parametrize("name", ["known_clips", "conv_tagger"])
def test_there_cannot_be_less_than_none(name):
    with pytest.raises(ValueError, match=f"{name}: -1 is less than none"):
        CaRESep(**TINY, **{name: -1})


def test_a_second_encoder_has_the_kernel():
    net = CaRESep(**TINY, shared=False, conv_tagger=2, known_clips=3)
    assert net.kernel is None and net.query_net.kernel is not None


def test_beside_the_joint_head_it_has_a_say_once_it_is_fitted():
    torch.manual_seed(0)
    net = CaRESep(**TINY, known_clips=4).eval()
    audio = torch.randn(2, 12000)
    before = net.encode_anchor(audio)
    features = before.features + torch.randn(1, len(before.features[0]))
    fit(net.kernel, features, torch.eye(5)[:2], net.pooled_dim)
    after = net.encode_anchor(audio)
    kernel = net.kernel(before.features)
    torch.testing.assert_close(
        after.clip_logits, 0.7 * before.clip_logits + 0.3 * kernel
    )
