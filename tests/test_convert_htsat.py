"""The converter against timm's Swin Transformer, whose names [15] keeps."""

import subprocess
import sys

import pytest
import torch
from timm.models.swin_transformer import SwinTransformer
from torch.nn import functional as F

from espnet2_caresep.bin.convert_htsat import main
from espnet2_caresep.htsat_weights import convert_htsat
from espnet2_caresep.network import CaRESep

CLASSES = 5
SIZES = {
    "embed_dim": 8,
    "depths": [1, 2, 1, 1],
    "heads": [1, 2, 4, 8],
    "window": 4,
    "num_classes": CLASSES,
}


def swin():
    """The Swin Transformer of [15]: frequency along the height of the image."""
    torch.manual_seed(0)
    net = SwinTransformer(
        img_size=128,
        patch_size=4,
        in_chans=1,
        num_classes=0,
        embed_dim=8,
        depths=(1, 2, 1, 1),
        num_heads=(1, 2, 4, 8),
        window_size=4,
        drop_path_rate=0.0,
    ).eval()
    for parameter in net.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return net


@pytest.fixture(scope="module")
def reference():
    return swin()


@pytest.fixture
def state(reference):
    """What a public checkpoint holds under ``sed_model.``."""
    torch.manual_seed(1)
    state = {}
    for key, value in reference.state_dict().items():
        # timm counts the merging with the group after it, [15] with the one before.
        part = key.split(".")
        if "downsample" in part:
            part[1] = str(int(part[1]) - 1)
        state[".".join(part)] = value.clone()
    state |= {
        "spectrogram_extractor.stft.conv_real.weight": torch.zeros(513, 1, 1024),
        "spectrogram_extractor.stft.conv_imag.weight": torch.zeros(513, 1, 1024),
        "logmel_extractor.melW": torch.zeros(513, 64),
        "bn0.weight": torch.rand(64),
        "bn0.bias": torch.randn(64),
        "bn0.running_mean": torch.full((64,), -30.0),
        "bn0.running_var": torch.full((64,), 200.0),
        "bn0.num_batches_tracked": torch.tensor(9),
        "layers.0.blocks.0.attn.relative_position_index": torch.zeros(16, 16).long(),
        "layers.1.blocks.1.attn_mask": torch.zeros(16, 16, 16),
        "tscam_conv.weight": torch.randn(CLASSES, 64, 2, 3),
        "tscam_conv.bias": torch.randn(CLASSES),
        "head.weight": torch.zeros(CLASSES, CLASSES),
        "head.bias": torch.zeros(CLASSES),
    }
    return state


@pytest.fixture
def checkpoint(state, tmp_path):
    """Saves a state as the training code of [15] does."""

    def save(state=state, **other):
        state = {f"sed_model.{key}": value for key, value in state.items()}
        path = tmp_path / "htsat.ckpt"
        torch.save({"epoch": 3, "state_dict": state, **other}, path)
        return str(path)

    return save


def network(**conf):
    torch.manual_seed(2)
    sizes = dict(SIZES, segment_frames=256, decoder_depths=(1, 1, 1))
    return CaRESep(**sizes, **conf).eval()


def test_the_encoder_gives_the_tokens_and_tags_of_the_original(
    reference, state, checkpoint, tmp_path
):
    out = tmp_path / "out.pth"
    main([checkpoint(), str(out)])
    weights = torch.load(out, weights_only=True)
    net = network()
    given = {k.removeprefix("extractor.network."): v for k, v in weights.items()}
    result = net.load_state_dict(given, strict=False)
    assert not result.unexpected_keys
    filled_later = ("decoder.", "merge.", "split.", "encoder.queries.", "norm.running")
    filled_later += ("norm.num_batches",)
    assert all(key.startswith(filled_later) for key in result.missing_keys)

    image = torch.randn(2, 1, 128, 128)  # time along the height
    with torch.no_grad():
        tokens, _ = net.encoder(image)
        wanted = reference.forward_features(image.transpose(2, 3))
        torch.testing.assert_close(
            tokens.view(2, 4, 4, 64), wanted.transpose(1, 2), rtol=1e-3, atol=1e-4
        )
        # [15]: rows of the two pieces of time beside each other, then the convolution
        rows = wanted.permute(0, 3, 1, 2).view(2, 64, 2, 2, 4)
        rows = rows.transpose(2, 3).reshape(2, 64, 2, 8)
        logits = F.conv2d(
            rows, state["tscam_conv.weight"], state["tscam_conv.bias"], padding=(0, 1)
        )
        valid = torch.ones(2, 8, dtype=torch.bool)
        clip, frames = net.head(net.fold.unfold(tokens, 32), valid)
    torch.testing.assert_close(
        frames, logits[:, :, 0].transpose(1, 2), rtol=1e-3, atol=1e-3
    )
    torch.testing.assert_close(clip, logits.mean((2, 3)), rtol=1e-3, atol=1e-3)
    assert torch.equal(net.norm.weight, state["bn0.weight"])
    assert not torch.equal(net.norm.running_mean, state["bn0.running_mean"])


def test_it_also_fills_a_query_network_of_its_own(state):
    conversion = convert_htsat(state)
    given = {
        k.removeprefix("extractor.network."): v for k, v in conversion.weights.items()
    }
    result = network(shared=False).query_net.load_state_dict(given, strict=False)
    assert not result.unexpected_keys
    # PyTorch itself supplies BatchNorm's counter where weights carry no version.
    kept = {key for key, _ in conversion.kept} - {"norm.num_batches_tracked"}
    assert set(result.missing_keys) == kept


def test_the_account_names_every_weight_once(state, checkpoint, tmp_path, capsys):
    main([checkpoint(), str(tmp_path / "out.pth")])
    text = capsys.readouterr().out
    copied, rest = text.split("Not copied:\n")
    left_out, rest = rest.split("Kept at their initial values:\n")
    for key in state:
        where = copied if f"  sed_model.{key} -> " in copied else left_out
        assert where.count(f"  sed_model.{key}{' ->' if where is copied else ':'}") == 1
    assert "sed_model.head.weight: a layer that the tags never pass" in left_out
    assert "extractor.network.split.weight: the band split has no" in rest
    for key, value in SIZES.items():
        assert f"  {key}: {value}\n" in rest


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda s: s.pop("tscam_conv.weight"), "has nothing for head.conv.weight"),
        (lambda s: s.pop("bn0.weight"), "lacks sed_model.bn0.weight"),
        (lambda s: s.pop("norm.bias"), "has nothing for encoder.norm.bias"),
        (lambda s: s.update(fusion=torch.zeros(2)), "fusion is no weight of HTS-AT"),
        (
            lambda s: s.update({"norm.bias": torch.zeros(9)}),
            "encoder.norm.bias has shape (9,), not (64,)",
        ),
        (
            lambda s: s.update({"patch_embed.proj.weight": torch.zeros(8, 3, 4, 4)}),
            "has shape (8, 3, 4, 4), not (8, 1, 4, 4)",
        ),
        (
            lambda s: s.update({"layers.2.downsample.norm.bias": torch.zeros(64)}),
            "encoder.merges.2.norm.bias has shape (64,), not (128,)",
        ),
    ],
)
def test_weights_of_another_network_are_refused(
    state, checkpoint, tmp_path, capsys, change, reason
):
    change(state)
    out = tmp_path / "out.pth"
    with pytest.raises(SystemExit) as end:
        main([checkpoint(state), str(out)])
    error = capsys.readouterr().err
    assert end.value.code == 2 and reason in error and error.count("\n") == 1
    assert not out.exists()


def test_bad_files_are_one_line(checkpoint, tmp_path, capsys):
    (tmp_path / "text.ckpt").write_text("no weights")
    torch.save({"state_dict": {"model.x": torch.zeros(1)}}, tmp_path / "other.ckpt")
    torch.save(torch.zeros(3), tmp_path / "tensor.ckpt")
    (tmp_path / "there.pth").write_text("mine")
    for name, output, reason in (
        ("none.ckpt", "out.pth", "no such file"),
        ("text.ckpt", "out.pth", "cannot be read as weights"),
        ("other.ckpt", "out.pth", "no 'state_dict' with weights named sed_model.*"),
        ("tensor.ckpt", "out.pth", "no 'state_dict' with weights named sed_model.*"),
        (checkpoint(), "there.pth", "exists; choose another name"),
        (checkpoint(), "none/out.pth", "no such folder"),
    ):
        with pytest.raises(SystemExit) as end:
            main([str(tmp_path / name), str(tmp_path / output)])
        error = capsys.readouterr().err
        assert end.value.code == 2 and reason in error and error.count("\n") == 1
    assert (tmp_path / "there.pth").read_text() == "mine"


def test_the_real_command(checkpoint, tmp_path):
    command = [sys.executable, "-m", "espnet2_caresep.bin.convert_htsat"]
    done = subprocess.run(
        [*command, checkpoint(), str(tmp_path / "out.pth")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Wrote " in done.stdout and (tmp_path / "out.pth").exists()
