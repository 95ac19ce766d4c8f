"""Further looks at a mixture."""

import copy

import numpy as np
import pytest
import torch
from tiny_network import SIZES

from espnet2_caresep.network import CaRESep
from espnet2_caresep.network.level import FLOOR, at_unit_level
from espnet2_caresep.network.looks import LIKENESS, STEP, doubt, found_spectrum

TINY = {**SIZES, "query_spectrum": True, "refine_channels": 8}
SAMPLES = 20000


@pytest.fixture
def network():
    """A network whose parts all have a say, with three looks."""
    torch.manual_seed(0)
    network = CaRESep(**TINY, looks=3).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return network


def with_one_look(network):
    once = copy.copy(network)
    once.looks = 1
    return once


def noise(seed, low, high):
    """(1, SAMPLES) of noise between two frequencies, as shares of the rate."""
    white = torch.randn(1, SAMPLES, generator=torch.Generator().manual_seed(seed))
    spectrum = torch.fft.rfft(white)
    frequency = torch.fft.rfftfreq(SAMPLES)
    kept = (frequency >= low) & (frequency < high)
    return torch.fft.irfft(spectrum * kept, SAMPLES)


def levelled(audio, network):
    spectrum = network.stft(audio)
    frames = torch.tensor([spectrum.shape[1]])
    return at_unit_level(spectrum, frames, network.segment_frames)


@torch.no_grad()
def test_what_was_found_is_the_spectrum_of_what_the_mask_takes(network):
    mixture = levelled(noise(0, 0.0, 0.5), network)
    everything = torch.ones_like(mixture.power)
    torch.testing.assert_close(found_spectrum(everything, mixture), mixture.log_mean)
    # A level is none of a spectrum's business
    half = found_spectrum(0.5 * everything, mixture)
    torch.testing.assert_close(half, mixture.log_mean)
    mask = torch.rand(mixture.power.shape)
    power = (mask.double() ** 2 * mixture.power.double())[0].numpy()
    mean = power[mixture.valid[0].numpy()].mean(0)
    np.testing.assert_allclose(
        found_spectrum(mask, mixture)[0], np.log(mean / mean.mean() + FLOOR), atol=1e-4
    )
    nothing = found_spectrum(0 * everything, mixture)
    assert torch.isfinite(nothing).all()


def test_doubt_is_none_of_a_clip_of_its_own_and_full_of_a_stranger():
    power = torch.rand(1, 200) + 0.01
    own = power.log()
    assert doubt(own, own) == 0 and doubt(own, own + 3) == 0
    low, high = own.clone(), own.clone()
    low[:, :100], high[:, 100:] = -14, -14
    assert doubt(low, high) == 1
    shares = [doubt(own, (power + x * power.roll(99, 1)).log()) for x in range(5)]
    assert shares == sorted(shares)
    between = sum(LIKENESS) / 2
    query = torch.tensor([[1e6, 1.0]]).log()
    found = torch.tensor([[between, (1 - between**2) ** 0.5]]).log() + np.log(1e6)
    torch.testing.assert_close(
        doubt(query, found), torch.tensor([0.5]), atol=1e-3, rtol=0
    )


@torch.no_grad()
def test_a_query_that_is_the_target_itself_is_looked_for_once(network):
    target = noise(0, 0.05, 0.2)
    query = network.embed(target)
    # Nothing else is there: what was found has the query's spectrum, near enough
    masks = [n.separate(target, query) for n in (network, with_one_look(network))]
    assert 0 < masks[1].abs().max() and not torch.equal(masks[1], target)
    found = levelled(masks[1], network).log_mean
    spectrum = query[:, network.pooled_dim :]
    assert doubt(spectrum, found) == 0
    assert torch.equal(*masks)


@torch.no_grad()
def test_each_look_goes_half_way_to_what_it_finds(network):
    target, rest = noise(0, 0.05, 0.2), noise(1, 0.15, 0.4)
    query = network.embed(noise(2, 0.3, 0.45))
    spectrum, frames = network._analyse(target + rest, None)
    first = with_one_look(network).mask(spectrum, query, frames)
    mixture = network._level(spectrum, frames)
    found = found_spectrum(first, mixture)
    step = STEP * doubt(query[:, network.pooled_dim :], found)
    assert 0.2 < step <= STEP
    # The second look's prior and correction, with the decoder's logits of the first
    x, skips, _ = network._encode_mixture(mixture, query)
    pooled = query[:, : network.pooled_dim]
    logits = network.merge(network.fold.unfold(network.decoder(x, skips, pooled)))
    second = network.refinement(
        logits + network.spectrum(found, mixture)[0], mixture, pooled, found
    ).sigmoid()
    network.looks = 2
    mask = network.mask(spectrum, query, frames)
    torch.testing.assert_close(mask, (1 - step) * first + step * second)
    assert (mask - first).abs().max() > 1e-3
    assert 0 <= mask.min() and mask.max() <= 1


@torch.no_grad()
def test_padding_and_level_change_nothing(network):
    mixture = noise(0, 0.05, 0.2) + noise(1, 0.15, 0.4)
    query = network.embed(noise(2, 0.3, 0.45))
    alone = network.separate(mixture, query)
    padded = torch.nn.functional.pad(mixture, (0, 5000))
    beside = network.separate(padded, query, torch.tensor([SAMPLES]))
    torch.testing.assert_close(beside[:, :SAMPLES], alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        network.separate(100 * mixture, query), 100 * alone, atol=1e-3, rtol=1e-3
    )


def test_silence_gives_silence_and_finite_gradients(network):
    network.train()
    audio = torch.cat([torch.zeros(1, SAMPLES), noise(1, 0.1, 0.4)])
    query = network.embed(audio.flip(0))
    target = network.separate(audio, query)
    assert target[0].abs().max() == 0
    target.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_weights_of_one_look_can_look_again():
    once, twice = CaRESep(**TINY), CaRESep(**TINY, looks=2)
    twice.load_state_dict(once.state_dict())


@pytest.mark.parametrize(
    "conf, message",
    [
        ({"looks": 2}, "need query_spectrum"),
        ({"query_spectrum": True, "looks": 0}, "at least one"),
    ],
)
def test_looks_that_make_no_sense_are_refused(conf, message):
    with pytest.raises(ValueError, match=message):
        CaRESep(**SIZES, **conf)
