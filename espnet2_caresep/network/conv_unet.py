"""Convolutional U-Net that a query steers: the separator of [4] and [25].

    image -> levels x (2 convolutions, keep for skip, 2 x 2 average) -> 2 convolutions
          -> levels x (up-convolution, skip, 2 convolutions) -> 2 convolutions -> 1 x 1

Each convolution is 3 x 3 with BatchNorm and ReLU, and the query then adds a bias to
every channel.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class QueryConv(nn.Module):
    """Convolution, BatchNorm and ReLU, then a bias per channel from the query.

    Args:
        conv: The convolution; without a bias of its own.
        query_dim: Length of the query embedding, Q.
    """

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, query_dim: int):
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels)
        self.query = nn.Linear(query_dim, conv.out_channels)
        nn.init.xavier_uniform_(self.query.weight)
        nn.init.zeros_(self.query.bias)

    def forward(self, x: Tensor, query: Tensor) -> Tensor:
        """Maps (B, C, H, W), query (B, Q) -> (B, C', H', W')."""
        x = F.relu(self.norm(self.conv(x)), inplace=True)
        return x + self.query(query)[:, :, None, None]


class QueryConvBlock(nn.Module):
    """Two 3 x 3 convolutions.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of both outputs.
        query_dim: Length of the query embedding.
    """

    def __init__(self, in_channels: int, out_channels: int, query_dim: int):
        super().__init__()
        self.convs = nn.ModuleList(
            QueryConv(nn.Conv2d(c, out_channels, 3, padding=1, bias=False), query_dim)
            for c in (in_channels, out_channels)
        )

    def forward(self, x: Tensor, query: Tensor) -> Tensor:
        """Maps (B, C, H, W), query (B, Q) -> (B, C', H, W)."""
        for conv in self.convs:
            x = conv(x, query)
        return x


class Up(nn.Module):
    """Doubles a map, joins the encoder's map of that size, and convolves.

    Args:
        channels: Channels of the output and of the skip; the input has twice as many.
        query_dim: Length of the query embedding.
    """

    def __init__(self, channels: int, query_dim: int):
        super().__init__()
        up = nn.ConvTranspose2d(
            2 * channels, channels, 3, 2, padding=1, output_padding=1, bias=False
        )
        self.up = QueryConv(up, query_dim)
        self.block = QueryConvBlock(2 * channels, channels, query_dim)

    def forward(self, x: Tensor, skip: Tensor, query: Tensor) -> Tensor:
        """Maps (B, 2C, H, W), skip (B, C, 2H, 2W), query (B, Q) -> (B, C, 2H, 2W)."""
        return self.block(torch.cat([self.up(x, query), skip], 1), query)


class ConvUNet(nn.Module):
    """The U-Net of [4]: an image and a query give an image of logits.

    Args:
        query_dim: Length of the query embedding, Q.
        channels: Channels of the first level, doubled at every next one.
        levels: Levels of the encoder and of the decoder.
        in_channels: Channels of the image, C.
    """

    def __init__(
        self, query_dim: int, channels: int = 32, levels: int = 6, in_channels: int = 1
    ):
        super().__init__()
        widths = [channels * 2**i for i in range(levels)]
        self.encoder = nn.ModuleList(
            QueryConvBlock(before, width, query_dim)
            for before, width in zip([in_channels, *widths], widths)
        )
        self.bottleneck = QueryConvBlock(widths[-1], 2 * widths[-1], query_dim)
        self.decoder = nn.ModuleList(Up(width, query_dim) for width in widths[::-1])
        self.after = QueryConvBlock(channels, channels, query_dim)
        self.final = nn.Conv2d(channels, 1, 1)

    def forward(self, image: Tensor, query: Tensor) -> Tensor:
        """Image (B, C, H, W) of any size, query (B, Q) -> logits (B, H, W)."""
        height, width = image.shape[2:]
        x, skips = self.encode(image, query)
        for up, skip in zip(self.decoder, reversed(skips)):
            x = up(x, skip, query)
        x = self.final(self.after(x, query))
        return x[:, 0, :height, :width]

    def encode(self, image: Tensor, query: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Down to the bottom: image, query -> maps (B, C, h, w), and the skips.

        A place of the maps stands for 2 ** levels x 2 ** levels pixels.
        """
        height, width = image.shape[2:]
        unit = 2 ** len(self.encoder)
        x = F.pad(image, (0, -width % unit, 0, -height % unit))
        skips = []
        for block in self.encoder:
            x = block(x, query)
            skips.append(x)
            x = F.avg_pool2d(x, 2)
        return self.bottleneck(x, query), skips
