"""Masks from a mixture's parts."""

import pytest
import torch
from tiny_network import SIZES

from espnet2_caresep.network import CaRESep
from espnet2_caresep.network.level import FLOOR, Levelled
from espnet2_caresep.network.parts import by_parts, by_templates, own_sound
from espnet2_caresep.network.query_layout import find_templates

TINY = {**SIZES, "query_spectrum": True, "refine_channels": 8}
SAMPLES = 20000
FRAMES, BINS, HELD = 80, 300, 64


def _levelled(power: torch.Tensor) -> Levelled:
    power = power / power.mean((1, 2), keepdim=True)
    valid = (torch.arange(FRAMES) < HELD)[None].expand(len(power), -1)
    return Levelled(power * valid[..., None], valid, torch.log(power.mean(1) + FLOOR))


@pytest.fixture
def sounds() -> tuple[torch.Tensor, torch.Tensor]:
    """Magnitudes (1, FRAMES, BINS) of two sounds of three spectra each, whose bins
    overlap and whose spectra come and go; the last frames are empty."""
    generator = torch.Generator().manual_seed(3)
    spectra = torch.rand(2, 3, BINS, generator=generator) ** 4
    spectra[0, :, 200:], spectra[1, :, :100] = 0.0, 0.0
    courses = torch.rand(2, FRAMES, 3, generator=generator) ** 3
    courses[:, HELD:] = 0.0
    one, other = courses @ spectra
    return one[None], (other * one.norm() / other.norm())[None]


def _sdr(target, estimate) -> float:
    error = (target - estimate).square().sum()
    return float(10 * torch.log10(target.square().sum() / error))


def test_parts_put_right_what_a_mask_has_wrong_here_and_there(sounds):
    target, rest = sounds
    mixture = target + rest
    ideal = target / (mixture + 1e-9)
    wrong = torch.rand(mixture.shape, generator=torch.Generator().manual_seed(0)) < 0.2
    mask = torch.where(wrong, 0.5, ideal)
    found = by_parts(_levelled(mixture.square()), mask)
    assert 0 <= found.min() and found.max() <= 1
    before, after = (_sdr(target, x * mixture) for x in (mask, found))
    assert after > before + 1


def test_a_mask_that_takes_or_leaves_next_to_nothing_stays(sounds):
    mixture = _levelled((sounds[0] + sounds[1]).square())
    for value in (0.0, 0.02, 0.98, 1.0):
        mask = torch.full(mixture.power.shape, value)
        assert torch.equal(by_parts(mixture, mask), mask)


def test_templates_find_their_own_sound(sounds):
    target, rest = sounds
    templates = find_templates(target[:, :HELD], 3)
    for level in (0.2, 1.0, 2.0):
        mixture = level * target + rest
        mask = torch.full(mixture.shape, 0.5)
        found = by_templates(_levelled(mixture.square()), mask, 100 * templates)
        half = _sdr(level * target, mask * mixture)
        assert _sdr(level * target, found * mixture) > half + 3


def test_only_the_very_sound_is_trusted(sounds):
    target, rest = sounds
    mixture = _levelled((target + rest).square())
    mask = target / (target + rest + 1e-9)
    kept = []
    for clip in (target, rest.flip(2), torch.zeros_like(target)):
        query = torch.log(clip.square().mean(1) + FLOOR)
        templates = find_templates(clip[:, :HELD], 3)
        kept.append(float(own_sound(mixture, mask, query, templates)[1]))
    assert kept == [pytest.approx(1.0), 0.0, 0.0]


def test_a_sound_alone_needs_no_templates(sounds):
    target, _ = sounds
    query = torch.log(target.square().mean(1) + FLOOR)
    mask = torch.full(target.shape, 0.99)
    templates = find_templates(target[:, :HELD], 3)
    _, sure = own_sound(_levelled(target.square()), mask, query, templates)
    assert sure == 0
    own, sure = own_sound(_levelled(target.square()), mask, query, templates[:, :0])
    assert torch.equal(own, mask) and sure == 0  # no templates, no trust


# -- in the network ----------------------------------------------------------------


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = CaRESep(**TINY, query_templates=4, parts=True).eval()
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return network


def _plain(network) -> CaRESep:
    plain = CaRESep(**TINY).eval()
    plain.load_state_dict(network.state_dict())
    return plain


def _chords(seed: int) -> torch.Tensor:
    """(1, SAMPLES): three chords in turn, of four partials each."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(SAMPLES)
    pitches = 0.02 + 0.4 * torch.rand(3, 4, 1, generator=generator)
    phases = 6.28 * (pitches * time + torch.rand(3, 4, 1, generator=generator))
    on = (time * 3 // SAMPLES)[None] == torch.arange(3)[:, None]
    return (phases.sin().sum(1) * on).sum(0, keepdim=True) / 4


@torch.no_grad()
def test_a_query_that_is_the_target_itself_separates_better(network):
    target, rest = _chords(1), _chords(2).roll(SAMPLES // 6)
    mixture, plain = target + rest, _plain(network)
    before = plain.separate(mixture, plain.embed(target))
    after = network.separate(mixture, network.embed(target))
    assert _sdr(target, after) > _sdr(target, before) + 2


@torch.no_grad()
def test_results_depend_on_neither_batch_nor_padding_nor_level(network):
    mixtures = torch.cat([_chords(1) + _chords(2), _chords(3) + 0.1 * _chords(4)])
    queries = network.embed(torch.cat([_chords(1), _chords(5)]))
    both = network.separate(mixtures, queries)
    for row in (0, 1):
        alone = network.separate(mixtures[row : row + 1], queries[row : row + 1])
        torch.testing.assert_close(alone, both[row : row + 1], rtol=0, atol=1e-4)
    padded = torch.nn.functional.pad(mixtures, (0, 999))
    lengths = torch.tensor([SAMPLES, SAMPLES])
    found = network.separate(padded, queries, lengths)[:, :SAMPLES]
    torch.testing.assert_close(found, both, rtol=0, atol=1e-4)
    loud = network.separate(30 * mixtures, queries)
    torch.testing.assert_close(loud, 30 * both, rtol=1e-3, atol=3e-3)


@torch.no_grad()
def test_training_is_as_it_was_without_parts(network):
    mixture, clip = _chords(1) + _chords(2), _chords(1)
    plain = _plain(network)
    query = network.embed(clip)
    short = query[:, : plain.query_dim]
    torch.testing.assert_close(plain.embed(clip), short)
    masks = []
    for net, wanted in ((network, query), (plain, short)):
        net.train()
        torch.manual_seed(0)  # the same dropout
        spectrum, frames = net._analyse(mixture.repeat(2, 1), None)
        masks.append(net.mask(spectrum, wanted.repeat(2, 1), frames))
    torch.testing.assert_close(*masks)


def test_templates_need_a_spectrum_and_a_count():
    with pytest.raises(ValueError, match="query_spectrum"):
        CaRESep(**SIZES, query_templates=4)
    with pytest.raises(ValueError, match="query_templates"):
        CaRESep(**TINY, query_templates=-1)
