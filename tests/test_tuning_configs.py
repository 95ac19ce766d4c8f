"""The rows of the paper's tables differ in their flags and in nothing else."""

from pathlib import Path

import pytest
import torch
import yaml

from espnet2_caresep.inference.checkpoint import build_network
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

# What differs from row C; None: is not set.
FULL = {
    "caresep_2048": D256,
    "care_cls_768": TAGGING,
    "care_cls_2048": {**TAGGING, **D256},
    "care_cls_sep_768": {**JOINT, "best_model_criterion": JOINT_CRITERIA},
    "ablation_a": {**ST_SED_SEP, **D256, **FROZEN},
    "ablation_b": {**ST_SED_SEP, **D256},
    "ablation_d": FROZEN,
    "ablation_e": {},
    "ablation_f": FROZEN,
    "ablation_g": {**FROZEN, **UNSHARED},
    "pann_cls": {**TAGGING, **CNN14, **EMBEDDING},
    "pann_sep_527": {**CNN14, **MAE, **FROZEN, **PROBABILITIES},
    "pann_sep_2048": {**CNN14, **MAE, **FROZEN, **EMBEDDING},
}
SMALL_UNET = {
    **ST_SED_SEP,
    "extractor_conf.mask_dim": None,
    "extractor_conf.unet_channels": 4,
}
SMALL = {
    "a": {**SMALL_UNET, **FROZEN},
    "b": SMALL_UNET,
    "d": FROZEN,
    "e": {},
    "f": FROZEN,
    "g": {**FROZEN, **UNSHARED},
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


def test_small_tagging_trains_the_same_network():
    folder = TUNING / "debsounds_cpu"
    one, two = (read(folder / f"{name}.yaml") for name in ("cls", "c"))
    assert one["extractor_conf"] == two["extractor_conf"]
    joint = differences(folder / "cls_sep.yaml", folder / "c.yaml")
    assert set(joint) == {"mode", "best_model_criterion"}


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
