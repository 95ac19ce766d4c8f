"""Swin Transformer parts (paper sections 2.2 and 2.4; references [17], [15], [14]).

Feature maps are channels-last: (B, H, W, C), H along time and W along frequency.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Reorder(torch.autograd.Function):
    """Permutation of tokens whose gradient is the inverse permutation.

    Autograd's own gradient of an index is a scatter-add, which is several times
    slower than a second gather.
    """

    @staticmethod
    def forward(ctx, tokens: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return tokens.index_select(1, order)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        order, inverse = ctx.saved_tensors
        return _Reorder.apply(gradient, inverse, order), None, None


class Windows(nn.Module):
    """Cyclic shift and window partition of an H x W map as one permutation.

    Args:
        size: (H, W) of the map in tokens, multiples of ``window``.
        window: Side of the square windows in tokens.
        shift: Cyclic shift in tokens; 0 for none.
    """

    def __init__(self, size: tuple[int, int], window: int, shift: int):
        super().__init__()
        self.tokens_per_window = window**2
        height, width = size
        index = torch.arange(height * width).view(height, width)
        index = self._split(index.roll((-shift, -shift), (0, 1)), window)
        order = index.flatten()
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("inverse", order.argsort(), persistent=False)
        # After the shift a window may hold tokens from opposite borders of the map;
        # they must not see each other.
        region = torch.zeros(height, width, dtype=torch.long)
        for axis in (0, 1) if shift else ():
            edge = torch.zeros(size[axis], dtype=torch.long)
            edge[-window:-shift] = 1
            edge[-shift:] = 2
            region = region * 3 + (edge[:, None] if axis == 0 else edge[None])
        region = self._split(region, window)
        apart = region[:, None, :] != region[:, :, None]
        mask = torch.zeros(apart.shape).masked_fill(apart, -torch.inf)
        self.register_buffer("mask", mask if shift else None, persistent=False)

    @staticmethod
    def _split(grid: Tensor, window: int) -> Tensor:
        height, width = grid.shape
        grid = grid.view(height // window, window, width // window, window)
        return grid.transpose(1, 2).reshape(-1, window**2)

    def split(self, x: Tensor) -> Tensor:
        """Map (B, H * W, C) -> windows (B, windows, tokens, C)."""
        x = _Reorder.apply(x, self.order, self.inverse)
        return x.view(x.shape[0], -1, self.tokens_per_window, x.shape[-1])

    def join(self, x: Tensor) -> Tensor:
        """Inverse of :meth:`split`."""
        return _Reorder.apply(x.flatten(1, 2), self.inverse, self.order)


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, relative position bias ([17] eq. 4).

    Args:
        dim: Channels.
        heads: Attention heads; divides ``dim``.
        window: Side of the window in tokens.
    """

    def __init__(self, dim: int, heads: int, window: int):
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads must divide the channels {dim}, not {heads}")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.position_bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        place = torch.stack(
            torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        ).flatten(1)
        delta = place[:, :, None] - place[:, None] + window - 1
        index = delta[0] * (2 * window - 1) + delta[1]
        self.register_buffer("position", index.flatten(), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Windows (B, W, L, C), mask (W, L, L) added to the scores -> (B, W, L, C)."""
        batch, windows, length, dim = x.shape
        qkv = self.qkv(x).view(batch, windows, length, 3, self.heads, -1)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5)
        bias = self.position_bias[self.position].view(length, length, self.heads)
        bias = bias.permute(2, 0, 1)
        if mask is not None:
            bias = bias + mask[:, None]
        x = self._attend(q, k, v, bias.to(q.dtype))
        return self.proj(x.transpose(2, 3).reshape(batch, windows, length, dim))

    @staticmethod
    def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """q, k, v (B, W, heads, L, d); bias (heads, L, L) or (W, heads, L, L)."""
        if bias.requires_grad:
            # The fused kernel's gradient of a trainable bias is slower than this.
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias
            return scores.softmax(-1) @ v
        # The fused kernel takes two leading dimensions: whichever the bias lacks joins
        # the batch, whichever it has joins the heads.
        lead = (0, 1) if bias.dim() == 3 else (1, 2)
        flat = (t.flatten(*lead) for t in (q, k, v))
        x = F.scaled_dot_product_attention(
            *flat, attn_mask=bias.reshape(1, -1, *bias.shape[-2:])
        )
        return x.reshape(q.shape)


class SwinBlock(nn.Module):
    """Pre-norm Swin Transformer block ([17] eq. 3) with stochastic depth.

    Args:
        dim: Channels.
        heads: Attention heads.
        window: Side of the window in tokens.
        mlp_ratio: Hidden channels of the MLP over ``dim``.
        drop_path: Probability that a branch is skipped for an item in training.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        window: int,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim)
        )
        self.drop_path = drop_path

    def forward(self, x: Tensor, windows: Windows) -> Tensor:
        """Tokens (B, H * W, C) -> (B, H * W, C)."""
        attended = self.attn(windows.split(self.norm1(x)), windows.mask)
        x = x + self._drop(windows.join(attended))
        return x + self._drop(self.mlp(self.norm2(x)))

    def _drop(self, branch: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0:
            return branch
        keep = 1 - self.drop_path
        kept = torch.rand(branch.shape[0], 1, 1, device=branch.device) < keep
        return branch * (kept / keep).to(branch.dtype)


class SwinGroup(nn.Module):
    """Swin blocks at one resolution, every second one with shifted windows.

    Args:
        dim: Channels.
        size: (H, W) of the map in tokens.
        heads: Attention heads.
        window: Side of the window in tokens; shrunk to the map where that is smaller.
        drop_paths: Stochastic-depth probability of each block; its length is the
            number of blocks.
        mlp_ratio: Hidden channels of the MLPs over ``dim``.

    Raises:
        ValueError: If windows do not tile the map.
    """

    def __init__(
        self,
        dim: int,
        size: tuple[int, int],
        heads: int,
        window: int,
        drop_paths: list[float],
        mlp_ratio: float = 4.0,
    ):
        super().__init__()
        window = min(window, *size)
        if size[0] % window or size[1] % window:
            raise ValueError(
                f"windows of {window} x {window} tokens do not tile a map of {size}; "
                "choose another window or segment_frames"
            )
        # One window that covers the map has nothing to shift.
        shift = 0 if window == min(size) else window // 2
        self.plain = Windows(size, window, 0)
        self.shifted = Windows(size, window, shift) if shift else self.plain
        self.blocks = nn.ModuleList(
            SwinBlock(dim, heads, window, mlp_ratio, p) for p in drop_paths
        )

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, H * W, C) -> (B, H * W, C)."""
        for i, block in enumerate(self.blocks):
            x = block(x, self.shifted if i % 2 else self.plain)
        return x
