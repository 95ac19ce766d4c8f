"""Training under ESPnet3, from the example configuration."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from synthetic import CLASSES, NETWORK, RATE

from espnet2_caresep.bin.espnet3 import main
from espnet2_caresep.espnet3 import Dataset, PairMixing
from espnet2_caresep.inference import CaRESeparator

EXAMPLE = Path(__file__).parents[2] / "conf/espnet3.yaml"


def test_two_epochs_through_the_dotted_task(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load(EXAMPLE.read_text())
    config["dump"] = str(corpus)
    config["model"]["labels"] = list(CLASSES)
    config["model"]["extractor_conf"] = {**NETWORK, "num_classes": len(CLASSES)}
    config["dataset"]["preprocessor"]["max_samples"] = 63 * 320
    for part in ("train", "valid"):
        config["dataloader"][part].update(batch_size=4, num_workers=0)
    config["trainer"].update(accelerator="cpu", max_epochs=2)
    Path("training.yaml").write_text(yaml.safe_dump(config))
    main(["--training_config", "training.yaml"])

    exp = tmp_path / "exp/espnet3"
    logged = (exp / "lightning_logs/version_0/metrics.csv").read_text().splitlines()
    assert {"valid/loss", "valid/mae", "valid/bce"} <= set(logged[0].split(","))
    assert len(logged) > 1
    # What it saved is a model like any other of this package. (Lightning averages the
    # best checkpoints before it saves that of the epoch: the second epoch has one.)
    weights = exp / "valid.loss.ave_1best.pth"
    state = torch.load(weights)
    assert all(torch.isfinite(value).all() for value in state.values())
    separator = CaRESeparator.from_files(exp / "config.yaml", weights, "cpu")
    assert separator.labels == list(CLASSES)
    audio = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert separator.separate(audio, audio, RATE).target.shape == (RATE,)


def test_examples_of_both_kinds(corpus):
    clips, mixtures = Dataset(corpus / "train"), Dataset(corpus / "valid_mix")
    assert len(clips) == 14 and len(mixtures) == 4
    uid = clips.keys()[0]
    assert clips[uid]["speech_ref1"].endswith(f"{uid}.wav")
    example = mixtures["pair0"]
    np.testing.assert_allclose(
        example["speech_mix"],
        example["speech_ref1"] + example["speech_ref2"],
        atol=1e-6,
    )
    assert (example["label1"], example["label2"]) == ("buzz", "hiss")
    assert "other_ref2" in example
    with pytest.raises(TypeError, match="examples go by name, got 0"):
        clips[0]


class Draws(torch.utils.data.Dataset):
    def __init__(self, preprocessor):
        self.preprocessor = preprocessor

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.preprocessor("any", {"speech_ref1": "a path"})["speech_mix"]


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_and_ranks_have_their_own_draws(corpus, monkeypatch, workers):
    drawn = []
    for rank in ("0", "1"):
        # As Lightning starts them: the same seed on all ranks.
        monkeypatch.setenv("LOCAL_RANK", rank)
        torch.manual_seed(0)
        preprocessor = PairMixing(
            True, CLASSES, max_samples=63 * 320, source_dir=str(corpus / "train")
        )
        loader = torch.utils.data.DataLoader(
            Draws(preprocessor), batch_size=None, num_workers=workers
        )
        drawn += [mix.numpy().tobytes() for _ in range(2) for mix in loader]
    assert len(drawn) == 16
    assert len(set(drawn)) == 16
