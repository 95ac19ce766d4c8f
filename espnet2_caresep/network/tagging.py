"""Token-semantic head (paper section 2.3; [15] section 2.3)."""

from torch import Tensor, nn


class TokenSemanticHead(nn.Module):
    """Final tokens -> class logits of each token frame and of the clip.

    A convolution takes all frequency rows of three neighbouring token frames to one
    logit per class; the clip's logit is the mean over its valid frames.

    Args:
        dim: Channels of a token, 8D.
        rows: Tokens along frequency.
        num_classes: Classes, C.
        dropout: Dropout of channels, the same ones in all tokens of a clip.
    """

    def __init__(self, dim: int, rows: int, num_classes: int, dropout: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.conv = nn.Conv2d(dim, num_classes, (rows, 3), padding=(0, 1))

    def forward(self, tokens: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, t, k, 8D), valid (B, t) bool -> logits (B, C) and (B, t, C)."""
        tokens = (tokens * valid[..., None, None]).permute(0, 3, 2, 1)
        frames = self.conv(self.dropout(tokens)).squeeze(2).transpose(1, 2)
        frames = frames.float()
        weight = valid[..., None].to(frames.dtype)
        return (frames * weight).sum(1) / weight.sum(1).clamp(min=1), frames
