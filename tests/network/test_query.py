import torch

from espnet2_caresep.network.level import FLOOR, Levelled
from espnet2_caresep.network.query import (
    START_TRUST,
    QueryProjection,
    QuerySpectrum,
    _level_figures,
    activation_ratio,
)

BINS, BANDS, RATE, FRAMES = 257, 24, 16000, 9


def _spectrum() -> QuerySpectrum:
    torch.manual_seed(0)
    return QuerySpectrum(BINS, BANDS, RATE).eval()


def _power(batch: int) -> torch.Tensor:
    power = torch.randn(batch, FRAMES, BINS).square()
    return power / power.mean((1, 2), keepdim=True)


def _heard(batch: int, power: torch.Tensor | None = None) -> Levelled:
    power = _power(batch) if power is None else power
    valid = torch.ones(batch, FRAMES, dtype=torch.bool)
    return Levelled(power, valid, torch.log(power.mean(1) + FLOOR))


def test_projection_starts_silent_and_adds_the_query_to_every_token():
    layer = QueryProjection(6, 4)
    tokens, query = torch.randn(2, 5, 4), torch.randn(2, 6)
    assert torch.equal(layer(tokens, query), tokens)
    torch.nn.init.normal_(layer.linear.weight)
    difference = layer(tokens, query) - tokens
    expected = query @ layer.linear.weight.T
    torch.testing.assert_close(difference, expected[:, None].expand(2, 5, 4))


def test_untrained_prior_is_a_tempered_static_mask_of_frames_that_follow_their_activations():
    # Query and mixture at unit level; half of the mixture's power is the target's.
    spectrum = _spectrum()
    query, heard = torch.randn(1, BINS), _heard(1)
    prior, _ = spectrum(query, heard)
    power, _, mixture = heard
    share = (torch.exp(query - mixture) / 2).clamp(1e-4, 0.98)
    static = START_TRUST * torch.logit(share)
    ratio = activation_ratio(power, mixture.exp(), static.sigmoid())
    torch.testing.assert_close(prior, static[:, None] + ratio[..., None])


def test_query_that_cannot_be_in_the_mixture_is_told_from_one_that_can():
    """With trained weights the prior depends on more than the share in each bin."""
    spectrum = _spectrum()
    torch.nn.init.normal_(spectrum.compare[-1].weight)
    own = torch.full((1, BINS), -1.0)
    other = own.clone()
    other[:, BINS // 2 :] = 4.0  # far more there than the mixture has
    low = slice(0, BINS // 4)
    heard = _heard(1, torch.ones(1, FRAMES, BINS))
    prior_own, _ = spectrum(own, heard)
    prior_other, _ = spectrum(other, heard)
    assert (prior_own[..., low] - prior_other[..., low]).abs().max() > 0.1


def test_an_own_clip_is_told_at_any_level():
    """The target is in low bins alone, the other sound in high ones and a little below."""
    torch.manual_seed(0)
    target, other, stranger = torch.rand(3, BINS) + 0.1
    target[BINS // 2 :] *= 1e-4
    other[: BINS // 2] *= 0.02
    stranger[BINS // 2 :] *= 1e-4
    figures = []
    for db in (-10, 0, 10):
        mixture = 10 ** (db / 10) * target / target.mean() + other / other.mean()
        mixture = torch.log(mixture / mixture.mean())[None]
        queries = torch.log(torch.stack([x / x.mean() for x in (target, stranger)]))
        figures.append(_level_figures(queries, mixture.expand(2, -1)))
    for _, spread, above in (each.T for each in figures):
        assert spread[0] < 0.5 * spread[1] and above[0] < 0.1 * above[1]
    means = [each[0, 0] for each in figures]  # half of it: of the louder own clip less
    assert means[0] > means[1] + 0.2 > means[2] + 0.4


def test_the_level_moves_the_share():
    torch.manual_seed(0)
    plain, levels = _spectrum(), QuerySpectrum(BINS, BANDS, RATE, levels=True).eval()
    query, heard = torch.randn(1, BINS) - 2, _heard(1)
    prior, _ = plain(query, heard)
    torch.testing.assert_close(levels(query, heard)[0], prior)
    with torch.no_grad():
        levels.compare[-1].bias[-1] = 1.0
    # e times the power: as if the query were at that level
    louder, _ = plain(query + 1, heard)
    torch.testing.assert_close(levels(query, heard)[0], louder)


def test_encoder_is_shown_the_query_and_the_prior():
    spectrum = _spectrum()
    query, heard = torch.randn(3, BINS), _heard(3)
    prior, shown = spectrum(query, heard)
    assert prior.shape == (3, FRAMES, BINS)
    assert shown.shape == (3, FRAMES, BANDS, QuerySpectrum.hint_channels)
    louder = spectrum(query + 1, heard)[1] - shown
    assert (louder[..., 0] > 0).all()


def test_activations_tell_which_sound_a_frame_holds():
    """Two sounds in turn, each with its own spectrum: scikit-learn's factorisation with
    the same fixed spectra is the reference."""
    from sklearn.decomposition import non_negative_factorization

    torch.manual_seed(1)
    one, two = torch.rand(2, BINS) + 0.01
    weights = torch.tensor([[4.0, 0.1], [0.1, 4.0], [2.0, 2.0], [1.0, 3.0]])
    power = (weights @ torch.stack([one, two])).square()[None]
    spectra = torch.stack([one, two]).square()
    mean, share = spectra.sum(0)[None], (spectra[0] / spectra.sum(0))[None]
    ratio = activation_ratio(power, mean, share)[0]
    reference, *_ = non_negative_factorization(
        power[0].sqrt().numpy(),
        H=spectra.sqrt().numpy(),
        n_components=2,
        init="custom",
        update_H=False,
        solver="mu",
        beta_loss="kullback-leibler",
        max_iter=5,
        tol=0,
    )
    expected = torch.log(torch.tensor(reference[:, 0] / reference[:, 1]))
    torch.testing.assert_close(ratio, expected, rtol=1e-2, atol=1e-2)
    assert ratio[0] > 0.5 and ratio[1] < -0.5


def test_silent_frames_prefer_neither():
    power = _power(1)
    power[:, 5:] = 0
    mean, share = power.mean(1), torch.full((1, BINS), 0.3)
    ratio = activation_ratio(power, mean, share)
    assert ratio.isfinite().all() and (ratio[:, 5:] == 0).all()
