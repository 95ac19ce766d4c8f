"""A tiny trained-looking model and sounds, for every test that uses a model."""

import zipfile

import numpy as np
import pytest
import soundfile
import yaml

from espnet2_caresep.data.files import write_table

LABELS = ["bell", "dog", "rain"]
TINY = {
    "segment_frames": 128,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "decoder_depths": [1, 1, 1],
    "heads": [1, 2, 4, 8],
    "num_classes": len(LABELS),
}


@pytest.fixture(scope="session")
def tiny_network():
    """Random weights, also where they start at zero, so that every input matters."""
    import torch

    from espnet2_caresep.network import CaRESep

    torch.manual_seed(0)
    network = CaRESep(**TINY).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return network


@pytest.fixture(scope="session")
def tiny_model(tiny_network, tmp_path_factory):
    """An experiment folder as ESPnet leaves it."""
    return _write_model(tmp_path_factory.mktemp("exp"), tiny_network, TINY)


@pytest.fixture(scope="session")
def tiny_model_with_parts(tmp_path_factory):
    """Likewise; its queries carry templates, and its masks go by parts."""
    import torch

    from espnet2_caresep.network import CaRESep

    torch.manual_seed(0)
    sizes = {**TINY, "query_spectrum": True, "query_templates": 3, "parts": True}
    folder = tmp_path_factory.mktemp("parts")
    return _write_model(folder, CaRESep(**sizes), sizes)


def _write_model(folder, network, sizes):
    import torch

    config = {
        "config": "conf/tiny.yaml",
        "extractor": "caresep",
        "extractor_conf": sizes,
        "labels": LABELS,
        "seed": 7,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save(
        {f"extractor.network.{key}": x for key, x in network.state_dict().items()},
        folder / "valid.mixture_sdr.best.pth",
    )
    return folder


@pytest.fixture(scope="session")
def tiny_zip(tiny_model, tmp_path_factory):
    """The same model as ESPnet packs it."""
    path = tmp_path_factory.mktemp("zoo") / "tiny.zip"
    meta = {
        "espnet": "202611",
        "files": {"model_file": "exp/tiny/valid.mixture_sdr.best.pth"},
        "yaml_files": {"train_config": "exp/tiny/config.yaml"},
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta.yaml", yaml.safe_dump(meta))
        for name in ("config.yaml", "valid.mixture_sdr.best.pth"):
            archive.write(tiny_model / name, f"exp/tiny/{name}")
    return path


@pytest.fixture(scope="session")
def sound():
    """Makes (channels, samples) float32 noise with a tone, within +-0.5."""

    def make(seed=0, seconds=0.5, rate=32000, channels=1):
        rng = np.random.default_rng(seed)
        time = np.arange(round(seconds * rate)) / rate
        tone = np.sin(2 * np.pi * 440 * (1 + seed) * time)
        noise = rng.uniform(-1, 1, (channels, len(time)))
        return (0.25 * tone + 0.2 * noise).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def pairs(tmp_path_factory, sound):
    """Seven pairs of 0.6 s as stage 3 leaves them; no two sources share a label."""
    folder = tmp_path_factory.mktemp("pairs")
    tables = {}
    for pair in range(7):
        sources = [sound(2 * pair + i, 0.6)[0] for i in range(2)]
        audio = {"wav": sources[0] + sources[1]}
        for i, source in enumerate(sources, 1):
            audio |= {f"spk{i}": source, f"enroll_spk{i}": source}
            audio[f"other_spk{i}"] = sound(19 + i, 0.6)[0]
            labels = tables.setdefault(f"label_spk{i}", {})
            labels[f"pair{pair}"] = f"class{2 * pair + i}"
        for name, samples in audio.items():
            path = folder / f"{pair}_{name}.wav"
            soundfile.write(path, samples, 32000, "FLOAT")
            tables.setdefault(f"{name}.scp", {})[f"pair{pair}"] = path
    for name, table in tables.items():
        write_table(folder / name, table)
    return folder
