import copy

import numpy as np
import pytest
import torch
from synthetic import CLASSES, NETWORK, SAMPLES, make_batch

from espnet2_caresep import espnet_model
from espnet2_caresep.config import ConfigError
from espnet2_caresep.espnet_model import ESPnetCaRESepModel
from espnet2_caresep.extractor import CaRESepExtractor
from espnet2_caresep.scoring.average_precision import mean_average_precision
from espnet2_caresep.scoring.metrics import sdr, silence_sdr
from espnet2_caresep.training.batch import mixup
from espnet2_caresep.training.frozen import frozen
from espnet2_caresep.training.losses import CaRESepLoss
from espnet2_caresep.training.validation import epoch_scores, separation_figures


def build(mode="cls+sep", loss=None, perturb=False, **options):
    torch.manual_seed(0)
    extractor = CaRESepExtractor(513, num_classes=3, **NETWORK)
    if perturb:
        # The query enters through layers that start at zero: give it a say.
        for parameter in extractor.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    loss = CaRESepLoss(**(loss or {}))
    return ESPnetCaRESepModel(extractor, CLASSES, loss, mode, **options)


def gradients(model, batch):
    model.zero_grad()
    loss, stats, weight = model(**batch)
    loss.sum().backward()
    grads = {k: p.grad for k, p in model.named_parameters()}
    return loss, stats, weight, grads


@pytest.mark.parametrize(
    "mode, parts, without_gradient",
    [
        ("sep", {"loss", "mae", "sdr"}, {"head"}),
        ("cls", {"loss", "bce"}, {"decoder", "merge", "encoder"}),
        ("cls+sep", {"loss", "mae", "sdr", "bce"}, set()),
    ],
)
def test_what_each_mode_reports_and_trains(mode, parts, without_gradient):
    model = build(mode, perturb=True)
    _, stats, weight, grads = gradients(model, make_batch())
    assert set(stats) == parts
    assert weight.item() == (4 if mode == "cls" else 2)
    idle = {key.split(".")[2] for key, grad in grads.items() if grad is None}
    assert idle == without_gradient
    if mode == "cls":  # of the encoder only the layers for a query are idle
        idle = [k for k, g in grads.items() if g is None and ".encoder." in k]
        assert all(".queries." in key for key in idle), idle


def test_a_pair_is_two_triplets_with_their_own_queries():
    model = build("sep", perturb=True).eval()
    batch = make_batch()
    loss, _, _ = model(**batch)
    network = model.extractor.network
    by_hand = []
    for n in (1, 2):
        query = network.embed(batch[f"enroll_ref{n}"])
        estimate = network.separate(batch["speech_mix"], query)
        part, _ = model.loss.separation(
            estimate, batch[f"speech_ref{n}"], batch["speech_mix"]
        )
        by_hand.append(part.item())
    assert loss.item() == pytest.approx(np.mean(by_hand), rel=1e-4)
    assert by_hand[0] != pytest.approx(by_hand[1], rel=1e-4)


def test_the_second_triplet_may_have_its_own_input():
    model = build("sep", perturb=True).eval()
    batch = make_batch()
    same, _, _ = model(**batch, speech_mix2=batch["speech_mix"])
    assert same.item() == pytest.approx(model(**batch)[0].item())
    other, _, _ = model(**batch, speech_mix2=batch["speech_ref1"])
    assert other.item() != pytest.approx(same.item(), rel=1e-3)


def test_one_source_is_enough():
    batch = {k: v for k, v in make_batch().items() if "2" not in k}
    loss, stats, weight = build().eval()(**batch)
    assert torch.isfinite(loss) and weight.item() == 2 and "bce" in stats


def test_the_query_carries_gradient_unless_it_is_frozen():
    # The gradient through the query is the difference of the two.
    batch = make_batch()
    with_grad = gradients(build("sep", perturb=True).eval(), batch)[3]
    without = gradients(build("sep", perturb=True, query_grad=False).eval(), batch)[3]
    key = next(k for k in with_grad if "encoder" in k and with_grad[k] is not None)
    assert not torch.allclose(with_grad[key], without[key])

    # By hand: the same loss with the query as a constant.
    model = build("sep", perturb=True).eval()
    audio, lengths = make_pairs(batch)
    query = model.network.embed(audio, lengths).detach()
    mixture = batch["speech_mix"].repeat(2, 1)
    target = torch.cat([batch["speech_ref1"], batch["speech_ref2"]])
    estimate = model.network.separate(mixture, query)
    model.loss.separation(estimate, target, mixture)[0].backward()
    grad = dict(model.named_parameters())[key].grad
    assert torch.allclose(grad, without[key], atol=1e-6)


def make_pairs(batch):
    audio = torch.cat([batch["enroll_ref1"], batch["enroll_ref2"]])
    lengths = torch.cat([batch["enroll_ref1_lengths"], batch["enroll_ref2_lengths"]])
    return audio, lengths


def test_a_frozen_query_is_computed_in_evaluation_mode():
    model = build("sep", query_grad=False).train()
    model.network.head.eval()  # a part that someone froze stays so
    modes = {name: part.training for name, part in model.named_modules()}
    statistics = copy.deepcopy(dict(model.named_buffers()))
    audio, lengths = make_pairs(make_batch())
    query, *_ = model.embed(audio, lengths)
    assert not query.requires_grad
    assert {name: part.training for name, part in model.named_modules()} == modes
    for name, value in model.named_buffers():
        assert torch.equal(value, statistics[name]), name
    assert torch.equal(query, model.embed(audio, lengths)[0])
    model.eval()
    assert torch.allclose(query, model.network.embed(audio, lengths), atol=1e-4)


def test_modes_come_back_after_an_error():
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout().eval())
    with pytest.raises(RuntimeError), frozen(model):
        assert not model[0].training and not torch.is_grad_enabled()
        raise RuntimeError
    assert model[0].training and not model[1].training


def test_silent_targets_give_finite_losses_and_useful_gradients():
    model = build("sep", perturb=True)
    zeros = torch.zeros(2, SAMPLES)
    batch = make_batch(speech_ref1=zeros, speech_ref2=zeros)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    first = None
    for _ in range(5):
        loss, _, _, grads = gradients(model, batch)
        assert torch.isfinite(loss).all()
        assert all(torch.isfinite(g).all() for g in grads.values() if g is not None)
        first = first or loss.item()
        optimizer.step()
    assert loss.item() < first - 0.05


def test_bfloat16_changes_little_and_keeps_waveforms_in_float32(monkeypatch):
    monkeypatch.setattr(espnet_model, "cpu_has_bfloat16", lambda: True)
    plain, low = build(perturb=True).eval(), build(perturb=True).eval()
    low.cpu_autocast = "bfloat16"
    batch = make_batch()
    audio, lengths = make_pairs(batch)
    query, *_ = plain.embed(audio, lengths)
    low_query, *_ = low.embed(audio, lengths)
    assert low_query.dtype == torch.float32
    assert not torch.equal(query, low_query)
    assert torch.allclose(query, low_query, atol=0.1)
    loss, _, _, grads = gradients(low, batch)
    assert loss.dtype == torch.float32 and torch.isfinite(loss)
    assert all(g.dtype == torch.float32 for g in grads.values() if g is not None)

    # The STFT and the product with the mask stay exact: with a mask of ones the input
    # comes back to far more than the three digits of bfloat16.
    for key, parameter in low.network.merge.named_parameters():
        parameter.data.fill_(30.0 if "bias" in key else 0.0)
    estimate = low.separate(batch["speech_mix"], low_query[:2], lengths[:2])
    assert estimate.dtype == torch.float32
    assert sdr(batch["speech_mix"], estimate).min() > 100


def test_templates_and_parts_are_for_evaluation_alone(monkeypatch):
    """In bfloat16, too: factors are found in float32."""
    monkeypatch.setattr(espnet_model, "cpu_has_bfloat16", lambda: True)
    batch = make_batch()
    audio, lengths = make_pairs(batch)
    outputs = {}
    for name, options in (
        ("plain", {"query_spectrum": True}),
        ("parts", {"query_spectrum": True, "query_templates": 3, "parts": True}),
    ):
        torch.manual_seed(0)
        extractor = CaRESepExtractor(513, num_classes=3, **NETWORK, **options)
        model = ESPnetCaRESepModel(extractor, CLASSES, CaRESepLoss())
        model.cpu_autocast = "bfloat16"
        for training in (True, False):
            model.train(training)
            torch.manual_seed(0)  # the same dropout
            query, *_ = model.embed(audio[:2], lengths[:2])
            estimate = model.separate(batch["speech_mix"], query, lengths[:2])
            assert estimate.dtype == torch.float32 and torch.isfinite(estimate).all()
            outputs[name, training] = estimate.detach()
    assert torch.equal(outputs["plain", True], outputs["parts", True])
    assert not torch.allclose(outputs["plain", False], outputs["parts", False])


def test_bfloat16_is_left_out_where_a_cpu_is_slow_at_it(monkeypatch):
    plain, low = build().eval(), build().eval()
    low.cpu_autocast = "bfloat16"
    audio, lengths = make_pairs(make_batch())
    monkeypatch.setattr(espnet_model, "cpu_has_bfloat16", lambda: False)
    assert torch.equal(plain.embed(audio, lengths)[0], low.embed(audio, lengths)[0])


def test_frozen_parts_keep_their_statistics_and_outputs_in_training():
    model = build()  # its encoder drops paths in training
    for parameter in model.network.encoder.parameters():
        parameter.requires_grad = False
    for parameter in model.network.norm.parameters():
        parameter.requires_grad = False
    before = copy.deepcopy(model.network.norm.state_dict())
    model.train()
    assert model.network.training and model.network.decoder.training
    assert not any(part.training for part in model.network.encoder.modules())
    audio, lengths = make_pairs(make_batch())
    first, second = (model.embed(audio, lengths)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert all(
        torch.equal(value, before[name])
        for name, value in model.network.norm.state_dict().items()
    )
    for parameter in model.parameters():
        parameter.requires_grad = True
    assert model.train().network.encoder.training


def test_mixup_mixes_sound_and_labels_alike():
    torch.manual_seed(0)
    audio, labels = torch.randn(4, 30000), torch.eye(4)
    audio = audio * torch.tensor([1.0, 10.0, 0.1, 3.0])[:, None]
    mixed, mixed_labels = mixup(audio, labels, 1.0)
    assert mixed_labels.sum(1) == pytest.approx(1)
    # The labels say in which amounts the clips, at equal level, are in the mix.
    unit = audio / audio.square().mean(-1, keepdim=True).sqrt()
    np.testing.assert_allclose(mixed, mixed_labels @ unit, atol=1e-4)


def test_joint_training_tags_mixed_anchors_beside_clean_ones():
    model, batch, seen = build(mixup_alpha=0.5), make_batch(), []
    tagging = model.loss.tagging
    model.loss.tagging = lambda *given: seen.append(given) or tagging(*given)
    model.train()(**batch)
    model.eval()(**batch)
    (logits, labels), (_, clean) = seen
    assert logits.shape == labels.shape == (6, 3)  # two pairs: 4 anchors, 2 mixed
    torch.testing.assert_close(labels[:4], clean)
    assert labels[4:].sum(1) == pytest.approx(1) and len(clean) == 4


def test_figures_of_a_validation_batch():
    model = build(perturb=True).eval()
    model.item_figures = []
    batch = make_batch()
    with torch.no_grad():
        model(**batch)
        network = model.network
        wanted = {name: [] for name in ("mixture", "other", "clean", "silence")}
        logits = []
        for n, m in ((1, 2), (2, 1)):
            target, rest = batch[f"speech_ref{n}"], batch[f"speech_ref{m}"]
            mix = batch["speech_mix"]
            query = network.embed(batch[f"enroll_ref{n}"])
            other = network.embed(batch[f"other_ref{n}"])
            separate = network.separate
            wanted["mixture"] += sdr(target, separate(mix, query)).tolist()
            wanted["other"] += sdr(target, separate(mix, other)).tolist()
            wanted["clean"] += sdr(target, separate(target, query)).tolist()
            wanted["silence"] += silence_sdr(rest, separate(rest, query)).tolist()
            logits += network.tag(batch[f"enroll_ref{n}"])[0].tolist()
    scores = epoch_scores(model.item_figures)
    labels = np.concatenate([batch["label1"], batch["label2"]])
    assert scores == pytest.approx(
        {
            "mixture_sdr": np.mean(wanted["mixture"]),
            "mixture_sdr_other": np.mean(wanted["other"]),
            "clean_sdr": np.mean(wanted["clean"]),
            "silence_sdr": np.mean(wanted["silence"]),
            "mAP": mean_average_precision(labels, np.array(logits)).mean,
        },
        abs=1e-3,
    )


def test_a_diverged_network_is_scored_as_silence():
    target = torch.randn(2, 100)
    figures = separation_figures(target, torch.full((2, 100), float("nan")), target)
    assert [item["mixture_sdr"] for item in figures] == [0, 0]


@pytest.mark.parametrize(
    "options", [{"mode": "tag"}, {"cpu_autocast": "half"}, {"mixup_alpha": -1}]
)
def test_options_without_meaning_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        build(**options)
