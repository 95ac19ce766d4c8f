"""What holds for every system of the paper's tables, and what sets them apart."""

import pytest
import torch

from espnet2_caresep.network import SYSTEMS
from espnet2_caresep.network.htsat import HTSAT

SWIN = dict(
    segment_frames=128,
    embed_dim=8,
    depths=(1, 1, 1, 1),
    heads=(1, 2, 4, 8),
    num_classes=5,
)
UNET = dict(unet_channels=2, unet_levels=3)
CNN = dict(segment_frames=128, cnn_channels=2, num_classes=5)
TINY = {
    "unshared": ("caresep", dict(SWIN, decoder_depths=(1, 1, 1), shared=False)),
    "st_sed_sep": ("st_sed_sep", {**SWIN, **UNET}),
    "pann_sep": ("pann_sep", {**CNN, **UNET}),
    "pann_sep_tags": ("pann_sep", {**CNN, **UNET, "query": "probabilities"}),
}
QUERY_DIMS = {"unshared": 64, "st_sed_sep": 64, "pann_sep": 64, "pann_sep_tags": 5}
ALL = pytest.mark.parametrize("name", TINY)
WITH_UNET = pytest.mark.parametrize("name", [n for n in TINY if n != "unshared"])


def network(name, **conf):
    """A tiny network whose weights are all away from their initial zeros."""
    torch.manual_seed(0)
    system, tiny = TINY[name]
    net = SYSTEMS[system](**{**tiny, **conf})
    for parameter in net.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return net.eval()


def db(reference, estimate):
    error = (reference - estimate).double().square().sum()
    return 10 * torch.log10(reference.double().square().sum() / error)


@ALL
def test_shapes(name):
    net = network(name)
    audio = torch.randn(2, 30000)
    query = net.embed(audio)
    assert query.shape == (2, net.query_dim) and net.query_dim == QUERY_DIMS[name]
    clip, frames = net.tag(audio)
    assert clip.shape == (2, 5) and frames.shape == (2, 4, 5)
    assert net.separate(audio, query).shape == audio.shape
    assert net.embed(torch.randn(1, 100000)).shape == (1, net.query_dim)
    with pytest.raises(ValueError, match="more than a segment of 40640"):
        net.separate(torch.randn(1, 50000), query[:1])


@ALL
def test_padding_never_changes_a_result(name):
    net = network(name)
    short, long = torch.randn(1, 20000), torch.randn(1, 40000)
    padded = torch.zeros(2, 40000)
    padded[0, :20000], padded[1] = short[0], long[0]
    padded[0, 20000:] = torch.randn(20000)  # what lies in the padding must not count
    lengths = torch.tensor([20000, 40000])
    with torch.no_grad():
        query = net.embed(padded, lengths)
        assert db(net.embed(short)[0], query[0]) > 60
        assert db(net.tag(short)[0][0], net.tag(padded, lengths)[0][0]) > 60
        alone = net.separate(short, query[:1])
        batch = net.separate(padded, query, lengths)
    assert db(alone[0], batch[0, :20000]) > 60
    assert not batch[0, 20000:].any()
    alone = net.separation_feature(short, query[:1])
    assert db(alone[0], net.separation_feature(padded, query, lengths)[0]) > 60


@ALL
def test_level_of_inputs_does_not_matter(name):
    net = network(name)
    mixture, anchor = torch.randn(2, 1, 30000)
    query = net.embed(anchor)
    assert db(query, net.embed(anchor * 1e-3)) > 60
    quiet = net.separate(mixture * 1e-3, query)
    assert db(net.separate(mixture, query), quiet * 1e3) > 60


@ALL
def test_the_output_depends_on_the_query(name):
    net = network(name)
    audio = torch.randn(1, 30000)
    one, two = 5 * torch.randn(2, 1, net.query_dim)
    assert db(net.separate(audio, one), net.separate(audio, two)) < 60
    features = net.separation_feature(audio, one), net.separation_feature(audio, two)
    assert db(*features) < 60


@ALL
def test_the_separation_feature_is_the_mean_of_the_deepest_maps(name):
    net = network(name)
    deepest = []
    place = net.encoder if name == "unshared" else net.unet.bottleneck
    place.register_forward_hook(lambda _, __, output: deepest.append(output))
    audio, query = torch.randn(1, 20000), torch.randn(1, net.query_dim)
    feature = net.separation_feature(audio, query)
    assert feature.shape == (1, 64 if name == "unshared" else 16)
    # 63 frames: the first 2 of 4 token frames, or 8 of 16 rows of maps.
    if name == "unshared":
        grid = net.fold.unfold(deepest[0][0], 32)[0, :2]
        by_hand = grid.mean((0, 1))
    else:
        by_hand = deepest[0][0, :, :8].mean((1, 2))
    torch.testing.assert_close(feature[0], by_hand)
    net.separate(audio, query)  # the mask is made of the same maps
    first, second = ((d[0] if name == "unshared" else d) for d in deepest)
    torch.testing.assert_close(first, second)


@ALL
def test_mask_of_one_returns_the_input(name, monkeypatch):
    net = network(name)
    ones = torch.ones(1, net.segment_frames, net.n_fft // 2 + 1)
    monkeypatch.setattr(net, "mask", lambda *_: ones)
    audio = torch.randn(1, 30000)
    assert db(audio, net.separate(audio, torch.zeros(1, net.query_dim))) > 120


@ALL
def test_silence_gives_silence_and_finite_gradients(name):
    net = network(name).train()
    silence = torch.zeros(2, 20000)
    anchor = net.encode_anchor(silence)
    out = net.separate(silence, anchor.query)
    assert not out.any()
    (out.sum() + anchor.clip_logits.sum()).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in net.parameters())


@ALL
def test_every_parameter_learns(name):
    net = network(name).train()
    mixture, anchor = torch.randn(2, 2, 30000)
    encoded = net.encode_anchor(anchor)
    out = net.separate(mixture, encoded.query)
    (out.square().mean() + encoded.clip_logits.square().mean()).backward()
    assert not [n for n, p in net.named_parameters() if p.grad is None]


@ALL
def test_the_query_network_is_a_network_of_its_own(name):
    net = network(name)
    audio, other = torch.randn(2, 1, 30000)
    query, separated = net.embed(other), net.separate(audio, net.embed(other))
    for key, parameter in net.named_parameters():
        if not key.startswith("query_net."):
            parameter.data += 0.1 * torch.randn_like(parameter)
    assert torch.equal(net.embed(other), query)
    assert db(separated, net.separate(audio, query)) < 60


@WITH_UNET
def test_anchors_can_come_as_spectra_of_the_mixtures_stft(name):
    net = network(name)
    audio = torch.randn(1, 127 * 320)
    audio[:, :2048] = audio[:, -2048:] = 0
    frames = torch.tensor([128])
    got = net.embed_spectrum(net.stft(audio), frames)
    assert db(net.embed(audio), got) > 60


@WITH_UNET
def test_bfloat16_core_keeps_the_output_in_float32(name):
    net = network(name)
    audio = torch.randn(1, 30000)
    with torch.no_grad():
        plain = net.separate(audio, net.embed(audio))
        with torch.autocast("cpu", torch.bfloat16):
            low = net.separate(audio, net.embed(audio))
    assert low.dtype == torch.float32
    assert db(plain, low) > 15


@pytest.mark.parametrize("flaw", [False, True])
def test_the_nyquist_flaw_caps_what_a_mask_of_one_gives_back(flaw):
    net = network("st_sed_sep", nyquist_flaw=flaw)
    torch.nn.init.zeros_(net.unet.final.weight)
    torch.nn.init.constant_(net.unet.final.bias, 30)
    audio, query = torch.randn(1, 40640), torch.randn(1, 64)
    mask = net.mask(net.stft(audio), query, torch.tensor([128]))
    assert (mask[..., :-1] == 1).all()
    assert (mask[..., -1] == (0.5 if flaw else 1)).all()
    sdr = db(audio, net.separate(audio, query))
    assert (35 < sdr < 50) if flaw else sdr > 100


def test_the_highest_bin_follows_the_one_below():
    net = network("st_sed_sep")
    mask = net.mask(
        net.stft(torch.randn(1, 40640)), torch.randn(1, 64), torch.tensor([128])
    )
    assert torch.equal(mask[..., -1], mask[..., -2])
    assert mask[..., -2].std() > 0


def _count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("dim, millions", [(96, 30.24), (256, 202.0)])
def test_full_size_of_the_query_network(dim, millions):
    # [15] also holds a layer of 527 x 527 weights that nothing uses; ours does not.
    with torch.device("meta"):
        net = SYSTEMS["st_sed_sep"](embed_dim=dim)
    assert _count(net.query_net) / 1e6 == pytest.approx(millions - 0.278, rel=1e-3)
    assert _count(net.query_net) / 1e6 == pytest.approx(millions, rel=0.01)
    assert net.query_dim == 8 * dim


def test_full_size_of_the_separators():
    with torch.device("meta"):
        st_sed_sep, pann_sep = SYSTEMS["st_sed_sep"](), SYSTEMS["pann_sep"]()
        tags = SYSTEMS["pann_sep"](query="probabilities")
        shared, unshared = SYSTEMS["caresep"](), SYSTEMS["caresep"](shared=False)
    separator = _count(st_sed_sep) - _count(st_sed_sep.query_net)
    assert separator / 1e6 == pytest.approx(167.6, rel=1e-3)
    assert pann_sep.query_dim == 2048 and tags.query_dim == 527
    # The separation feature is as long as the embedding: "2048-d".
    assert st_sed_sep.unet.bottleneck.convs[-1].conv.out_channels == 2048
    assert _count(pann_sep) - _count(pann_sep.query_net) == separator
    # 80.75 M are reported for CNN14 in the code of [22].
    assert _count(pann_sep.query_net) == 80_753_615
    more = _count(unshared) - _count(shared)
    assert more == _count(unshared.query_net) - _count(shared.head)
    assert isinstance(unshared.query_net, HTSAT)


@pytest.mark.parametrize(
    "name, conf, message",
    [
        ("unshared", dict(depths=(1, 1)), "depths needs 4 positive numbers"),
        ("st_sed_sep", dict(heads=(1, 2, 3, 4)), "heads must divide the channels"),
        ("st_sed_sep", dict(unet_channels=0), "unet_channels must be at least 1"),
        ("pann_sep", dict(query="tags"), "query must be one of"),
        ("pann_sep", dict(segment_frames=100), "must be a multiple of 32, not 100"),
        ("pann_sep", dict(num_mels=40), "num_mels must be a multiple of 32, not 40"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(name, conf, message):
    with pytest.raises(ValueError, match=message):
        network(name, **conf)
