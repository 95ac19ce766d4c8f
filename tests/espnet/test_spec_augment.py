"""SpecAugment: where masks lie, and when a training has them."""

import pytest
import torch
import torchaudio
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import CLASSES, NETWORK, SAMPLES

from espnet2_caresep.bin.train import main
from espnet2_caresep.config import ConfigError
from espnet2_caresep.espnet_model import ESPnetCaRESepModel
from espnet2_caresep.extractor import EXTRACTORS
from espnet2_caresep.training.losses import CaRESepLoss
from espnet2_caresep.training.spec_augment import SpecAugment

SYSTEMS = {
    "shared": ("caresep", NETWORK),
    "unshared": ("caresep", {**NETWORK, "shared": False}),
    "pann": (
        "pann_sep",
        {"segment_frames": 64, "cnn_channels": 2, "unet_channels": 2, "unet_levels": 2},
    ),
}
MASKS = {"time_mask_width": 64, "freq_mask_width": 8}


def hidden_points(frames, time=64, freq=8, size=1024, bands=64, channels=1):
    """Which points of pictures of ones SpecAugment hides, (B, T, K, C) bool."""
    valid = torch.arange(size) < torch.as_tensor(frames)[:, None]
    picture = torch.ones(len(frames), size, bands, channels)
    return SpecAugment(time, freq)(picture, valid) == 0


def runs(line):
    """Lengths of the runs of true in a line of truth values."""
    text = "".join("x" if value else " " for value in line.tolist())
    return [len(run) for run in text.split()]


def test_every_clip_has_its_own_masks_on_all_channels():
    torch.manual_seed(0)
    hidden = hidden_points([1001] * 8, channels=2)
    assert torch.equal(hidden[..., 0], hidden[..., 1])
    time, freq = hidden.all((2, 3)), hidden.all((1, 3))
    # A point is hidden because its frame or its band is.
    assert torch.equal(hidden[..., 0], time[:, :, None] | freq[:, None])
    assert len({tuple(line.tolist()) for line in time}) == 8
    assert len({tuple(line.tolist()) for line in freq}) > 4


@pytest.mark.parametrize("axis, width, size", [(1, 64, 1024), (2, 8, 64)])
def test_as_much_is_hidden_as_torchaudio_hides(axis, width, size):
    torch.manual_seed(0)
    shape = (1000, size, 1) if axis == 1 else (1000, 1, size)
    theirs = torch.ones(shape)
    for _ in range(2):
        theirs = torchaudio.functional.mask_along_axis_iid(theirs, width, 0.0, axis)
    widths = (width, 0) if axis == 1 else (0, width)
    ours = hidden_points([shape[1]] * 1000, *widths, *shape[1:]).view(1000, size)
    share = (theirs == 0).float().mean().item()
    assert ours.float().mean().item() == pytest.approx(share, rel=0.08)
    assert max(sum(runs(item)) for item in ours) <= 2 * (width - 1)
    assert ours.float().mean(0).min() > 0  # no place is always shown


@settings(max_examples=30, deadline=None)
@given(
    frames=st.lists(st.integers(1, 64), min_size=1, max_size=5),
    time=st.integers(0, 100),
    freq=st.integers(0, 100),
    seed=st.integers(0, 99),
)
def test_masks_lie_on_audio_and_leave_most_of_it(frames, time, freq, seed):
    torch.manual_seed(seed)
    hidden = hidden_points(frames, time, freq, size=64, bands=32)[..., 0]
    for item, count in zip(hidden, frames):
        lines = item.all(1)
        assert not lines[count:].any()
        assert lines.sum() <= 2 * count / 8 and item.all(0).sum() <= 2 * 32 / 8
        assert len(runs(lines)) <= 2
        if not time:
            assert not lines.any()
        if not freq:
            assert torch.equal(item, lines[:, None].expand_as(item))


def build(name, mode="cls", **options):
    torch.manual_seed(0)
    system, conf = SYSTEMS[name]
    bins = 513 if system == "caresep" else 1025
    extractor = EXTRACTORS[system](bins, num_classes=3, **conf)
    return ESPnetCaRESepModel(extractor, CLASSES, CaRESepLoss(), mode, **options)


def anchors(size=2):
    generator = torch.Generator().manual_seed(0)
    return {
        "enroll_ref1": torch.randn(size, SAMPLES, generator=generator),
        "enroll_ref1_lengths": torch.full((size,), SAMPLES),
        "label1": torch.eye(3)[:size],
    }


def pictures(model):
    """Collects what the encoder sees of every clip."""
    seen = []
    encoder = model.network.anchor_net
    first = encoder.blocks[0] if hasattr(encoder, "blocks") else encoder.encoder.embed
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    return seen


@pytest.mark.parametrize("name", SYSTEMS)
def test_tagging_is_trained_with_masks_and_evaluated_without(name):
    plain, masked = build(name), build(name, **MASKS)
    assert plain.state_dict().keys() == masked.state_dict().keys()
    batch = anchors()
    seen, unmasked = pictures(masked), pictures(plain)

    masked.train(), plain.train()
    masked(**batch)[0].sum().backward()
    plain(**batch)
    # Masked points are zero; the others, and so the statistics, are as without masks.
    hidden = seen[-1] == 0
    assert 0 < hidden.float().mean() - (unmasked[-1] == 0).float().mean() < 0.5
    assert torch.equal(seen[-1], unmasked[-1].masked_fill(hidden, 0))
    for key, value in plain.network.anchor_net.norm.named_buffers():
        assert torch.equal(value, masked.network.anchor_net.norm.get_buffer(key)), key
    grads = [p.grad for p in masked.network.anchor_net.parameters()]
    assert all(torch.isfinite(grad).all() for grad in grads if grad is not None)
    assert any(grad is not None and grad.any() for grad in grads)
    masked(**batch)
    assert not torch.equal(seen[-1] == 0, hidden)

    plain.load_state_dict(masked.state_dict())
    masked.eval(), plain.eval()
    with torch.no_grad():
        assert torch.equal(masked(**batch)[0], plain(**batch)[0])


def test_bfloat16_and_mixup_go_with_masks():
    model = build("shared", cpu_autocast="bfloat16", mixup_alpha=0.5, **MASKS)
    seen = pictures(model)
    model.train()
    assert torch.isfinite(model(**anchors())[0])
    assert (seen[-1] == 0).any()


@pytest.mark.parametrize("mode", ["sep", "cls+sep"])
def test_separation_is_never_masked(mode):
    assert build("shared", mode, **MASKS).network.anchor_net.augment is None


@pytest.mark.parametrize("name", MASKS)
def test_negative_widths_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name} must be at least 0"):
        build("shared", **{name: -1})


def test_a_training_takes_the_options(training, tmp_path, capsys):
    conf = {"mode": "cls", "max_epoch": 1, "num_iters_per_epoch": 2}
    main(training(tmp_path / "exp", model_conf=dict(MASKS), **conf))
    saved = yaml.safe_load((tmp_path / "exp" / "config.yaml").read_text())
    assert saved["model_conf"].items() >= MASKS.items()
    weights = torch.load(tmp_path / "exp" / "valid.mAP.best.pth", weights_only=True)
    assert weights and all(torch.isfinite(value).all() for value in weights.values())
    with pytest.raises(SystemExit):
        main(training(tmp_path / "no", model_conf={"time_mask_width": 0.5}, **conf))
    assert "time_mask_width must be a whole number" in capsys.readouterr().err
