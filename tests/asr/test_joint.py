"""The query-bound separator in ESPnet's joint model, through the real commands."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from espnet2.bin.asr_inference import Speech2Text
from espnet2.bin.pack import main as pack
from espnet2.tasks import enh, enh_s2t
from espnet2.tasks.enh_s2t import EnhS2TTask
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model
from tiny_recogniser import RECOGNISER, TOKENS

from espnet2_caresep.bin import bind_query
from espnet2_caresep.bin.espnet import main as espnet_main
from espnet2_caresep.frontend import ResamplingFrontend
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.separator import QueryBoundSeparator
from espnet2_caresep.zoo import fetch

EXAMPLE = Path(__file__).parents[2] / "conf/enh_s2t.yaml"


@pytest.fixture(scope="module")
def bound(tiny_model, speech, tmp_path_factory):
    """What bind_query makes of the example configuration, with a tiny recogniser."""
    folder = tmp_path_factory.mktemp("bound")
    config = yaml.safe_load(EXAMPLE.read_text())
    (folder / "tokens").write_text("\n".join(TOKENS))
    config.update(
        {
            "token_list": str(folder / "tokens"),
            "token_type": "char",
            "asr_encoder": RECOGNISER["encoder"],
            "asr_encoder_conf": RECOGNISER["encoder_conf"],
            "asr_decoder_conf": RECOGNISER["decoder_conf"],
            "frontend_conf": {**RECOGNISER["frontend_conf"], "input_fs": 32000},
            "optim_conf": {"lr": 0.01},
            "batch_size": 2,
            "num_workers": 0,
            "max_epoch": 1,
            "use_tensorboard": False,
            "use_matplotlib": False,
            "num_att_plot": 0,
        }
    )
    (folder / "joint.yaml").write_text(yaml.safe_dump(config))
    command = ["--model", str(tiny_model), "--config", str(folder / "joint.yaml")]
    command += ["--query", str(speech / "item0_spk1.wav")]
    bind_query.main([*command, "--output_dir", str(folder)])
    return folder


def build(folder):
    config = yaml.safe_load((folder / "train.yaml").read_text())
    args = EnhS2TTask.get_parser().parse_args([])
    vars(args).update(config, token_list=TOKENS)
    model = EnhS2TTask.build_model(args)
    model.load_state_dict(torch.load(folder / "separator.pth"), strict=False)
    return model


def command(bound, speech, output, *options):
    """The arguments of a joint training on the four items."""
    arguments = ["--config", str(bound / "train.yaml"), "--output_dir", str(output)]
    for part in ("train", "valid"):
        for name, key in (
            ("wav.scp", "speech,sound"),
            ("spk1.scp", "speech_ref1,sound"),
            ("text_spk1", "text_spk1,text"),
        ):
            data = f"{speech}/{name},{key}"
            arguments += [f"--{part}_data_path_and_name_and_type", data]
        arguments += [f"--{part}_shape_file", str(speech / "wav.scp")]
    return [*arguments, *options]


def test_both_tables_of_espnet_know_the_separator():
    for table in (enh.separator_choices, enh_s2t.enh_separator_choices):
        assert table.get_class("caresep") is QueryBoundSeparator


def test_a_packed_model_is_bound_like_its_folder(bound, tiny_zip, speech, tmp_path):
    query = str(speech / "item0_spk1.wav")
    config = str(bound / "joint.yaml")
    bind_query.bind(str(tiny_zip), [query, query], config, tmp_path)
    wanted = torch.load(bound / "separator.pth")
    for key, value in torch.load(tmp_path / "separator.pth").items():
        torch.testing.assert_close(value, wanted[key], msg=key)
    paths = [folder / "train.yaml" for folder in (bound, tmp_path)]
    one, other = (yaml.safe_load(path.read_text()) for path in paths)
    assert one["enh_separator_conf"] == other["enh_separator_conf"]


def test_it_separates_as_the_trained_model_does(bound, tiny_model, speech):
    separator = build(bound).enh_model.eval().separator
    overlap = separator.overlap
    query = speech / "item0_spk1.wav"
    # One within a segment, one longer, in one batch.
    mixtures = [
        soundfile.read(speech / f"item{n}_wav.wav", dtype="float32")[0] for n in (0, 1)
    ]
    batch = torch.zeros(2, 60000)
    for row, mixture in zip(batch, mixtures):
        row[: len(mixture)] = torch.from_numpy(mixture)
    with torch.no_grad():
        (target,), lengths, _ = separator(batch, torch.tensor([32000, 60000]))
    assert lengths.tolist() == [32000, 60000] and target.shape == batch.shape
    model = CaRESeparator.from_pretrained(tiny_model, "cpu", overlap=overlap)
    for row, mixture in zip(target, mixtures):
        wanted = model.separate(mixture, query, 32000).target
        np.testing.assert_allclose(row[: len(mixture)], wanted, atol=1e-5)
    assert target[0, 32000:].abs().max() == 0


@pytest.mark.parametrize("samples", [32000, 90000])
def test_gradient_of_the_recogniser_reaches_the_separator(bound, samples):
    """Also through the cross-fades of segments."""
    model = build(bound)
    model.train()
    network = model.enh_model.separator.network
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert norms and not any(norm.training for norm in norms)
    torch.manual_seed(0)
    batch = {
        "speech": torch.randn(2, samples),
        "speech_lengths": torch.tensor([samples, 30000]),
        "text_spk1": torch.tensor([[2, 3], [4, -1]]),
        "text_spk1_lengths": torch.tensor([2, 1]),
    }
    loss, stats, _ = model(**batch)
    assert stats["loss_enh"] is None
    loss.backward()
    reached = {
        part: any(
            parameter.grad is not None and parameter.grad.abs().max() > 0
            for name, parameter in network.named_parameters()
            if name.startswith(part)
        )
        for part in ("encoder", "decoder", "merge")
    }
    assert all(reached.values()), reached


def test_a_trained_recogniser_takes_its_place(bound, recogniser):
    model = build(bound)
    weights = recogniser / "valid.acc.ave.pth"
    load_pretrained_model(f"{weights}::s2t_model", model, ignore_init_mismatch=False)
    state = model.s2t_model.state_dict()
    for key, value in torch.load(weights).items():
        assert torch.equal(state[key], value), key


def test_training_resumes_and_the_query_stays(bound, speech, tmp_path):
    task = ["-m", "espnet2.bin.enh_s2t_train"]
    arguments = command(bound, speech, tmp_path / "exp")
    espnet_main([*task, *arguments])
    first = torch.load(tmp_path / "exp/1epoch.pth")
    espnet_main([*task, *arguments, "--resume", "true", "--max_epoch", "2"])
    second = torch.load(tmp_path / "exp/2epoch.pth")
    start = torch.load(bound / "separator.pth")
    name = "enh_model.separator.query"
    assert start[name].any() and torch.equal(start[name], first[name])
    assert torch.equal(first[name], second[name])
    changed = [
        key
        for key in start
        if start[key].is_floating_point() and not torch.equal(start[key], second[key])
    ]
    assert any("network.decoder" in key for key in changed)
    assert torch.load(tmp_path / "exp/checkpoint.pth")["reporter"]["epoch"] == 2

    # Neither the model nor the query's file is needed any more.
    recognise = Speech2Text(
        str(tmp_path / "exp/config.yaml"),
        str(tmp_path / "exp/valid.acc.best.pth"),
        enh_s2t_task=True,
        beam_size=2,
        maxlenratio=0.1,
    )
    audio, _ = soundfile.read(speech / "item1_wav.wav", dtype="float32")
    # One list of hypotheses for each of the enhancement's outputs
    (hypotheses,) = recognise(audio)
    assert isinstance(hypotheses[0][0], str)
    separator = recognise.asr_model.enh_model.separator
    assert torch.equal(separator.query, start[name])

    # Packed, it is a model of the zoo like any recogniser.
    model = [str(tmp_path / "exp" / name) for name in ("config.yaml", "2epoch.pth")]
    pack(
        ["asr", "--asr_train_config", model[0], "--asr_model_file", model[1]]
        + ["--outpath", str(tmp_path / "joint.zip")]
    )
    files = fetch(tmp_path / "joint.zip", tmp_path / "cache")
    packed = Speech2Text(**files, enh_s2t_task=True, beam_size=2, maxlenratio=0.1)
    assert torch.equal(packed.asr_model.enh_model.separator.query, start[name])


def test_mistakes_are_said_in_one_line(bound, tmp_path, capsys):
    separator = build(bound).enh_model.separator
    with pytest.raises(ValueError, match="mono waveforms .* 'same'"):
        separator(torch.randn(1, 10, 513, dtype=torch.complex64), torch.tensor([10]))
    unbound = QueryBoundSeparator(1, num_classes=3, embed_dim=8, heads=[1, 2, 4, 8])
    with pytest.raises(ValueError, match="no query is bound"):
        unbound(torch.randn(1, 4000), torch.tensor([4000]))
    with pytest.raises(ValueError, match="did you mean embed_dim"):
        QueryBoundSeparator(1, embed_dims=8)
    with pytest.raises(ValueError, match="system must be one of"):
        QueryBoundSeparator(1, system="care")
    with pytest.raises(SystemExit) as end:
        bind_query.main(
            ["--model", "m", "--query", "q", "--config", str(tmp_path / "none.yaml")]
            + ["--output_dir", str(tmp_path / "out")]
        )
    assert end.value.code == 2
    assert "none.yaml: cannot be read" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        espnet_main(["espnet2.bin.enhs2t_train"])
    assert end.value.code == 2
    assert "is no command of ESPnet" in capsys.readouterr().err


def test_the_resampling_frontend_is_the_default_one_at_the_other_rate():
    conf = RECOGNISER["frontend_conf"]
    resampling = ResamplingFrontend(input_fs=32000, **conf)
    plain = super(ResamplingFrontend, resampling)
    assert resampling.state_dict().keys() == {"logmel.melmat"}
    time = torch.arange(32000) / 32000
    audio = torch.sin(2 * torch.pi * 440 * time)[None]
    features, frames = resampling(audio, torch.tensor([32000]))
    wanted, wanted_frames = plain.forward(audio[:, ::2], torch.tensor([16000]))
    assert torch.equal(frames, wanted_frames)
    # Where the tone is, not in the noise floor
    loud = wanted > wanted.max() - 6
    torch.testing.assert_close(features[loud], wanted[loud], atol=0.05, rtol=0)
