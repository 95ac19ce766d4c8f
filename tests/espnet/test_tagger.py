"""Training of the tagger alone, which moves nothing else, and of the kernel."""

import pytest
import torch
from synthetic import CLASSES, NETWORK, SAMPLES, make_batch

from espnet2_caresep.config import ConfigError
from espnet2_caresep.espnet_model import ESPnetCaRESepModel
from espnet2_caresep.extractor import CaRESepExtractor
from espnet2_caresep.network import conv_tagger as conv_tagger_module
from espnet2_caresep.training import tagger as tagger_module
from espnet2_caresep.training.batch import trim
from espnet2_caresep.training.clip_memory import ClipMemory
from espnet2_caresep.training.losses import CaRESepLoss


def build(mode="tagger", **network):
    torch.manual_seed(0)
    extractor = CaRESepExtractor(513, num_classes=3, **NETWORK, **network)
    return ESPnetCaRESepModel(extractor, CLASSES, CaRESepLoss(), mode)


def batch():
    out = {}
    for n in (1, 2):
        out[f"speech_ref{n}"] = torch.randn(3, 2 * SAMPLES)
        out[f"enroll_ref{n}"] = out[f"speech_ref{n}"][:, :SAMPLES]
        for name in (f"speech_ref{n}", f"enroll_ref{n}"):
            out[f"{name}_lengths"] = torch.full((3,), out[name].shape[1])
        out[f"label{n}"] = torch.eye(3)
    return out


def test_only_the_tagger_learns(monkeypatch):
    monkeypatch.setattr(tagger_module, "LEAST", 6)
    model = build(conv_tagger=2, clip_statistics=True, head_dropout=0.5).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.1)
    for _ in range(3):
        loss, stats, size = model(**batch())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert set(stats) == {"loss", "bce"} and size == 6
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {name for name in before if ".conv_tagger." in name}


def test_it_learns_what_it_is_shown(monkeypatch):
    monkeypatch.setattr(tagger_module, "LEAST", 6)
    monkeypatch.setattr(tagger_module, "DRAWN", 12)
    monkeypatch.setattr(conv_tagger_module, "DROPOUT", 0.0)
    model = build(conv_tagger=4).train()
    time = torch.arange(SAMPLES) / 32000
    tones = torch.stack([torch.sin(6.28 * hz * time) for hz in (200, 1000, 5000)])
    tones = tones + 0.01 * torch.randn(3, SAMPLES)
    shown = batch()
    for n in (1, 2):
        shown[f"speech_ref{n}"] = shown[f"enroll_ref{n}"] = tones
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        loss, _, _ = model(**shown)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_validation_is_of_the_clips_themselves():
    model = build(conv_tagger=2).train()
    model(**batch())
    model.eval()
    model.item_figures = []
    with torch.no_grad():
        same = batch()
        assert model(**same)[0] == model(**same)[0]
    assert len(model.item_figures) == 12 and model.tagger_training.memory.seen == 6


def test_the_tagger_learns_nothing_before_it_knows_enough_clips():
    model = build(conv_tagger=2).train()
    loss, _, _ = model(**batch())
    loss.backward()
    learning = dict(model.network.conv_tagger.named_parameters())
    assert not learning.pop("classes.bias").grad.any()
    assert all(parameter.grad is None for parameter in learning.values())


def test_masks_hide_parts_of_its_pictures_in_training_alone():
    torch.manual_seed(0)
    extractor = CaRESepExtractor(513, num_classes=3, **NETWORK, conv_tagger=2)
    model = ESPnetCaRESepModel(
        extractor, CLASSES, CaRESepLoss(), "tagger", time_mask_width=20
    )
    tagger = model.network.conv_tagger
    assert model.network.augment is None and tagger.augment.time_mask_width == 20
    assert "augment" not in "".join(model.state_dict())
    picture = torch.randn(1, 128, 64)
    assert torch.equal(tagger.eval()(picture), tagger(picture))


def test_the_kernel_is_fitted_before_each_validation():
    model = build(conv_tagger=2, known_clips=8).train()
    kernel = model.network.kernel
    model(**batch())
    assert not kernel.weights.any()
    model.eval()
    with torch.no_grad():
        model(**batch())
        fitted = kernel.weights.clone()
        assert fitted[:6].any() and not fitted[6:].any()
        model(**batch())
    assert torch.equal(kernel.weights, fitted)  # nothing new has been heard
    model.train()(**batch())
    model.eval()
    with torch.no_grad():
        model(**batch())
    assert kernel.weights[6:].any()


def test_a_joint_training_fits_the_kernel_to_the_newest_anchors():
    model = build("cls+sep", known_clips=8).train()
    kernel, memory = model.network.kernel, model.kernel_training.memory
    for seed in range(2):
        loss, _, _ = model(**make_batch(3, seed=seed))
    loss.backward()
    assert memory.seen == 12 and memory.known == 8
    assert not memory["features"].requires_grad
    model.eval()
    with torch.no_grad():
        model(**make_batch(3))
    assert kernel.fitted and kernel.weights.any(1).all()


def test_a_frozen_encoder_keeps_the_kernel_that_it_has():
    model = build("cls+sep", known_clips=8).train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("decoder" in name)
    model.train()(**make_batch(3))
    model.eval()
    with torch.no_grad():
        model(**make_batch(3))
    assert not model.kernel_training.memory.seen and not model.network.kernel.fitted


def test_in_training_the_kernel_has_no_say():
    model = build("cls+sep", known_clips=8, drop_path=0.0).train()
    net = model.network
    net.norm.eval()
    anchors, lengths = torch.randn(3, SAMPLES), torch.full((3,), SAMPLES)
    with torch.no_grad():
        joint = net.encode_anchor(anchors, lengths)
        model.kernel_training.memory.remember(
            features=joint.features, labels=torch.eye(3)
        )
        model.kernel_training.finish()
        again = net.encode_anchor(anchors, lengths)
        final = net.eval().encode_anchor(anchors, lengths)
        kernel = net.kernel(joint.features)
    assert torch.equal(again.clip_logits, joint.clip_logits)
    torch.testing.assert_close(
        final.clip_logits, 0.7 * joint.clip_logits + 0.3 * kernel
    )


def test_there_must_be_a_tagger_to_train():
    with pytest.raises(ConfigError, match="conv_tagger"):
        build()


def test_the_newest_clips_are_remembered():
    memory = ClipMemory(8)
    for number in range(3):
        pictures = torch.full((5, 4, 2), float(number)).half()
        memory.remember(pictures=pictures, labels=torch.eye(3)[[number] * 5])
    assert memory.seen == 15 and memory.known == 8
    assert sorted(memory["pictures"][:, 0, 0].tolist()) == [1] * 3 + [2] * 5
    assert memory["pictures"].dtype == torch.float16
    assert memory["labels"].shape == (8, 3)


def test_zeros_around_a_clip_are_left_out():
    audio = torch.zeros(3, 10)
    audio[0, 3:7] = torch.tensor([1.0, 0.0, 2.0, 3.0])
    audio[1] = 1.0
    trimmed, lengths = trim(audio)
    assert trimmed[0].tolist() == [1, 0, 2, 3, 0, 0, 0, 0, 0, 0]
    assert torch.equal(trimmed[1], audio[1]) and lengths[:2].tolist() == [4, 10]
    assert lengths[2] == 10  # silence stays as it is
