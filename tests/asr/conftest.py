"""A recogniser small enough to build, with its configuration file, and speech-like data."""

import numpy as np
import pytest
import soundfile
import yaml
from hub import hub, reached  # noqa: F401 (fixtures)
from tiny_recogniser import RECOGNISER

from espnet2_caresep.data.files import write_table


@pytest.fixture(scope="session")
def recogniser(tmp_path_factory):
    """A recogniser's experiment folder as ESPnet leaves it; its weights are random."""
    import argparse

    import torch
    from espnet2.tasks.asr import ASRTask

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("asr_exp")
    config = {**ASRTask.get_default_config(), **RECOGNISER}
    torch.manual_seed(0)
    model = ASRTask.build_model(argparse.Namespace(**config))
    torch.save(model.state_dict(), folder / "valid.acc.ave.pth")
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}
    (folder / "config.yaml").write_text(yaml.safe_dump(plain))
    return folder


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """A data directory of four noisy items at 32 kHz with texts; the second is long."""
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    tables = {"wav.scp": {}, "spk1.scp": {}, "text_spk1": {}}
    for number, (samples, text) in enumerate(
        [(32000, "a b"), (60000, "c a b"), (35000, "b c"), (38000, "a")]
    ):
        time = np.arange(samples) / 32000
        clean = 0.2 * np.sin(2 * np.pi * 300 * (number + 1) * time)
        for name, audio in (
            ("wav", clean + 0.1 * rng.standard_normal(samples)),
            ("spk1", clean),
        ):
            path = folder / f"item{number}_{name}.wav"
            soundfile.write(path, audio.astype(np.float32), 32000, subtype="FLOAT")
            tables[f"{name}.scp"][f"item{number}"] = path
        tables["text_spk1"][f"item{number}"] = text
    for name, table in tables.items():
        write_table(folder / name, table)
    return folder
