"""Baselines and oracles against a frame-by-frame numpy version and known answers."""

import numpy as np
import pytest
import torch

from espnet2_caresep.network.stft import STFT
from espnet2_caresep.scoring import baselines
from espnet2_caresep.scoring.metrics import sdr, silence_sdr

N_FFT, HOP = 1024, 320
SPECTROGRAM = STFT(N_FFT, HOP)


def _frames(audio):
    window = np.hanning(N_FFT + 1)[:-1]
    padded = np.pad(audio, N_FFT // 2)
    starts = range(0, len(padded) - N_FFT + 1, HOP)
    return np.stack([np.fft.rfft(window * padded[s : s + N_FFT]) for s in starts])


def _overlap_add(spectrum, samples):
    window = np.hanning(N_FFT + 1)[:-1]
    out = np.zeros(N_FFT + HOP * (len(spectrum) - 1))
    weight = np.zeros_like(out)
    for i, frame in enumerate(spectrum):
        part = slice(i * HOP, i * HOP + N_FFT)
        out[part] += window * np.fft.irfft(frame)
        weight[part] += window**2
    start = N_FFT // 2
    return (out / np.maximum(weight, 1e-12))[start : start + samples]


def _sources(seed=0, samples=8000):
    """Two noises of different colour that come and go at different times."""
    rng = np.random.default_rng(seed)
    low = np.convolve(rng.standard_normal(samples), np.ones(8) / 8, "same")
    high = np.convolve(rng.standard_normal(samples), [0.5, -0.5], "same")
    low *= np.linspace(0, 1, samples)
    return torch.tensor(low).float(), torch.tensor(high).float()


def test_constant_mask_gives_six_db():
    low, high = _sources()
    high = high * low.norm() / high.norm()
    assert sdr(low, baselines.constant_mask(low)) == pytest.approx(6.02, abs=0.01)
    suppressed = baselines.constant_mask(high)
    assert silence_sdr(high, suppressed) == pytest.approx(6.02, abs=0.01)
    mixed = sdr(low, baselines.constant_mask(low + high))
    assert mixed == pytest.approx(3.0, abs=0.2)


def test_static_mask_equals_numpy():
    low, high = _sources()
    mixture = _frames((low + high).numpy())
    wanted = (np.abs(_frames(low.numpy())) ** 2).mean(0)
    present = (np.abs(mixture) ** 2).mean(0)
    wanted *= 0.5 * present.sum() / wanted.sum()
    mask = np.minimum(1, wanted / present)
    expected = _overlap_add(mask * mixture, len(low))
    for level in (1, 1e-3, 1e3):  # of the query: it must not matter
        assert (
            sdr(expected, baselines.static_mask(low + high, level * low, SPECTROGRAM))
            > 80
        )


def test_static_mask_of_a_clean_input_is_half():
    low, _ = _sources()
    assert sdr(low, baselines.static_mask(low, low, SPECTROGRAM)) == pytest.approx(
        6.02, abs=0.01
    )


@pytest.mark.parametrize("name", ["ideal_ratio_mask", "phase_sensitive_mask"])
def test_oracles_equal_numpy(name):
    low, high = _sources()
    mixture, wanted = _frames((low + high).numpy()), _frames(low.numpy())
    if name == "ideal_ratio_mask":
        mask = np.abs(wanted) / (np.abs(wanted) + np.abs(mixture - wanted))
    else:
        ratio = np.abs(wanted) / np.abs(mixture)
        mask = np.clip(ratio * np.cos(np.angle(wanted) - np.angle(mixture)), 0, 1)
    expected = _overlap_add(mask * mixture, len(low))
    assert sdr(expected, getattr(baselines, name)(low + high, low, SPECTROGRAM)) > 80


def test_ranking_and_limits():
    low, high = _sources()
    mixture = low + high
    static = sdr(low, baselines.static_mask(mixture, low, SPECTROGRAM))
    ideal = sdr(low, baselines.ideal_ratio_mask(mixture, low, SPECTROGRAM))
    phase = sdr(low, baselines.phase_sensitive_mask(mixture, low, SPECTROGRAM))
    assert sdr(low, mixture) < static < ideal < phase
    for oracle in (baselines.ideal_ratio_mask, baselines.phase_sensitive_mask):
        assert sdr(low, oracle(low, low, SPECTROGRAM)) > 120
        assert silence_sdr(low, oracle(low, torch.zeros_like(low), SPECTROGRAM)) > 60


def test_batches_and_silence():
    low, high = _sources()
    batch = torch.stack([torch.stack([low, high]), torch.stack([high, low])])
    query = batch[..., :2000]
    separated = baselines.static_mask(batch, query, SPECTROGRAM)
    assert separated.shape == batch.shape
    alone = baselines.static_mask(batch[1, 0], query[1, 0], SPECTROGRAM)
    assert torch.allclose(separated[1, 0], alone, atol=1e-6)
    silence = torch.zeros(4000)
    assert baselines.static_mask(silence, low, SPECTROGRAM).abs().max() == 0
    assert baselines.ideal_ratio_mask(silence, silence, SPECTROGRAM).abs().max() == 0
