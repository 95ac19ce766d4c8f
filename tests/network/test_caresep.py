import subprocess
import sys

import pytest
import torch
from tiny_network import SIZES

from espnet2_caresep.network import CaRESep

TINY = {**SIZES, "depths": (1, 2, 1, 1)}
VARIANTS = pytest.mark.parametrize("query_spectrum", [False, True])


def network(seed: int = 0, **conf) -> CaRESep:
    """A tiny network whose weights are all away from their initial zeros."""
    torch.manual_seed(seed)
    net = CaRESep(**{**TINY, **conf})
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=max(parameter.shape[-1], 9) ** -0.5)
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    return net.eval()


def db(reference, estimate):
    error = (reference - estimate).double().square().sum()
    return 10 * torch.log10(reference.double().square().sum() / error)


@VARIANTS
def test_shapes_of_embed_tag_and_separate(query_spectrum):
    net = network(query_spectrum=query_spectrum)
    audio = torch.randn(3, 40000)
    query = net.embed(audio)
    assert query.shape == (3, net.query_dim)
    assert net.query_dim == 64 + (513 if query_spectrum else 0)
    clip, frames = net.tag(audio)
    assert clip.shape == (3, 5) and frames.shape == (3, 8, 5)
    assert net.separate(audio, query).shape == audio.shape


@pytest.mark.parametrize("embed_dim, dim", [(96, 768), (256, 2048)])
def test_full_size_query_has_8d(embed_dim, dim):
    with torch.device("meta"):
        assert CaRESep(embed_dim=embed_dim).query_dim == dim


@VARIANTS
def test_padding_never_changes_a_result(query_spectrum):
    net = network(query_spectrum=query_spectrum, segment_frames=512)
    torch.manual_seed(1)
    short, long = torch.randn(1, 96000), torch.randn(1, 160000)
    padded = torch.zeros(2, 160000)
    padded[0, :96000], padded[1] = short[0], long[0]
    # What lies in the padding must not count either.
    padded[0, 96000:] = torch.randn(64000)
    lengths = torch.tensor([96000, 160000])
    query = torch.randn(2, net.query_dim)
    with torch.no_grad():
        alone = net.separate(short, query[:1])
        batch = net.separate(padded, query, lengths)
        assert db(alone[0], batch[0, :96000]) > 60
        assert not batch[0, 96000:].any()
        assert db(net.embed(short)[0], net.embed(padded, lengths)[0]) > 60
        assert db(net.tag(short)[0][0], net.tag(padded, lengths)[0][0]) > 60


def test_padding_does_not_move_statistics_in_training():
    audio = torch.randn(2, 40000)
    padded = torch.nn.functional.pad(audio, (0, 41000))
    one, two = network().train(), network().train()
    one.tag(audio)
    two.tag(padded, torch.tensor([40000, 40000]))
    torch.testing.assert_close(one.norm.running_mean, two.norm.running_mean)


@VARIANTS
def test_mask_of_one_returns_the_input(query_spectrum, monkeypatch):
    net = network(query_spectrum=query_spectrum)
    ones = torch.ones(2, net.segment_frames, 513)
    monkeypatch.setattr(net, "mask", lambda *_: ones)
    audio = torch.randn(2, 60000)
    assert db(audio, net.separate(audio, torch.zeros(2, net.query_dim))) > 120


@VARIANTS
def test_zero_projections_hide_the_query_from_the_encoder(query_spectrum):
    torch.manual_seed(0)
    net = CaRESep(**TINY, query_spectrum=query_spectrum).eval()
    image = torch.randn(2, 1, *net.fold.size)
    hint = torch.randn(2, 2, *net.fold.size) if query_spectrum else None
    query = torch.randn(2, net.pooled_dim)
    with torch.no_grad():
        plain, plain_skips = net.encoder(image)
        asked, asked_skips = net.encoder(image, query, hint)
    for a, b in zip([plain, *plain_skips], [asked, *asked_skips]):
        assert torch.equal(a, b)


@VARIANTS
def test_at_the_start_a_clip_looks_alike_to_query_and_separation(query_spectrum):
    torch.manual_seed(0)
    net = CaRESep(**TINY, query_spectrum=query_spectrum).eval()
    audio, lengths = torch.randn(2, 60000), torch.tensor([60000, 30000])
    with torch.no_grad():
        query = net.embed(audio, lengths)
        feature = net.separation_feature(audio, query, lengths)
        torch.testing.assert_close(feature, query[:, : net.pooled_dim])
    net = network(query_spectrum=query_spectrum)
    with torch.no_grad():
        query = net.embed(audio)
        feature = net.separation_feature(audio, query)
    assert db(query[:, : net.pooled_dim], feature) < 60


@VARIANTS
def test_trained_projections_make_the_output_depend_on_the_query(query_spectrum):
    net = network(query_spectrum=query_spectrum)
    audio = torch.randn(1, 60000)
    one, two = 5 * torch.randn(2, 1, net.query_dim)
    assert db(net.separate(audio, one), net.separate(audio, two)) < 60


@VARIANTS
def test_level_of_inputs_does_not_matter(query_spectrum):
    net = network(query_spectrum=query_spectrum)
    mixture, anchor = torch.randn(2, 1, 50000)
    query = net.embed(anchor)
    torch.testing.assert_close(net.embed(anchor * 1e-3), query, rtol=1e-3, atol=1e-4)
    quiet = net.separate(mixture * 1e-3, query)
    assert db(net.separate(mixture, query), quiet * 1e3) > 60


@VARIANTS
def test_silence_gives_silence_and_finite_gradients(query_spectrum):
    net = network(query_spectrum=query_spectrum).train()
    silence = torch.zeros(2, 30000)
    anchor = net.encode_anchor(silence)
    out = net.separate(silence, anchor.query)
    assert not out.any()
    (out.sum() + anchor.clip_logits.sum()).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in net.parameters())


@VARIANTS
def test_every_parameter_learns(query_spectrum):
    net = network(query_spectrum=query_spectrum).train()
    mixture, anchor = torch.randn(2, 2, 50000)
    encoded = net.encode_anchor(anchor)
    out = net.separate(mixture, encoded.query)
    (out.square().mean() + encoded.clip_logits.square().mean()).backward()
    without = [n for n, p in net.named_parameters() if p.grad is None]
    assert not without


def test_long_query_is_the_weighted_mean_of_its_segments():
    net = network()
    segment = net.segment_samples
    audio = torch.randn(1, 2 * segment + segment // 2)
    parts = audio.split(segment, 1)
    weights = torch.tensor([1.0, 1.0, 0.5])
    expected = sum(w * net.embed(p) for w, p in zip(weights, parts)) / weights.sum()
    torch.testing.assert_close(net.embed(audio), expected, rtol=1e-4, atol=1e-5)


def test_longer_than_a_segment_is_refused():
    net = network()
    audio = torch.randn(1, net.segment_samples + 1)
    with pytest.raises(ValueError, match="more than a segment of 81600"):
        net.separate(audio, torch.zeros(1, net.query_dim))


def test_bfloat16_core_keeps_the_output_in_float32():
    net = network(query_spectrum=True)
    audio = torch.randn(1, 60000)
    with torch.no_grad():
        query = net.embed(audio)
        plain = net.separate(audio, query)
        with torch.autocast("cpu", torch.bfloat16):
            low = net.separate(audio, net.embed(audio))
    assert low.dtype == torch.float32
    assert db(plain, low) > 20


@pytest.mark.parametrize(
    "conf, message",
    [
        (dict(depths=(1, 1)), "depths needs 4 positive numbers"),
        (dict(heads=(1, 2, 3, 4)), "heads must divide the channels"),
        (dict(segment_frames=250), "segment_frames must be a multiple of"),
        (dict(num_bands=600), "num_bands must lie in 1..512"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(conf, message):
    with pytest.raises(ValueError, match=message):
        CaRESep(**{**TINY, **conf})


def test_network_needs_torch_alone():
    code = (
        "import sys; import espnet2_caresep.network;"
        "bad = {'espnet2', 'espnet', 'numpy.testing', 'soundfile', 'timm', 'scipy'};"
        "sys.exit(str(bad & set(sys.modules)) if bad & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
