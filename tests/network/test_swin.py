"""Against timm's Swin Transformer, an independent implementation, with its weights."""

import pytest
import torch
from timm.models import swin_transformer as timm_swin

from espnet2_caresep.network.patches import PatchExpand, PatchMerge
from espnet2_caresep.network.swin import SwinBlock, SwinGroup, WindowAttention, Windows

WINDOW = 4
SIZE = (8, 16)
DIM = 24
HEADS = 3


def _copy_block(ours: SwinBlock, theirs: timm_swin.SwinTransformerBlock) -> None:
    _copy_attention(ours.attn, theirs.attn)
    for name in ("norm1", "norm2"):
        getattr(ours, name).load_state_dict(getattr(theirs, name).state_dict())
    ours.mlp[0].load_state_dict(theirs.mlp.fc1.state_dict())
    ours.mlp[2].load_state_dict(theirs.mlp.fc2.state_dict())


def _copy_attention(ours: WindowAttention, theirs: timm_swin.WindowAttention) -> None:
    ours.qkv.load_state_dict(theirs.qkv.state_dict())
    ours.proj.load_state_dict(theirs.proj.state_dict())
    with torch.no_grad():
        theirs.relative_position_bias_table.normal_()
        ours.position_bias.copy_(theirs.relative_position_bias_table)


@pytest.mark.parametrize("train", [False, True], ids=["fused", "explicit"])
def test_window_attention_equals_timm(train):
    torch.manual_seed(0)
    theirs = timm_swin.WindowAttention(DIM, HEADS, window_size=WINDOW)
    ours = WindowAttention(DIM, HEADS, WINDOW)
    _copy_attention(ours, theirs)
    x = torch.randn(2, 5, WINDOW**2, DIM)
    with torch.set_grad_enabled(train):
        difference = ours(x) - theirs(x.flatten(0, 1)).view_as(x)
    assert difference.abs().max() < 1e-5


@pytest.mark.parametrize("train", [False, True], ids=["fused", "explicit"])
@pytest.mark.parametrize("shift", [0, WINDOW // 2])
def test_block_with_shifted_windows_equals_timm(shift, train):
    torch.manual_seed(0)
    theirs = timm_swin.SwinTransformerBlock(
        DIM, SIZE, num_heads=HEADS, window_size=WINDOW, shift_size=shift
    )
    ours = SwinBlock(DIM, HEADS, WINDOW)
    _copy_block(ours, theirs)
    x = torch.randn(2, *SIZE, DIM)
    with torch.set_grad_enabled(train):
        got = ours(x.flatten(1, 2), Windows(SIZE, WINDOW, shift)).view_as(x)
        difference = got - theirs(x)
    assert difference.abs().max() < 1e-5


def test_gradients_equal_timm():
    torch.manual_seed(0)
    theirs = timm_swin.SwinTransformerBlock(
        DIM, SIZE, num_heads=HEADS, window_size=WINDOW, shift_size=2
    )
    ours = SwinBlock(DIM, HEADS, WINDOW)
    _copy_block(ours, theirs)
    x = torch.randn(2, *SIZE, DIM, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    ours(x.flatten(1, 2), Windows(SIZE, WINDOW, 2)).square().sum().backward()
    theirs(y).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        ours.attn.position_bias.grad,
        theirs.attn.relative_position_bias_table.grad,
        rtol=1e-4,
        atol=1e-4,
    )


def test_patch_merging_equals_timm():
    torch.manual_seed(0)
    theirs = timm_swin.PatchMerging(DIM)
    ours = PatchMerge(DIM, SIZE)
    torch.nn.init.normal_(theirs.norm.weight)
    ours.norm.load_state_dict(theirs.norm.state_dict())
    ours.reduction.load_state_dict(theirs.reduction.state_dict())
    x = torch.randn(2, *SIZE, DIM)
    difference = ours(x.flatten(1, 2)) - theirs(x).flatten(1, 2)
    assert difference.abs().max() < 1e-5


def test_windows_join_undoes_split():
    x = torch.randn(2, SIZE[0] * SIZE[1], DIM)
    windows = Windows(SIZE, WINDOW, 2)
    assert torch.equal(windows.join(windows.split(x)), x)


def test_patch_expand_puts_channels_next_to_their_token():
    expand = PatchExpand(4, 1, (2, 3), scale=2)
    torch.nn.init.eye_(expand.expand.weight)
    expand.norm = torch.nn.Identity()
    x = torch.arange(24.0).view(1, 6, 4)
    image = expand(x).view(4, 6)
    for row in range(2):
        for column in range(3):
            patch = image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.equal(patch.flatten(), x[0, 3 * row + column])


def test_stochastic_depth_keeps_the_mean():
    torch.manual_seed(0)
    block = SwinBlock(8, 2, 2, drop_path=0.5).train()
    branch = block._drop(torch.ones(20000, 1, 1))
    assert set(branch.unique().tolist()) == {0.0, 2.0}
    assert branch.mean() == pytest.approx(1, abs=0.05)
    assert torch.equal(block.eval()._drop(branch), branch)


def test_windows_that_do_not_tile_are_refused():
    with pytest.raises(ValueError, match="do not tile a map of"):
        SwinGroup(8, (6, 8), 2, 4, [0.0])
    with pytest.raises(ValueError, match="heads must divide the channels 8"):
        WindowAttention(8, 3, 2)
