"""Patch embedding, merging and expanding (paper sections 2.2 and 2.4).

Tokens are (B, H * W, C), row after row. Merging is [17]'s, expanding [14]'s.
"""

import torch
from torch import Tensor, nn


class PatchEmbed(nn.Module):
    """Image -> tokens by a strided convolution and LayerNorm.

    Args:
        in_channels: Channels of the image.
        dim: Channels of a token, D.
        patch: Side of a patch in pixels.
    """

    def __init__(self, in_channels: int, dim: int, patch: int = 4):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, patch, patch)
        self.norm = nn.LayerNorm(dim)

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, C, H, W) -> tokens (B, H / patch * W / patch, D)."""
        return self.norm(self.proj(image).flatten(2).transpose(1, 2))


def _to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    return tokens.view(tokens.shape[0], *size, tokens.shape[-1])


class PatchMerge(nn.Module):
    """2 x 2 neighbours -> one token of twice the channels ([17] section 3.1).

    Args:
        dim: Channels of the input.
        size: (H, W) of the input in tokens.
    """

    def __init__(self, dim: int, size: tuple[int, int]):
        super().__init__()
        self.size = size
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, H * W, C) -> (B, H * W / 4, 2C)."""
        x = _to_map(x, self.size)
        parts = [x[:, i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))]
        return self.reduction(self.norm(torch.cat(parts, -1).flatten(1, 2)))


class PatchExpand(nn.Module):
    """One token -> ``scale`` x ``scale`` tokens of ``out_dim`` channels ([14] 3.5).

    Args:
        dim: Channels of the input.
        out_dim: Channels of the output.
        size: (H, W) of the input in tokens.
        scale: Up-sampling factor of each side.
    """

    def __init__(self, dim: int, out_dim: int, size: tuple[int, int], scale: int = 2):
        super().__init__()
        self.size = size
        self.scale = scale
        self.expand = nn.Linear(dim, scale**2 * out_dim, bias=False)
        self.norm = nn.LayerNorm(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, H * W, C) -> (B, scale^2 * H * W, C_out)."""
        batch, (height, width), s = x.shape[0], self.size, self.scale
        x = self.expand(x).view(batch, height, width, s, s, -1)
        return self.norm(x.transpose(2, 3).reshape(batch, height * width * s * s, -1))
