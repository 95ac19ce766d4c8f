"""Systems from files of users: those of docs/espnet.md work as they stand there."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from synthetic import NETWORK

from espnet2_caresep import registration
from espnet2_caresep.bin.train import main
from espnet2_caresep.extractor import CaRESepExtractor
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.network import CaRESep
from espnet2_caresep.network.systems import SYSTEMS

PAGE = Path(__file__).parents[2] / "docs/espnet.md"
FILE = r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n"
FILES = dict(re.findall(FILE, PAGE.read_text(), flags=re.DOTALL))


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Imports a file of the page, which adds its system."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(SYSTEMS)

    def load(name):
        (tmp_path / f"{name}.py").write_text(FILES[f"{name}.py"])
        importlib.import_module(name)
        return SYSTEMS[name]

    yield load
    SYSTEMS.clear()
    SYSTEMS.update(before)
    for name in ("conv_query", "tanh_mask"):
        sys.modules.pop(name, None)


def test_the_query_encoder(system):
    torch.manual_seed(0)
    network = system("conv_query")(num_classes=3, query_spectrum=True, **NETWORK).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    audio, longer = torch.randn(2, 15000), torch.zeros(2, 20000)
    longer[:, :15000] = audio
    query = network.embed(audio)
    assert query.shape == (2, network.query_dim)
    lengths = torch.tensor([15000, 15000])
    torch.testing.assert_close(network.embed(longer, lengths), query)
    loss = network.separate(audio, network.embed(audio)).square().sum()
    loss.backward()
    assert network.query_encoder[0].weight.grad.abs().max() > 0
    # The query comes from the new network alone.
    with torch.no_grad():
        for parameter in network.encoder.parameters():
            parameter.zero_()
        torch.testing.assert_close(network.embed(audio), query)


def test_the_mask_form(system):
    torch.manual_seed(0)
    network = system("tanh_mask")(num_classes=3, **NETWORK).eval()
    plain = CaRESep(num_classes=3, **NETWORK).eval()
    plain.load_state_dict(network.state_dict())
    mixture = torch.randn(1, 20000)
    with torch.no_grad():
        query = network.embed(mixture)
        turned = network.separate(mixture, query)
        wanted = 2 * plain.separate(mixture, query) - mixture
    torch.testing.assert_close(turned, wanted, atol=1e-4, rtol=0)


def test_a_system_of_the_page_trains_and_loads(system, training, tmp_path, monkeypatch):
    # What a process finds that was started with CARESEP_PLUGINS.
    extractor = type("Extractor", (CaRESepExtractor,), {})
    extractor.network_class = system("conv_query")
    classes = registration.extractor_choices.classes
    monkeypatch.setitem(classes, "conv_query", extractor)
    conf = {**NETWORK, "query_channels": 4}
    output = tmp_path / "exp"
    options = {"extractor": "conv_query", "extractor_conf": conf, "max_epoch": 1}
    main(training(output, **options))
    separator = CaRESeparator.from_files(
        output / "config.yaml", output / "valid.mixture_sdr.best.pth", "cpu"
    )
    assert type(separator.network).__name__ == "ConvQuery"
    audio = np.random.default_rng(0).standard_normal(20000).astype(np.float32)
    assert separator.separate(audio, audio, 32000).target.shape == (20000,)


def test_commands_find_the_modules_that_the_environment_names(tmp_path):
    for name in ("conv_query", "tanh_mask"):
        (tmp_path / f"{name}.py").write_text(FILES[f"{name}.py"])
    conf = {**NETWORK, "num_classes": 3}
    config = tmp_path / "config.yaml"
    config.write_text(
        yaml.safe_dump({"extractor": "tanh_mask", "extractor_conf": conf})
    )
    command = [sys.executable, "-m", "espnet2_caresep.bin.benchmark", "--runs", "1"]
    command += ["--config", str(config), "--seconds", "0.5", "--threads", "1"]
    paths = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    plugins = {"CARESEP_PLUGINS": "conv_query:tanh_mask", "PYTHONPATH": paths}
    done = subprocess.run(
        command,
        env={**os.environ, **plugins},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plain = CaRESep(**conf)
    parameters = sum(p.numel() for p in plain.parameters())
    assert json.loads(done.stdout)["parameters"] == parameters
