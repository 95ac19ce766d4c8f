"""A small corpus of synthetic clips, and a network and training to match."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from synthetic import CLASSES, NETWORK, RATE, SAMPLES, sound

from espnet2_caresep.data.files import write_table
from espnet2_caresep.data.mixing import mix_pair


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny tensors gain nothing from threads, and lose much on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """``train`` (14 clips, one of two classes) and ``valid_mix`` (4 fixed mixtures)."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    tables: dict[str, dict] = {
        name: {} for name in ("wav.scp", "labels", "utt2group", "utt2num_samples")
    }
    train = root / "train"
    train.mkdir()
    # Classes of 2, 4 and 8 clips, so that class balance shows.
    kinds = ["buzz"] * 2 + ["hiss"] * 4 + ["tone"] * 8
    for number, kind in enumerate(kinds):
        uid = f"{kind}-{number:02d}"
        audio = sound(kind, int(rng.integers(12000, 48000)), rng)
        path = train / f"{uid}.wav"
        soundfile.write(path, audio, RATE, subtype="FLOAT")
        tables["wav.scp"][uid] = path
        tables["labels"][uid] = "tone buzz" if number == 13 else kind
        tables["utt2group"][uid] = f"group{number // 2}"
        tables["utt2num_samples"][uid] = len(audio)
    for name, table in tables.items():
        write_table(train / name, table)
    _valid_mixtures(root / "valid_mix", rng)
    return root


def _valid_mixtures(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir()
    tables: dict[str, dict] = {}
    pairs = [("buzz", "hiss"), ("hiss", "tone"), ("tone", "buzz"), ("buzz", "tone")]
    for number, kinds in enumerate(pairs):
        sources = [sound(kind, SAMPLES, rng) for kind in kinds]
        others = [sound(kind, SAMPLES, rng) for kind in kinds]
        mixture, source1, source2 = mix_pair(*sources)
        audio = {
            "wav": mixture,
            "spk1": source1,
            "spk2": source2,
            "enroll_spk1": sources[0],
            "enroll_spk2": sources[1],
            "other_spk1": others[0],
            "other_spk2": others[1],
        }
        for name, waveform in audio.items():
            path = folder / f"pair{number}_{name}.wav"
            soundfile.write(path, waveform, RATE, subtype="FLOAT")
            tables.setdefault(f"{name}.scp", {})[f"pair{number}"] = path
        for n, kind in enumerate(kinds, 1):
            tables.setdefault(f"label_spk{n}", {})[f"pair{number}"] = kind
    for name, table in tables.items():
        write_table(folder / name, table)


VALID_NAMES = {
    "wav.scp": "speech_mix,sound",
    "spk1.scp": "speech_ref1,sound",
    "spk2.scp": "speech_ref2,sound",
    "enroll_spk1.scp": "enroll_ref1,sound",
    "enroll_spk2.scp": "enroll_ref2,sound",
    "other_spk1.scp": "other_ref1,sound",
    "other_spk2.scp": "other_ref2,sound",
    "label_spk1": "label1,text",
    "label_spk2": "label2,text",
}


@pytest.fixture
def training(corpus, tmp_path):
    """Makes the arguments of a training that takes a second."""

    def arguments(output_dir: Path, *options: str, **config) -> list[str]:
        settings = {
            "extractor_conf": dict(NETWORK),
            "preprocessor_conf": {"source_dir": str(corpus / "train")},
            "model_conf": {},
            "mode": "cls+sep",
            "batch_size": 4,
            "num_iters_per_epoch": 3,
            "max_epoch": 2,
            "num_workers": 0,
            "keep_nbest_models": 1,
            "use_tensorboard": False,
            "use_matplotlib": False,
            "seed": 1,
        }
        settings.update(config)
        path = tmp_path / "train.yaml"
        path.write_text(yaml.safe_dump(settings))
        command = ["--config", str(path), "--output_dir", str(output_dir)]
        train = f"{corpus}/train/wav.scp,speech_ref1,text"
        command += ["--train_data_path_and_name_and_type", train]
        for name, kind in VALID_NAMES.items():
            valid = f"{corpus}/valid_mix/{name},{kind}"
            command += ["--valid_data_path_and_name_and_type", valid]
        return [*command, *options]

    return arguments


@pytest.fixture
def validation_scores(training, tmp_path):
    """Scores of the validation set by a plain loop over its examples."""
    from espnet2_caresep.task import CaRESepTask
    from espnet2_caresep.training.validation import epoch_scores

    def scores(model) -> dict[str, float]:
        args = CaRESepTask.get_parser().parse_args(training(tmp_path / "unused"))
        args.labels = list(CLASSES)
        loader = CaRESepTask.build_streaming_iterator(
            args.valid_data_path_and_name_and_type,
            CaRESepTask.build_preprocess_fn(args, train=False),
            CaRESepTask.build_collate_fn(args, train=False),
            dtype="float32",
            num_workers=0,
        )
        model.eval()
        model.item_figures = []
        with torch.no_grad():
            for _, batch in loader:
                model(**batch)
        return epoch_scores(model.item_figures)

    return scores
