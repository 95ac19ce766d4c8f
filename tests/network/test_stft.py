import pytest
import torch

from espnet2_caresep.network.stft import STFT


def _sdr(reference, estimate):
    error = (reference - estimate).double().square().sum()
    return 10 * torch.log10(reference.double().square().sum() / error)


@pytest.mark.parametrize("samples", [1, 319, 32000, 81599])
def test_round_trip_is_exact_to_120_db(samples):
    torch.manual_seed(0)
    stft = STFT(1024, 320)
    audio = torch.randn(2, samples)
    spectrum = stft(audio)
    assert spectrum.shape == (2, stft.frames(samples), 513)
    assert _sdr(audio, stft.inverse(spectrum, samples)) > 120


def test_white_noise_of_unit_power_has_unit_power_in_every_bin():
    torch.manual_seed(0)
    power = STFT()(torch.randn(1, 32000 * 20))[0].abs().square().mean(0)
    # The first and last bins are real: their power is the same, its spread larger.
    assert power[1:-1].mean() == pytest.approx(1, abs=0.02)


def test_bad_hop_is_refused():
    with pytest.raises(ValueError, match="hop_length must lie in 1..n_fft/2 = 512"):
        STFT(1024, 513)
