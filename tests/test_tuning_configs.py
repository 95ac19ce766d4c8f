"""The rows of the paper's tables differ in their flags and in nothing else."""

from pathlib import Path

import pytest
import torch
import yaml

from espnet2_caresep.inference.network_config import build_network
from espnet2_caresep.network import CaRESep, PANNSep, STSEDSep

TUNING = Path(__file__).parents[1] / "conf" / "tuning"
MAE = {"loss_conf.sdr_weight": 0.0, "loss_conf.sdr_threshold": None}
FROZEN = {"model_conf.query_grad": False}
UNSHARED = {"extractor_conf.shared": False}
D256 = {"extractor_conf.embed_dim": 256}
SWIN = ("embed_dim", "depths", "decoder_depths", "heads")
TAGGING = {
    "mode": "cls",
    "best_model_criterion": [["valid", "mAP", "max"]],
    "model_conf.mixup_alpha": 0.5,
    "model_conf.time_mask_width": 64,
    "model_conf.freq_mask_width": 8,
    "loss_conf.mae_weight": None,
    "loss_conf.sdr_weight": None,
    "loss_conf.sdr_threshold": None,
}
LEFT = "extractor.network.encoder.queries,extractor.network.decoder,extractor.network.merge"


def start(config, target="extractor.network", source="extractor.network", left=""):
    item = f"exp/caresep_{config}/valid.mAP.best.pth:{source}:{target}"
    return {"init_param": [item + f":{left}" * bool(left)]}


NO_START = {"init_param": None}
QUERY_NET = ("extractor.network.query_net",)
QUERY_NET_2048 = start("train_care_cls_2048", *QUERY_NET, left=LEFT)
ST_SED_SEP = {
    "extractor": "st_sed_sep",
    "extractor_conf.decoder_depths": None,
    **MAE,
}
CNN14 = {
    "extractor": "pann_sep",
    **{f"extractor_conf.{key}": None for key in SWIN},
}
EMBEDDING = {"extractor_conf.query": "embedding"}
PROBABILITIES = {"extractor_conf.query": "probabilities"}
JOINT = {"mode": "cls+sep"}
JOINT_CRITERIA = [["valid", "mixture_sdr", "max"], ["valid", "mAP", "max"]]
SMALL_JOINT_CRITERIA = [
    ["valid", name, "max"] for name in ("mixture_sdr", "mixture_sdr_other", "mAP")
]

# What differs from row C; None: is not set.
FULL = {
    "caresep_2048": {**D256, **start("train_care_cls_2048")},
    "care_cls_768": {**TAGGING, **NO_START},
    "care_cls_2048": {**TAGGING, **D256, **NO_START},
    "care_cls_sep_768": {**JOINT, "best_model_criterion": JOINT_CRITERIA},
    "ablation_a": {**ST_SED_SEP, **D256, **FROZEN, **QUERY_NET_2048},
    "ablation_b": {**ST_SED_SEP, **D256, **QUERY_NET_2048},
    "ablation_d": FROZEN,
    "ablation_e": NO_START,
    "ablation_f": {**FROZEN, **NO_START},
    "ablation_g": {
        **FROZEN,
        **UNSHARED,
        **start("train_care_cls_768", *QUERY_NET, left=LEFT),
    },
    "pann_cls": {**TAGGING, **CNN14, **EMBEDDING, **NO_START},
    "pann_sep_527": {
        **CNN14,
        **MAE,
        **FROZEN,
        **PROBABILITIES,
        **start("train_pann_cls", *QUERY_NET, *QUERY_NET),
    },
    "pann_sep_2048": {
        **CNN14,
        **MAE,
        **FROZEN,
        **EMBEDDING,
        **start("train_pann_cls", *QUERY_NET, *QUERY_NET),
    },
}
SMALL_UNET = {
    **ST_SED_SEP,
    "extractor_conf.mask_dim": None,
    "extractor_conf.query_n_fft": 1296,
    "extractor_conf.unet_channels": 4,
    **start("cls", *QUERY_NET, left=LEFT),
}
SMALL_CNN14 = {
    **CNN14,
    **MAE,
    **FROZEN,
    "extractor_conf.num_bands": None,
    "extractor_conf.mask_dim": None,
    "extractor_conf.query_n_fft": 1296,
    "extractor_conf.cnn_channels": 8,
    "extractor_conf.unet_channels": 4,
    **start("pann_cls", *QUERY_NET, *QUERY_NET),
}
SMALL = {
    "c_plain": {"extractor_conf.query_spectrum": None},
    "cls_sep": {**JOINT, "best_model_criterion": SMALL_JOINT_CRITERIA},
    "a": {**SMALL_UNET, **FROZEN},
    "a_plain": {
        **SMALL_UNET,
        **FROZEN,
        "extractor_conf.query_spectrum": None,
    },
    "b": SMALL_UNET,
    "d": FROZEN,
    "e": NO_START,
    "f": {**FROZEN, **NO_START},
    "g": {**FROZEN, **UNSHARED, **start("cls", *QUERY_NET, left=LEFT)},
    "pann_sep_embedding": {**SMALL_CNN14, **EMBEDDING},
    "pann_sep_probabilities": {**SMALL_CNN14, **PROBABILITIES},
}


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def flat(config):
    out = {}
    for key, value in config.items():
        if isinstance(value, dict):
            out.update({f"{key}.{name}": entry for name, entry in value.items()})
        else:
            out[key] = value
    return out


def differences(path, base):
    ours, theirs = flat(read(path)), flat(read(base))
    keys = [k for k in {**ours, **theirs} if ours.get(k) != theirs.get(k)]
    return {key: ours.get(key) for key in keys}


@pytest.mark.parametrize("row", FULL)
def test_full_size_rows_differ_in_their_flags(row):
    path = TUNING / f"train_{row}.yaml"
    assert differences(path, TUNING / "train_caresep_768.yaml") == FULL[row]


@pytest.mark.parametrize("row", SMALL)
def test_small_rows_differ_in_their_flags(row):
    folder = TUNING / "debsounds_cpu"
    assert differences(folder / f"{row}.yaml", folder / "c.yaml") == SMALL[row]


def test_small_tagging_trains_the_networks_that_start_from_it():
    folder = TUNING / "debsounds_cpu"
    for tagger, row in (("cls", "c_plain"), ("pann_cls", "pann_sep_embedding")):
        one, two = (read(folder / f"{name}.yaml") for name in (tagger, row))
        two["extractor_conf"].pop("query_spectrum", None)
        assert one["extractor_conf"] == two["extractor_conf"]


@pytest.mark.parametrize(
    "path", sorted(TUNING.rglob("*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_a_configuration_starts_from_one_beside_it(path):
    """The driver trains NAME.yaml first where the start is exp/caresep_NAME/..."""
    for item in read(path).get("init_param", []):
        name = item.split("/")[1].removeprefix("caresep_")
        # From tagging, or from what a shorter training has reached; the tagger comes
        # after an encoder, and nothing that could make it stale after it
        start, mode = read(path.parent / f"{name}.yaml"), read(path)["mode"]
        modes = {"cls", "tagger", mode}
        if mode == "tagger":
            modes = {"cls", "sep", "cls+sep"}
        frozen = {part.split(".")[-1] for part in read(path).get("freeze_param", [])}
        if start["mode"] == "tagger":
            assert "conv_tagger" in frozen
        if "freeze_param" in start and "encoder" in str(start["freeze_param"]):
            tagging = {"split", "norm", "encoder", "head", "statistics", "conv_tagger"}
            assert tagging <= frozen
        assert start["mode"] in modes


@pytest.mark.parametrize(
    "path", sorted(TUNING.rglob("*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_every_configuration_builds_its_network(path):
    config = read(path)
    with torch.device("meta"):
        network = build_network(config, str(path))
    kinds = {"caresep": CaRESep, "st_sed_sep": STSEDSep, "pann_sep": PANNSep}
    assert type(network) is kinds[config.get("extractor", "caresep")]
    # The first line says which row it is.
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ") and len(first) > 20


@pytest.mark.parametrize("config", ["debsounds_cpu", "debsounds_more"])
def test_our_models_start_from_the_network_that_they_train(config):
    names = (f"train_{config}.yaml", f"train_{config}_cls.yaml")
    unlearned = {"known_clips", "query_templates", "parts", "conv_tagger"}
    learned = []
    for name in (*names, "train_debsounds_cpu.yaml"):
        conf = read(TUNING / name)["extractor_conf"]
        learned.append({k: v for k, v in conf.items() if k not in unlearned})
    assert learned[0] == learned[1] == learned[2]


def test_the_installed_model_goes_on_with_the_network_that_it_starts_from():
    start_of, model = (
        read(TUNING / f"train_debsounds_more{name}.yaml") for name in ("", "_long")
    )
    new = {"query_levels", "query_hidden", "clip_statistics", "head_dropout"}
    conf = model["extractor_conf"]
    assert new <= conf.keys()
    kept = {key: value for key, value in conf.items() if key not in new}
    assert kept == start_of["extractor_conf"]


@pytest.mark.parametrize(
    ("start_of", "config", "learning"),
    [
        ("tagger", "refine", {"refinement"}),
        ("refine", "compare", {"refinement", "spectrum"}),
        ("compare", "mask", {"refinement", "spectrum", "decoder", "merge"}),
        ("mask", "other", {"refinement", "spectrum", "decoder", "merge"}),
    ],
)
def test_the_last_steps_train_parts_of_the_mask(start_of, config, learning):
    start_of, step = (
        read(TUNING / f"train_debsounds_more_{name}.yaml")
        for name in (start_of, config)
    )
    network = step["extractor_conf"]
    assert network == {"refine_channels": 128, **start_of["extractor_conf"]}
    prefix = "extractor.network."
    parts = {
        prefix + name
        for name, part in CaRESep(**network).named_children()
        if list(part.parameters())
    }
    assert parts - set(step["freeze_param"]) == {prefix + name for name in learning}


@pytest.mark.parametrize(
    ("start_of", "config"),
    [("debsounds_more_long", "debsounds_more"), ("debsounds_cpu_cls", "debsounds_cpu")],
)
def test_the_tagger_is_of_the_network_that_it_is_trained_on(start_of, config):
    start_of, tagger = (
        read(TUNING / f"train_{name}.yaml") for name in (start_of, f"{config}_tagger")
    )
    network = tagger["extractor_conf"]
    assert tagger["mode"] == "tagger" and network.pop("conv_tagger")
    network.pop("known_clips", None)
    assert network == start_of["extractor_conf"]
