"""Real trainings of a tiny network, through the command's entry point."""

import io
import logging
import re
import shutil

import pytest
import torch
import yaml
from synthetic import CLASSES

from espnet2_caresep.bin.train import main
from espnet2_caresep.data.files import read_table, write_table
from espnet2_caresep.task import CaRESepTask
from espnet2_caresep.training.trainer import complete_last_epoch, whole_files


@pytest.fixture(autouse=True)
def info_log(caplog):
    caplog.set_level(logging.INFO)


def weights(path):
    return torch.load(path, weights_only=True)


def reported(output_dir):
    """Statistics by epoch, as the checkpoint keeps them."""
    return weights(output_dir / "checkpoint.pth")["reporter"]["stats"]


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_resumed_training_is_the_same_training(training, tmp_path, caplog, ema):
    steps = {"ema_decay": ema}
    steps |= {"scheduler": "warmup_cosine", "scheduler_conf": {"total_steps": 9}}
    main(training(tmp_path / "whole", max_epoch=3, **steps))
    main(training(tmp_path / "parts", max_epoch=2, **steps))
    caplog.clear()
    main(training(tmp_path / "parts", "--resume", "true", max_epoch=3, **steps))
    assert "training was resumed" in caplog.text
    assert "epoch 3/3 validation: mixture_sdr" in caplog.text
    assert "epoch 2/3" not in caplog.text

    whole, parts = (
        weights(tmp_path / name / "3epoch.pth") for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    for key in whole:
        torch.testing.assert_close(whole[key], parts[key], msg=key)
    rates = [
        epoch["train"]["optim0_lr0"] for epoch in reported(tmp_path / "parts").values()
    ]
    assert rates == pytest.approx(
        [
            epoch["train"]["optim0_lr0"]
            for epoch in reported(tmp_path / "whole").values()
        ]
    )
    assert rates[0] != rates[1] != rates[2]


def test_epoch_scores_choose_the_best_model(
    training, validation_scores, tmp_path, caplog
):
    output = tmp_path / "exp"
    options = ["--log_interval", "1", "--num_workers", "1"]
    main(training(output, *options, optim_conf={"lr": 0.01}))
    stats = reported(output)
    names = {"mixture_sdr", "mixture_sdr_other", "clean_sdr", "silence_sdr", "mAP"}
    for epoch in (1, 2):
        assert names | {"loss", "mae", "sdr", "bce"} <= set(stats[epoch]["valid"])
    best = max((1, 2), key=lambda epoch: stats[epoch]["valid"]["mixture_sdr"])
    link = output / "valid.mixture_sdr.best.pth"
    assert link.resolve().name == f"{best}epoch.pth"
    assert (output / "valid.mAP.best.pth").exists()

    # A packed model needs this file and the weights only.
    config = yaml.safe_load((output / "config.yaml").read_text())
    assert config["labels"] == list(CLASSES)
    assert config["extractor"] == "caresep"
    assert config["extractor_conf"]["num_classes"] == 3
    model, _ = CaRESepTask.build_model_from_file(output / "config.yaml", link)
    assert all(key.startswith("extractor.network.") for key in model.state_dict())
    direct = validation_scores(model)
    assert direct == pytest.approx(
        {name: stats[best]["valid"][name] for name in names}, abs=1e-3
    )
    line = r"epoch 2/2, batch 3/3, .*loss [\d.]+, lr 0.01, [\d.e-]+ s/batch"
    assert re.search(line, caplog.text)


def test_tagging_then_separation_from_its_weights(training, tmp_path, caplog):
    main(training(tmp_path / "cls", mode="cls", max_epoch=1, scheduler="caresep"))
    stats = reported(tmp_path / "cls")[1]
    assert {"bce", "mAP"} <= set(stats["valid"])
    assert not {"mae", "mixture_sdr"} & set(stats["valid"])
    start = tmp_path / "cls" / "valid.mAP.best.pth"

    caplog.clear()
    options = ["--init_param", f"{start}:::extractor.network.decoder"]
    # Without learning the weights stay what the file says.
    frozen = {"mode": "sep", "max_epoch": 1, "optim_conf": {"lr": 0.0}, "seed": 2}
    main(training(tmp_path / "sep", *options, **frozen))
    assert re.search(r"loads \d+ of \d+ tensors; not covered: ", caplog.text)
    assert "extractor.network.decoder (" in caplog.text
    tagged, separating = weights(start), weights(tmp_path / "sep" / "1epoch.pth")
    changed = {k for k, v in tagged.items() if not torch.equal(v, separating[k])}
    changed -= {k for k in changed if "running" in k or "num_batches" in k}
    assert changed and all(".decoder." in key for key in changed)


@pytest.mark.parametrize(
    "conf",
    [
        {"model_conf": {"query_grad": False, "cpu_autocast": "bfloat16"}},
        {
            "mode": "sep",
            "preprocessor_conf": {
                "p_other": 0.5,
                "p_identity": 0.4,
                "p_silence": 0.4,
                "snr_range": [-5, 5],
                "balance": "utterance",
            },
        },
        {"mode": "cls", "model_conf": {"mixup_alpha": 0.5}},
    ],
    ids=["frozen bfloat16", "special triplets", "mixup"],
)
def test_options_of_the_training(training, corpus, tmp_path, conf):
    source = {"source_dir": str(corpus / "train")}
    conf = {
        **conf,
        "preprocessor_conf": {**source, **conf.get("preprocessor_conf", {})},
    }
    main(training(tmp_path / "exp", max_epoch=1, **conf))
    loss = reported(tmp_path / "exp")[1]["train"]["loss"]
    assert 0 < abs(loss) < 100


def test_statistics_and_training_from_their_shapes(training, corpus, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("tone\nhiss\nbuzz\n")
    stats = tmp_path / "stats"
    main(training(stats, "--collect_stats", "true", labels=str(labels)))
    shapes = (stats / "train" / "speech_mix_shape").read_text().splitlines()
    assert len(shapes) == 14 and shapes[0] == "buzz-00 20160"
    assert (stats / "valid" / "label1_shape").read_text().startswith("pair0 3\n")
    options = []
    for part in ("train", "valid"):
        options += [f"--{part}_shape_file", f"{stats}/{part}/speech_mix_shape"]
    main(training(tmp_path / "exp", *options, max_epoch=1, labels=str(labels)))
    config = yaml.safe_load((tmp_path / "exp" / "config.yaml").read_text())
    assert config["labels"] == ["tone", "hiss", "buzz"]


def test_a_kill_between_checkpoint_and_model_file_is_mended(training, tmp_path):
    output = tmp_path / "exp"
    main(training(output))
    model, best = output / "2epoch.pth", output / "valid.mixture_sdr.best.pth"
    wanted, target = weights(model), best.resolve().name
    for path in (model, best, output / "latest.pth"):
        path.unlink()
    complete_last_epoch(output, [("valid", "mixture_sdr", "max")])
    mended = weights(model)
    assert all(torch.equal(wanted[key], mended[key]) for key in wanted)
    assert best.resolve().name == target
    assert (output / "latest.pth").resolve() == model
    main(training(output, "--resume", "true", max_epoch=3))
    assert set(reported(output)) == {1, 2, 3}


def test_files_appear_whole(tmp_path):
    path = tmp_path / "checkpoint.pth"
    with whole_files():
        torch.save({"a": torch.ones(2)}, path)
        with pytest.raises(Exception, match="pickle|Pickle|local"):
            torch.save({"a": torch.ones(1000), "b": lambda: None}, path)
    assert weights(path)["a"].tolist() == [1, 1]


def test_print_config_shows_every_option(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train"])
    shown = io.StringIO()
    CaRESepTask.print_config(file=shown)
    config = yaml.safe_load(shown.getvalue())
    assert config["extractor_conf"]["embed_dim"] == 96
    assert config["preprocessor_conf"]["p_silence"] == 0
    assert not {"rank", "seed"} & set(config["preprocessor_conf"])
    assert config["loss_conf"]["sdr_threshold"] == 30
    assert config["model_conf"]["query_grad"] is True
    assert config["optim"] == "adamw"


def test_the_category_iterator_chooses_the_examples(training, corpus, tmp_path):
    source = tmp_path / "train"
    shutil.copytree(corpus / "train", source)
    utterances = {}
    for uid, labels in read_table(source / "labels").items():
        for label in labels.split():
            utterances.setdefault(label, []).append(uid)
    table = {label: " ".join(uids) for label, uids in utterances.items()}
    write_table(source / "category2utt", table)
    command = training(
        tmp_path / "exp",
        *("--train_shape_file", str(source / "utt2num_samples")),
        mode="sep",
        max_epoch=1,
        iterator_type="category",
        batch_type="catpow",
        batch_bins=100000,
        valid_iterator_type="sequence",
        valid_batch_type="unsorted",
        preprocessor_conf={"source_dir": str(source), "balance": "utterance"},
    )
    data = f"{corpus}/train/wav.scp"
    main([word.replace(data, f"{source}/wav.scp") for word in command])
    assert "mixture_sdr" in reported(tmp_path / "exp")[1]["valid"]
