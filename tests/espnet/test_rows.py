"""The systems of the paper's tables under the task: options, frozen queries, training."""

import logging
import re
from pathlib import Path

import pytest
import torch
import yaml
from espnet2.enh.decoder.stft_decoder import STFTDecoder
from espnet2.enh.encoder.stft_encoder import STFTEncoder
from espnet2.enh.espnet_model_tse import ESPnetExtractionModel
from espnet2.enh.loss.criterions.time_domain import TimeDomainL1
from espnet2.enh.loss.wrappers.fixed_order import FixedOrderSolver
from espnet2.tasks import enh_tse
from synthetic import CLASSES, NETWORK, SAMPLES

from espnet2_caresep.bin.train import main
from espnet2_caresep.espnet_model import ESPnetCaRESepModel
from espnet2_caresep.extractor import EXTRACTORS, CaRESepExtractor
from espnet2_caresep.inference.checkpoint import load_checkpoint
from espnet2_caresep.network import SYSTEMS
from espnet2_caresep.registration import extractor_choices
from espnet2_caresep.training.losses import CaRESepLoss

ROWS = Path(__file__).parents[2] / "conf" / "tuning" / "debsounds_cpu"
SWIN = {key: value for key, value in NETWORK.items() if key != "decoder_depths"}
UNET = {"unet_channels": 2, "unet_levels": 3}
TINY = {
    "caresep": {**NETWORK, "shared": False},
    "st_sed_sep": {**SWIN, **UNET},
    "pann_sep": {"segment_frames": 64, "cnn_channels": 2, **UNET},
}


def test_every_system_is_an_extractor_here_and_in_the_stock_task():
    assert set(EXTRACTORS) == set(SYSTEMS)
    for name, network in SYSTEMS.items():
        for choices in (extractor_choices, enh_tse.extractor_choices):
            assert choices.get_class(name).network_class is network
    assert EXTRACTORS["caresep"] is CaRESepExtractor


@pytest.mark.parametrize("share_encoder", [True, False])
@pytest.mark.parametrize("name", ["st_sed_sep", "pann_sep"])
def test_systems_train_in_the_stock_extraction_model(name, share_encoder):
    stft = {"n_fft": 2048, "win_length": 2048, "hop_length": 320}
    extractor = EXTRACTORS[name](1025, num_classes=3, **TINY[name])
    model = ESPnetExtractionModel(
        encoder=STFTEncoder(**stft),
        extractor=extractor,
        decoder=STFTDecoder(**stft),
        loss_wrappers=[FixedOrderSolver(criterion=TimeDomainL1())],
        num_spk=2,
        share_encoder=share_encoder,
    )
    batch = {
        f"{kind}{n}": torch.randn(2, SAMPLES - 5)
        for kind in ("speech_ref", "enroll_ref")
        for n in (1, 2)
    }
    batch["speech_mix"] = batch["speech_ref1"] + batch["speech_ref2"]
    batch["speech_mix_lengths"] = torch.tensor([SAMPLES - 5, SAMPLES // 2])
    loss, _, _ = model(**batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert extractor.network.unet.final.weight.grad.abs().max() > 0


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("query_grad", [True, False])
def test_a_frozen_query_network_gets_no_gradient_and_keeps_its_statistics(
    name, query_grad
):
    torch.manual_seed(0)
    network = SYSTEMS[name]
    bins = network(**TINY[name]).n_fft // 2 + 1
    extractor = EXTRACTORS[name](bins, num_classes=3, **TINY[name])
    for parameter in extractor.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    model = ESPnetCaRESepModel(
        extractor, CLASSES, CaRESepLoss(), "sep", query_grad=query_grad
    ).train()
    query_net = model.network.query_net
    modes = []
    query_net.norm.register_forward_hook(lambda m, *_: modes.append(m.training))
    before = {k: v.clone() for k, v in query_net.named_buffers()}
    audio = {
        f"{kind}{n}": torch.randn(2, SAMPLES)
        for kind in ("speech_ref", "enroll_ref")
        for n in (1, 2)
    }
    batch = {**audio, "speech_mix": audio["speech_ref1"] + audio["speech_ref2"]}
    for key in list(batch):
        batch[f"{key}_lengths"] = torch.full((2,), SAMPLES)
    loss, _, _ = model(**batch)
    loss.backward()
    with_grad = {k for k, p in query_net.named_parameters() if p.grad is not None}
    kept = all(torch.equal(v, before[k]) for k, v in query_net.named_buffers())
    assert modes == [query_grad]
    assert bool(with_grad) == query_grad and kept == (not query_grad)
    others = [p.grad for k, p in model.named_parameters() if ".query_net." not in k]
    assert all(grad is not None for grad in others)


@pytest.mark.parametrize(
    "conf, message",
    [
        (
            {"extractor": "st_sed_sep", "extractor_conf": {**SWIN, "mask_dim": 8}},
            "extractor_conf: unknown key 'mask_dim'",
        ),
        (
            {"extractor": "pann_sep", "extractor_conf": {"embed_dim": 8}},
            "extractor_conf: unknown key 'embed_dim'",
        ),
        (
            {"extractor": "pann_sep", "extractor_conf": {"query": "tags"}},
            "extractor_conf: query must be one of",
        ),
        ({"extractor": "td_speakerbeam"}, "extractor must be one of caresep, st_sed"),
    ],
)
def test_options_are_checked_against_the_chosen_system(
    training, tmp_path, capsys, conf, message
):
    with pytest.raises(SystemExit) as end:
        main(training(tmp_path / "exp", **conf))
    error = capsys.readouterr().err
    assert end.value.code == 2 and message in error and "Traceback" not in error


@pytest.fixture(scope="module")
def taggers(tmp_path_factory):
    """Weights as trainings with cls.yaml and pann_cls.yaml leave them."""
    paths = {}
    for name in ("cls", "pann_cls"):
        config = yaml.safe_load((ROWS / f"{name}.yaml").read_text())
        torch.manual_seed(3)
        system = SYSTEMS[config.get("extractor", "caresep")]
        network = system(**config["extractor_conf"], num_classes=len(CLASSES))
        paths[name] = tmp_path_factory.mktemp(name) / "valid.mAP.best.pth"
        state = network.state_dict()
        weights = {f"extractor.network.{key}": value for key, value in state.items()}
        torch.save(weights, paths[name])
    return paths


@pytest.mark.parametrize("row", sorted(path.stem for path in ROWS.glob("*.yaml")))
def test_two_steps_of_every_row(row, training, taggers, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    config = yaml.safe_load((ROWS / f"{row}.yaml").read_text())
    config |= {"max_epoch": 1, "num_iters_per_epoch": 2, "batch_size": 1}
    config["scheduler_conf"] = {"warmup_steps": 1}
    # The start that the row names, with weights that are there
    items = config.pop("init_param", [])
    tagger = taggers["pann_cls" if "pann" in row else "cls"]
    options = []
    for item in items:
        options += ["--init_param", f"{tagger}:{item.partition(':')[2]}"]
    main(training(tmp_path / "exp", *options, **config))
    if items:
        # All of the tagger is taken; only what the query's spectrum needs is new.
        found = re.search(r"not covered: ([^;]*); left out: none", caplog.text)
        new = [] if found[1] == "none" else found[1].split(", ")
        assert all(name.startswith(("spectrum.", "encoder.hint.")) for name in new)
        whole = ":extractor.network:extractor.network"
        assert bool(new) == (items[0].endswith(whole) and row != "c_plain")
    tagging = config["mode"] == "cls"
    figure = "mAP" if tagging else "mixture_sdr"
    weights = tmp_path / "exp" / f"valid.{figure}.best.pth"
    trained = torch.load(weights, weights_only=True)
    started = torch.load(tagger, weights_only=True)
    if row in "abg":
        same = [
            torch.equal(trained[key], started[key.replace("query_net.", "")])
            for key in trained
            if ".query_net." in key
        ]
        assert all(same) == (row in "ag")
    if not tagging:  # what was trained can be used
        network = load_checkpoint(tmp_path / "exp").network
        audio = torch.randn(1, 20000)
        assert torch.isfinite(network.separate(audio, network.embed(audio))).all()
