import torch

from espnet2_caresep.network.band_split import BandMerge
from espnet2_caresep.network.query import (
    START_TRUST,
    QueryProjection,
    QuerySpectrum,
    mean_log_power,
)

BINS, BANDS, RATE = 257, 24, 16000


def _spectrum() -> tuple[QuerySpectrum, BandMerge]:
    torch.manual_seed(0)
    merge = BandMerge(BINS, BANDS, RATE, 4)
    return QuerySpectrum(BINS, BANDS, RATE).eval(), merge


def test_projection_starts_silent_and_adds_the_query_to_every_token():
    layer = QueryProjection(6, 4)
    tokens, query = torch.randn(2, 5, 4), torch.randn(2, 6)
    assert torch.equal(layer(tokens, query), tokens)
    torch.nn.init.normal_(layer.linear.weight)
    difference = layer(tokens, query) - tokens
    expected = query @ layer.linear.weight.T
    torch.testing.assert_close(difference, expected[:, None].expand(2, 5, 4))


def test_mean_log_power_leaves_padding_out():
    power = torch.rand(1, 10, BINS)
    power[:, 7:] = 0
    expected = torch.log(power[:, :7].mean(1) + 1e-6)
    got = mean_log_power(power, torch.tensor([7]))
    torch.testing.assert_close(got, expected)


def test_untrained_prior_is_a_tempered_static_mask():
    # Query and mixture at unit level; half of the mixture's power is the target's.
    spectrum, merge = _spectrum()
    query, mixture = torch.randn(2, 1, BINS)
    prior, _ = spectrum(query, mixture, merge)
    share = (torch.exp(query - mixture) / 2).clamp(1e-4, 0.98)
    torch.testing.assert_close(
        prior.sigmoid(), torch.sigmoid(START_TRUST * torch.logit(share))
    )


def test_query_that_cannot_be_in_the_mixture_is_told_from_one_that_can():
    """With trained weights the prior depends on more than the share in each bin."""
    spectrum, merge = _spectrum()
    torch.nn.init.normal_(spectrum.compare[-1].weight)
    mixture = torch.zeros(1, BINS)
    own = torch.full((1, BINS), -1.0)
    other = own.clone()
    other[:, BINS // 2 :] = 4.0  # far more there than the mixture has
    low = slice(0, BINS // 4)
    prior_own, _ = spectrum(own, mixture, merge)
    prior_other, _ = spectrum(other, mixture, merge)
    assert (prior_own[:, low] - prior_other[:, low]).abs().max() > 0.1


def test_encoder_is_shown_the_query_and_the_prior():
    spectrum, merge = _spectrum()
    query, mixture = torch.randn(2, 3, BINS)
    prior, shown = spectrum(query, mixture, merge)
    assert prior.shape == (3, BINS)
    assert shown.shape == (3, BANDS, QuerySpectrum.hint_channels)
    louder = spectrum(query + 1, mixture, merge)[1] - shown
    assert (louder > 0).all()
