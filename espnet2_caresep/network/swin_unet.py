"""Swin-UNet with the shared encoder (paper section 2, figures 1 and 2).

    image -> PatchEmbed -> 3 x (Swin group, PatchMerge) -> connector (Swin group)
          -> 3 x (PatchExpand, skip, Swin group) -> final 4 x PatchExpand -> features

The image is the band spectrogram folded as in [15]: its frames are cut into pieces
that are stacked along frequency, so that a long narrow picture becomes a square one.
"""

import torch
from torch import Tensor, nn

from .patches import PatchEmbed, PatchExpand, PatchMerge
from .query import QueryProjection
from .swin import SwinGroup

PATCH = 4
TOKEN_FRAMES = PATCH * 8  # pixels of a final token: patch embedding, three mergings


def square_pieces(frames: int, bands: int) -> int:
    """Pieces of time that fold ``frames`` x ``bands`` into the squarest image."""
    limit = max(1, round((frames / bands) ** 0.5))
    fitting = [p for p in range(1, limit + 1) if frames % (p * TOKEN_FRAMES) == 0]
    return max(fitting, default=1)


class Fold(nn.Module):
    """Band spectrogram <-> square image.

    Args:
        frames: Frames of a segment, T.
        bands: Bands, K.
        pieces: Pieces of time stacked along frequency.

    Raises:
        ValueError: If the pieces do not hold whole final tokens.
    """

    def __init__(self, frames: int, bands: int, pieces: int):
        super().__init__()
        unit = TOKEN_FRAMES
        if frames % (pieces * unit) or bands % unit:
            raise ValueError(
                f"segment_frames must be a multiple of {pieces * unit} and num_bands "
                f"of {unit}, not {frames} and {bands}"
            )
        self.frames, self.bands, self.pieces = frames, bands, pieces
        self.size = (frames // pieces, bands * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, K, C) -> (B, C, T / pieces, K * pieces)."""
        x = x.view(x.shape[0], self.pieces, self.size[0], self.bands, -1)
        return x.permute(0, 4, 2, 1, 3).flatten(3)

    def unfold(self, x: Tensor, scale: int = 1) -> Tensor:
        """Tokens of ``scale`` x ``scale`` pixels (B, h * w, C) -> (B, t, k, C)."""
        height, bands = self.size[0] // scale, self.bands // scale
        x = x.view(x.shape[0], height, self.pieces, bands, x.shape[-1])
        return x.transpose(1, 2).flatten(1, 2)


class Encoder(nn.Module):
    """Shared encoder and the connector's Swin group (paper sections 2.2 and 2.3).

    The same weights see the mixture (with the query added at the input of every
    group) and the query clip (with nothing added).

    Args:
        in_channels: Channels of the image.
        hint_channels: Channels of a picture of the query; 0 for none.
        size: (H, W) of the image in pixels.
        dim: Channels of the first group, D; the connector has 8D.
        depths: Blocks of the three groups and of the connector.
        heads: Attention heads of the four.
        window: Side of the attention windows in tokens.
        query_dim: Length of the query embedding; 0 if none is ever given.
        drop_path: Stochastic-depth probability of the last block; rises from 0.
    """

    def __init__(
        self,
        in_channels: int,
        hint_channels: int,
        size: tuple[int, int],
        dim: int,
        depths: tuple[int, ...],
        heads: tuple[int, ...],
        window: int,
        query_dim: int,
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.embed = PatchEmbed(in_channels, dim, PATCH)
        self.hint = None
        if hint_channels:
            self.hint = nn.Conv2d(hint_channels, dim, PATCH, PATCH, bias=False)
            nn.init.zeros_(self.hint.weight)  # like the query projections
        blocks = sum(depths)
        rates = [drop_path * i / max(1, blocks - 1) for i in range(blocks)]
        rates = [rates[sum(depths[:i]) : sum(depths[: i + 1])] for i in range(4)]
        dims = [dim * 2**i for i in range(4)]
        sizes = [(size[0] // PATCH >> i, size[1] // PATCH >> i) for i in range(4)]
        self.groups = nn.ModuleList(
            SwinGroup(dims[i], sizes[i], heads[i], window, rates[i]) for i in range(4)
        )
        self.merges = nn.ModuleList(PatchMerge(dims[i], sizes[i]) for i in range(3))
        self.queries = nn.ModuleList(
            QueryProjection(query_dim, d) for d in dims if query_dim
        )
        self.norm = nn.LayerNorm(dims[-1])

    def forward(
        self, image: Tensor, query: Tensor | None = None, hint: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Image (B, C, H, W), query (B, Q), hint (B, C', H, W) -> tokens and skips.

        Returns:
            Normalised final tokens (B, H W / 32^2, 8D), and the inputs of the three
            groups, finest first, for the decoder.
        """
        x = self.embed(image)
        if hint is not None:
            x = x + self.hint(hint).flatten(2).transpose(1, 2)
        skips = []
        for i, group in enumerate(self.groups):
            if i < 3:
                skips.append(x)
            if query is not None:
                x = self.queries[i](x, query)
            x = group(x)
            if i < 3:
                x = self.merges[i](x)
        return self.norm(x), skips


class Decoder(nn.Module):
    """Mirror of the encoder (paper section 2.4).

    Args:
        size: (H, W) of the image in pixels.
        dim: Channels of the finest group, D.
        out_dim: Channels of the output.
        depths: Blocks of the three groups, coarsest first.
        heads: Attention heads of the encoder's four groups, finest first.
        window: Side of the attention windows in tokens.
        query_dim: Length of the query embedding.
    """

    def __init__(
        self,
        size: tuple[int, int],
        dim: int,
        out_dim: int,
        depths: tuple[int, ...],
        heads: tuple[int, ...],
        window: int,
        query_dim: int,
    ):
        super().__init__()
        sizes = [(size[0] // PATCH >> i, size[1] // PATCH >> i) for i in range(4)]
        levels = (2, 1, 0)
        dims = [dim * 2**i for i in levels]
        self.expands = nn.ModuleList(
            PatchExpand(2 * d, d, sizes[i + 1]) for i, d in zip(levels, dims)
        )
        self.skips = nn.ModuleList(nn.Linear(2 * d, d) for d in dims)
        self.queries = nn.ModuleList(QueryProjection(query_dim, d) for d in dims)
        self.groups = nn.ModuleList(
            SwinGroup(d, sizes[i], heads[i], window, [0.0] * depth)
            for i, d, depth in zip(levels, dims, depths)
        )
        self.norm = nn.LayerNorm(dim)
        self.final = PatchExpand(dim, out_dim, sizes[0], PATCH)

    def forward(self, x: Tensor, skips: list[Tensor], query: Tensor) -> Tensor:
        """Tokens (B, L, 8D), skips, query (B, Q) -> pixels (B, H * W, C_out)."""
        for i, skip in enumerate(reversed(skips)):
            x = torch.cat([self.expands[i](x), skip], -1)
            x = self.queries[i](self.skips[i](x), query)
            x = self.groups[i](x)
        return self.final(self.norm(x))
