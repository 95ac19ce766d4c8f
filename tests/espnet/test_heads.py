"""Training of the last tagging heads: they learn, and nothing else moves."""

import pytest
import torch
from synthetic import CLASSES, NETWORK, SAMPLES, make_batch

from espnet2_caresep.config import ConfigError
from espnet2_caresep.espnet_model import ESPnetCaRESepModel
from espnet2_caresep.extractor import CaRESepExtractor
from espnet2_caresep.network.tag_heads import TagHeads
from espnet2_caresep.training import heads as heads_module
from espnet2_caresep.training.batch import trim
from espnet2_caresep.training.clip_memory import ClipMemory
from espnet2_caresep.training.heads import DRAWN, HeadTraining
from espnet2_caresep.training.losses import CaRESepLoss


def build(mode="heads", **network):
    torch.manual_seed(0)
    extractor = CaRESepExtractor(513, num_classes=3, **NETWORK, **network)
    return ESPnetCaRESepModel(extractor, CLASSES, CaRESepLoss(), mode)


def batch():
    out = {}
    for n in (1, 2):
        out[f"enroll_ref{n}"] = torch.randn(3, SAMPLES)
        out[f"enroll_ref{n}_lengths"] = torch.full((3,), SAMPLES)
        out[f"label{n}"] = torch.eye(3)
    return out


def test_only_the_heads_learn(monkeypatch):
    monkeypatch.setattr(heads_module, "LEAST", 6)
    model = build(tag_heads=2, clip_statistics=True, head_dropout=0.5).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.1)
    for _ in range(3):
        loss, stats, size = model(**batch())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert set(stats) == {"loss", "bce"} and size == 6
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    learned = {name for name in before if ".tag_heads." in name}
    assert moved == {name for name in learned if not name.endswith("settled")}


def test_validation_is_of_the_clips_themselves():
    model = build(tag_heads=2).train()
    model(**batch())
    model.eval()
    model.item_figures = []
    with torch.no_grad():
        same = batch()
        assert model(**same)[0] == model(**same)[0]
    assert len(model.item_figures) == 12 and model.head_training.memory.seen == 6


def test_the_kernel_is_fitted_before_each_validation():
    model = build(tag_heads=2, known_clips=8).train()
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
    assert not memory.features.requires_grad
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
        model.kernel_training.memory.remember(joint.features, torch.eye(3))
        model.kernel_training.finish()
        again = net.encode_anchor(anchors, lengths)
        final = net.eval().encode_anchor(anchors, lengths)
        kernel = net.kernel(joint.features)
    assert torch.equal(again.clip_logits, joint.clip_logits)
    torch.testing.assert_close(final.clip_logits, (joint.clip_logits + kernel) / 2)


def test_there_must_be_heads_to_train():
    with pytest.raises(ConfigError, match="tag_heads"):
        build()


def test_clips_are_remembered():
    heads = TagHeads(4, 3, 2)
    memory = ClipMemory(100)
    training = HeadTraining(heads, memory, mixup_alpha=0.0)
    for number in range(3):
        features = torch.full((5, 4), float(number))
        logits, labels = training(features, torch.eye(3)[[number] * 5])
    assert memory.seen == 15 and logits.shape == (2 * DRAWN, 3)
    assert set(labels.argmax(1).tolist()) == {0, 1, 2}
    torch.testing.assert_close(heads.mean, torch.ones(4))


def test_a_training_that_goes_on_keeps_its_standardisation(monkeypatch):
    monkeypatch.setattr(heads_module, "SETTLED", 10)
    monkeypatch.setattr(heads_module, "LEAST", 10)
    heads = TagHeads(4, 3, 2)
    training = HeadTraining(heads, ClipMemory(100), mixup_alpha=0.0)
    for _ in range(3):
        training(torch.randn(5, 4), torch.eye(3)[[0] * 5])
    assert heads.settled
    again = TagHeads(4, 3, 2)
    again.load_state_dict(heads.state_dict())
    training = HeadTraining(again, ClipMemory(100), mixup_alpha=0.0)
    logits, _ = training(5 + torch.randn(5, 4), torch.eye(3)[[1] * 5])
    assert torch.equal(again.mean, heads.mean)
    # Five clips are too few to learn from.
    logits.sum().backward()
    assert not any(p.grad.any() for p in again.parameters())
    logits, _ = training(torch.randn(5, 4), torch.eye(3)[[1] * 5])
    logits.sum().backward()
    assert all(p.grad.any() for p in again.parameters())


def test_zeros_around_a_clip_are_left_out():
    audio = torch.zeros(3, 10)
    audio[0, 3:7] = torch.tensor([1.0, 0.0, 2.0, 3.0])
    audio[1] = 1.0
    trimmed, lengths = trim(audio)
    assert trimmed[0].tolist() == [1, 0, 2, 3, 0, 0, 0, 0, 0, 0]
    assert torch.equal(trimmed[1], audio[1]) and lengths[:2].tolist() == [4, 10]
    assert lengths[2] == 10  # silence stays as it is
