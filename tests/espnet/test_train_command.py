"""What the training command says of mistakes: one line, exit status 2."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from synthetic import NETWORK

from espnet2_caresep.bin.train import main
from espnet2_caresep.data.files import read_table, write_table


def complaint(capsys, command):
    """The line on stderr, after which nothing comes."""
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    last = error.splitlines()[-1]
    assert last.startswith("train: error: "), error
    return last


def test_an_unknown_key_through_the_real_command(training, tmp_path):
    command = training(tmp_path / "exp", extractor_conf={**NETWORK, "embed_dims": 8})
    result = subprocess.run(
        [sys.executable, "-m", "espnet2_caresep.bin.train", *command],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 2
    last = result.stderr.splitlines()[-1]
    assert last.startswith(
        "train: error: extractor_conf: unknown key 'embed_dims', did you mean embed_dim?"
    )
    assert "num_bands" in last and "Traceback" not in result.stderr
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize(
    "conf, message",
    [
        ({"loss_conf": {"sdr_wieght": 1}}, "loss_conf: unknown key 'sdr_wieght', did"),
        ({"model_conf": {"grad": 1}}, "model_conf: unknown key 'grad'"),
        ({"preprocessor_conf": {"seed": 1}}, "preprocessor_conf: unknown key 'seed'"),
        ({"optim_conf": {"rate": 1}}, "optim_conf: unknown key 'rate'"),
        (
            {"scheduler": "caresep", "scheduler_conf": {"flor": 1}},
            "scheduler_conf: unknown key 'flor', did you mean floor?",
        ),
        ({"loss_conf": ["mae"]}, "loss_conf must be a mapping"),
        ({"loss_conf": {"mae_weight": -1}}, "loss_conf: mae_weight must be at least"),
        ({"loss_conf": {"mae_weight": "2"}}, "mae_weight must be a number, got '2'"),
        ({"model_conf": {"query_grad": 1}}, "query_grad must be true or false, got 1"),
        ({"extractor_conf": {"depths": [1]}}, "extractor_conf: depths needs 4"),
        (
            {"extractor_conf": {**NETWORK, "num_classes": 5}},
            "num_classes is 5, but there are 3 labels",
        ),
        (
            {
                "extractor_conf": {**NETWORK, "known_clips": 9},
                "keep_nbest_models": [1, 3],
            },
            "known_clips needs keep_nbest_models 1",
        ),
        ({"labels": ["tone", "hiss"]}, "label_spk1:1: class 'buzz' is not in the"),
        ({"labels": ["tone", "tone"]}, "labels: tone comes twice"),
        ({"labels": "nowhere/labels.txt"}, "labels: no such file: nowhere/labels.txt"),
        ({"iterator_type": "chunk"}, "iterator_type must be sequence or category"),
        (
            {"scheduler": "warmup_cosine", "num_iters_per_epoch": None},
            "warmup_cosine needs total_steps",
        ),
        (
            {"train_shape_file": ["nowhere"]},
            "--train_shape_file: no such file: nowhere",
        ),
        ({"init_param": ["no.pth:a:b"]}, "--init_param: no such file: no.pth"),
        ({"preprocessor_conf": {}}, "need preprocessor_conf.source_dir"),
        (
            {"preprocessor_conf": {"source_dir": "nowhere"}},
            "no such file: nowhere/labels (stage 3 makes it)",
        ),
    ],
)
def test_mistakes_in_the_configuration(
    training, corpus, tmp_path, capsys, conf, message
):
    labels = {"labels": ["buzz", "hiss", "tone"]} if "need pre" in message else {}
    assert message in complaint(capsys, training(tmp_path / "exp", **labels, **conf))
    assert not (tmp_path / "exp" / "1epoch.pth").exists()


def test_mistakes_in_the_data(training, corpus, tmp_path, capsys):
    def change(*pairs):
        command = training(tmp_path / "exp")
        for old, new in pairs:
            command = [word.replace(old, new) for word in command]
        return command

    message = complaint(capsys, change(("spk2.scp,speech", "gone.scp,speech")))
    assert "no such file" in message and "gone.scp (stage 3 makes it)" in message

    table = read_table(corpus / "valid_mix" / "label_spk1")
    write_table(tmp_path / "label", {**table, "pair2": "howl"})
    bad = str(tmp_path / "label")
    message = complaint(capsys, change((f"{corpus}/valid_mix/label_spk1", bad)))
    assert f"{bad}:3: class 'howl' is not in the list of 3 labels" in message

    message = complaint(capsys, change(("speech_mix,sound", "other_mix,sound")))
    assert "mode cls+sep needs" in message and "missing: speech_mix" in message

    command = training(tmp_path / "exp", "--mode", "tagger")
    command = [
        word.replace("speech_ref1,text", "enroll_ref1,sound") for word in command
    ]
    message = complaint(capsys, command)
    assert "mode tagger learns from whole clips" in message


def test_mistakes_in_yaml_and_options(training, tmp_path, capsys):
    command = training(tmp_path / "exp")
    (tmp_path / "train.yaml").write_text("extractor_conf: {embed_dim: 8\n")
    assert "the configuration is not YAML" in complaint(capsys, command)
    (tmp_path / "train.yaml").write_text("extractor_config: {}\n")
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2
    assert "unrecognized arguments: extractor_config" in capsys.readouterr().err


def test_another_training_is_not_resumed(training, tmp_path, capsys):
    output = tmp_path / "exp"
    output.mkdir()
    torch.save({}, output / "checkpoint.pth")
    old = {"mode": "cls+sep", "extractor_conf": {**NETWORK, "embed_dim": 16}}
    (output / "config.yaml").write_text(yaml.safe_dump(old))
    message = complaint(capsys, training(output, "--resume", "true"))
    assert "holds a training with another extractor_conf" in message


def test_init_files_that_do_not_fit(training, tmp_path, capsys):
    path = tmp_path / "model.pth"
    torch.save({"a": torch.ones(1)}, path)
    message = complaint(capsys, training(tmp_path / "exp", "--init_param", str(path)))
    assert f"--init_param {path}: none of the 1 weights fits the model" in message


def test_init_files_are_looked_at_before_processes_start(
    training, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.multiprocessing, "get_context", None)
    path = tmp_path / "model.pth"
    torch.save({"a": torch.ones(1)}, path)
    command = training(tmp_path / "exp", "--init_param", str(path), "--ngpu", "2")
    command += ["--multiprocessing_distributed", "true"]
    assert "none of the 1 weights fits the model" in complaint(capsys, command)


def test_clips_that_cannot_be_used(training, corpus, tmp_path, capsys):
    source = tmp_path / "source"
    shutil.copytree(corpus / "train", source)
    paths = read_table(source / "wav.scp")
    write_table(source / "wav.scp", {uid: "gone.wav" for uid in paths})
    # The error comes from another process, out of a traceback of several lines.
    command = training(
        tmp_path / "exp",
        num_workers=1,
        preprocessor_conf={"source_dir": str(source), "max_retries": 3},
    )
    message = complaint(capsys, command)
    assert message.startswith("train: error: 4 clips in a row cannot be used, the last")
    assert "gone.wav: cannot be read as audio" in message


def test_a_machine_without_gpus(training, tmp_path, capsys):
    gpus = torch.cuda.device_count() + 1
    message = complaint(capsys, training(tmp_path / "exp", "--ngpu", str(gpus)))
    assert f"--ngpu {gpus}: this machine has {gpus - 1}" in message
