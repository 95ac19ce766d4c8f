"""The model that is installed along: small, complete, and its separations stay put."""

import zipfile

import numpy as np
import pytest
import soundfile
import torch

from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.models import find_models, shipped_models
from espnet2_caresep.scoring.metrics import sdr

# SDR in dB of the two sources of a mixture at 0 dB of two CC0 clips of the fixtures, the
# query being the source itself. Measured when the model was added; a change of the code
# must not move them.
GOLDEN = {"elec_chime": 33.87, "tabla_ghe5": 33.95}
RATE = 44100


@pytest.fixture(scope="module")
def separator():
    return CaRESeparator.from_pretrained(shipped_models()[0], "cpu")


@pytest.fixture(scope="module")
def sources():
    audio = {}
    for name in GOLDEN:
        samples, rate = soundfile.read(
            f"tests/fixtures/audio/{name}.flac", dtype="float32", frames=2 * RATE
        )
        assert rate == RATE
        audio[name] = np.pad(samples, (0, 2 * RATE - len(samples)))
    one, two = audio.values()
    two *= np.sqrt((one**2).mean() / (two**2).mean())
    return audio


@pytest.mark.parametrize("name", GOLDEN)
def test_separations_stay_as_they_were(separator, sources, name):
    mixture = sum(sources.values())
    result = separator.separate(mixture, sources[name], sample_rate=RATE)
    value = sdr(torch.from_numpy(sources[name]), torch.from_numpy(result.target))
    assert value == pytest.approx(GOLDEN[name], abs=0.05)


def test_a_stem_fades_where_something_else_sounds(separator, sources):
    """Two seconds of the wanted sound, then three times something else."""
    wanted, other = sources.values()
    mixture = np.concatenate([wanted, np.zeros(RATE, np.float32), *[other] * 3])
    raw = separator.separate(mixture, wanted, sample_rate=RATE)
    assert raw.presence > 0.9 and raw.fade.level == 1
    faded = raw.faded()
    assert np.array_equal(faded.target[: 2 * RATE], raw.target[: 2 * RATE])
    rest = slice(3 * RATE, None)
    assert np.square(faded.target[rest]).sum() < np.square(raw.target[rest]).sum() / 4
    gap = np.abs(faded.target + faded.residual - mixture).max()
    assert gap <= np.abs(mixture).max() * 2**-23


def test_it_is_small_and_says_what_it_is():
    (path,) = shipped_models()
    assert path.stat().st_size <= 20e6
    (model,) = [model for model in find_models() if model.origin == "shipped"]
    assert model.problem is None and len(model.labels) == 21
    assert model.scores and model.licence and model.parameters
    with zipfile.ZipFile(path) as file:
        weights = [n for n in file.namelist() if n.endswith(".pth")]
    assert len(weights) == 1  # weights alone: no optimizer, no checkpoint


def test_it_knows_its_classes(separator):
    assert len(separator.labels) == 21
    clip = np.random.default_rng(0).standard_normal(RATE).astype("float32")
    tags = separator.tag(0.1 * clip, sample_rate=RATE)
    assert tags.probabilities.shape == (21,)
