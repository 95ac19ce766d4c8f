"""The network that corrects a mask frame by frame."""

import pytest
import torch
from tiny_network import SIZES

from espnet2_caresep.network import CaRESep
from espnet2_caresep.network.level import FLOOR, Levelled
from espnet2_caresep.network.refinement import MaskRefinement

BINS, BANDS, FRAMES, DIM = 129, 16, 40, 6
TINY = {**SIZES, "query_spectrum": True}


@pytest.fixture
def refinement():
    torch.manual_seed(0)
    return MaskRefinement(BINS, BANDS, 16000, DIM, 8).eval()


def inputs(batch=3, frames=FRAMES):
    generator = torch.Generator().manual_seed(1)
    return {
        "logits": torch.randn(batch, frames, BINS, generator=generator),
        "power": torch.rand(batch, frames, BINS, generator=generator),
        "valid": torch.ones(batch, frames, dtype=torch.bool),
        "embedding": torch.randn(batch, DIM, generator=generator),
        "spectrum": torch.randn(batch, BINS, generator=generator),
    }


def correct(refinement, logits, power, valid, embedding, spectrum):
    mean = power.sum(1) / valid.sum(1, keepdim=True)
    heard = Levelled(power, valid, torch.log(mean + FLOOR))
    return refinement(logits, heard, embedding, spectrum)


def stir(module):
    """Weights as after a training: no output is zero any more."""
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return module


def test_logits_are_undisturbed_at_first(refinement):
    given = inputs()
    assert torch.equal(correct(refinement, **given), given["logits"])


def test_padding_changes_nothing(refinement):
    stir(refinement)
    given = inputs()
    whole = correct(refinement, **given)
    assert not torch.allclose(whole, given["logits"], atol=0.1)
    pad = torch.nn.functional.pad
    padded = {
        **given,
        "logits": pad(given["logits"], (0, 0, 0, 9), value=7.0),
        "power": pad(given["power"], (0, 0, 0, 9)),
        "valid": pad(given["valid"], (0, 9)),
    }
    assert torch.allclose(correct(refinement, **padded)[:, :FRAMES], whole, atol=1e-5)


def test_query_and_mixture_have_a_say(refinement):
    stir(refinement)
    given = inputs()
    whole = correct(refinement, **given)
    for name in ("logits", "power", "embedding", "spectrum"):
        changed = correct(refinement, **{**given, name: given[name].roll(1, 0)})
        assert not torch.allclose(changed, whole, atol=1e-3), name


def test_a_frame_is_corrected_by_what_lies_around_it(refinement):
    stir(refinement)
    given = inputs(batch=1, frames=120)
    given["power"].requires_grad_()
    correct(refinement, **given)[0, 60].sum().backward()
    reached = given["power"].grad[0].abs().sum(-1)
    assert reached[45:76].min() > 0


@pytest.mark.parametrize("frames", [1, 2])
def test_very_short_mixtures_have_finite_gradients(refinement, frames):
    stir(refinement)
    given = inputs(batch=2, frames=8)
    given["valid"][:, frames:] = False
    given["power"] = given["power"] * given["valid"][..., None]
    correct(refinement, **given)[:, :frames].sum().backward()
    for name, parameter in refinement.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name


def test_a_network_without_refinement_can_start_one_with_it():
    torch.manual_seed(0)
    plain = CaRESep(**TINY).eval()
    refined = CaRESep(**TINY, refine_channels=8).eval()
    missing, unexpected = refined.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(key.startswith("refinement.") for key in missing)
    query, mixture = torch.randn(2, 2, 30000)
    query = plain.embed(query)
    before = plain.separate(mixture, query)
    assert torch.equal(refined.separate(mixture, query), before)
    stir(refined.refinement)
    assert not torch.allclose(refined.separate(mixture, query), before, atol=1e-3)


def test_refinement_needs_the_spectrum_of_the_query():
    with pytest.raises(ValueError, match="refine_channels, looks and .* need"):
        CaRESep(**{**TINY, "query_spectrum": False}, refine_channels=8)
