"""docs/espnet.md: its files work as they stand there."""

import importlib
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from places import AUDIO, ROOT

from espnet2_caresep.data.files import read_table
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.network import CaRESep
from espnet2_caresep.network.systems import SYSTEMS

PAGE = (ROOT / "docs/espnet.md").read_text()
TINY = {
    "segment_frames": 64,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "decoder_depths": [1, 1, 1],
    "heads": [1, 2, 4, 8],
}
FILE = r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n"
FILES = dict(re.findall(FILE, PAGE, flags=re.DOTALL))


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


def test_a_folder_of_sounds_becomes_data_and_mixtures(recipe, run, monkeypatch):
    sounds = recipe / "my sounds"
    for split in ("train", "valid", "test"):
        for number, name in enumerate(
            ["tabla_ghe5", "loop_breakbeat", "misc_crow", "elec_chime"]
        ):
            folder = sounds / split / ("drum" if number < 2 else "other")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(AUDIO / f"{name}.flac", folder / f"{name} {number}.flac")
    shutil.rmtree(recipe / "local")
    (recipe / "local").mkdir()
    (recipe / "local/data.sh").write_text(FILES["local/data.sh"])
    (recipe / "local/data.sh").chmod(0o755)
    error = run("--list_dir", "data", "--stop_stage", "1", status=2).stderr
    assert "SOUNDS must name a folder" in error
    monkeypatch.setenv("SOUNDS", "my sounds")
    run("--list_dir", "data", "--stop_stage", "4")
    labels = read_table(recipe / "dump/raw/train/labels")
    assert labels["drum-tabla_ghe5_0_flac"] == "drum"
    assert len(labels) == 4 and set(labels.values()) == {"drum", "other"}
    for name in ("valid_mix", "test_mixture_other"):
        assert read_table(recipe / f"dump/raw/{name}/wav.scp")


def test_the_query_encoder(system):
    torch.manual_seed(0)
    network = system("conv_query")(num_classes=3, query_spectrum=True, **TINY).eval()
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
    network = system("tanh_mask")(num_classes=3, **TINY).eval()
    plain = CaRESep(num_classes=3, **TINY).eval()
    plain.load_state_dict(network.state_dict())
    mixture = torch.randn(1, 20000)
    with torch.no_grad():
        query = network.embed(mixture)
        turned = network.separate(mixture, query)
        wanted = 2 * plain.separate(mixture, query) - mixture
    torch.testing.assert_close(turned, wanted, atol=1e-4, rtol=0)


def test_a_system_of_the_page_trains_and_loads(system, run, recipe, tmp_path):
    """Through the training command, which gets it by CARESEP_PLUGINS."""
    system("conv_query")
    run("--stop_stage", "4")
    config = {
        "extractor": "conv_query",
        "extractor_conf": {**TINY, "query_channels": 4},
        "batch_size": 2,
        "num_iters_per_epoch": 1,
        "max_epoch": 1,
        "num_workers": 0,
        "use_tensorboard": False,
        "use_matplotlib": False,
    }
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(config))
    train, valid = (recipe / f"dump/raw/{name}" for name in ("train", "valid_mix"))
    command = ["--config", str(tmp_path / "train.yaml"), "--output_dir", "exp/plugin"]
    command += ["--preprocessor_conf", f"source_dir={train}"]
    command += ["--train_data_path_and_name_and_type"]
    command += [f"{train}/wav.scp,speech_ref1,text"]
    for name, key in (("wav", "speech_mix"), ("spk1", "speech_ref1")):
        command += ["--valid_data_path_and_name_and_type"]
        command += [f"{valid}/{name}.scp,{key},sound"]
    command += ["--valid_data_path_and_name_and_type"]
    command += [f"{valid}/enroll_spk1.scp,enroll_ref1,sound"]
    done = subprocess.run(
        [sys.executable, "-m", "espnet2_caresep.bin.train", *command],
        cwd=recipe,
        env={
            **os.environ,
            "CARESEP_PLUGINS": "conv_query",
            "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    exp = recipe / "exp/plugin"
    separator = CaRESeparator.from_files(
        exp / "config.yaml", exp / "valid.mixture_sdr.best.pth", "cpu"
    )
    assert type(separator.network).__name__ == "ConvQuery"
    audio = np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    assert separator.separate(audio, audio, 32000).target.shape == (32000,)
