"""CNN14 of PANNs [22], the query network of PANN-SEP [25].

power -> log-mel -> BatchNorm -> 6 x (2 convolutions, average) -> mean over
frequency -> max + mean over time -> hidden layer: the embedding -> class logits
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import Anchor, AnchorEncoder, normalise_rows
from .query import FLOOR
from .query_layout import QueryLayout

TOKEN_FRAMES = 32  # STFT frames of an output frame: five halvings
QUERIES = ("embedding", "probabilities")


class CNN14(AnchorEncoder):
    """CNN14 as its authors describe it; the query is its embedding or its tags.

    Only frames that hold audio are pooled. The level of its input is normalised, as
    in all systems here.

    Args:
        sample_rate: Sampling rate of all audio in Hz.
        n_fft: STFT window in samples.
        hop_length: STFT hop in samples.
        segment_frames: STFT frames of a segment, T.
        num_classes: Classes, C.
        query: "embedding" is the hidden layer's output (2048-d PANN-SEP),
            "probabilities" those of the classes (527-d PANN-SEP).
        channels: Channels of the first block, doubled at each of the next five; the
            last gives the length of the embedding.
        num_mels: Mel bands between 50 Hz and 14 kHz (Nyquist at lower rates).
        dropout: Probability after each block; two and a half times as much, up to
            0.5, before the hidden layer.

    Raises:
        ValueError: If an option has no meaning, or a segment is no whole number of
            output frames.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 32000,
        n_fft: int = 1024,
        hop_length: int = 320,
        segment_frames: int = 1024,
        num_classes: int = 527,
        query: str = "embedding",
        channels: int = 64,
        num_mels: int = 64,
        dropout: float = 0.2,
    ):
        if query not in QUERIES:
            raise ValueError(f"query must be one of {QUERIES}, not {query!r}")
        if segment_frames % TOKEN_FRAMES:
            raise ValueError(
                f"segment_frames must be a multiple of {TOKEN_FRAMES}, "
                f"not {segment_frames}"
            )
        if num_mels % TOKEN_FRAMES:
            raise ValueError(
                f"num_mels must be a multiple of {TOKEN_FRAMES}, not {num_mels}"
            )
        super().__init__(
            sample_rate=sample_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            segment_frames=segment_frames,
            num_classes=num_classes,
        )
        filters = mel_filters(self.stft.num_bins, num_mels, sample_rate)
        self.register_buffer("filters", filters, persistent=False)
        self.norm = nn.BatchNorm1d(num_mels)
        widths = [channels * 2**i for i in range(6)]
        self.blocks = nn.ModuleList(
            conv_block(before, width) for before, width in zip([1, *widths], widths)
        )
        self.hidden = nn.Linear(widths[-1], widths[-1])
        self.classes = nn.Linear(widths[-1], num_classes)
        self.dropout = dropout
        self.query = query
        self.layout = QueryLayout(widths[-1] if query == "embedding" else num_classes)

    def encode_anchor_spectrum(self, spectrum: Tensor, frames: Tensor) -> Anchor:
        """Like :meth:`encode_anchor`, on spectra (B, T, F) with (B,) valid frames."""
        power, valid, _ = self._level(spectrum, frames)
        x = self._augment(self._image(power, valid), valid)[:, None]
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i < 5:
                x = F.avg_pool2d(x, 2)
            x = F.dropout(x, self.dropout, self.training)
        x = x.mean(3).transpose(1, 2).float()  # (B, t, channels)
        held = valid[:, ::TOKEN_FRAMES, None]  # output frames that hold audio
        mean = (x * held).sum(1) / held.sum(1)
        embedding = self._embed(x.masked_fill(~held, -math.inf).amax(1) + mean)
        clip_logits = self.classes(embedding).float()
        frame_logits = self.classes(self._embed(x)).float()
        query = embedding if self.query == "embedding" else clip_logits.sigmoid()
        return Anchor(query.float(), clip_logits, frame_logits)

    def _image(self, power: Tensor, valid: Tensor) -> Tensor:
        """Power -> normalised log-mel (B, T, K), zero where there is no audio."""
        with torch.autocast(power.device.type, enabled=False):
            mel = torch.log(power @ self.filters + FLOOR)
            return normalise_rows(self.norm, mel, valid)

    def _embed(self, pooled: Tensor) -> Tensor:
        pooled = F.dropout(pooled, min(0.5, 2.5 * self.dropout), self.training)
        return F.relu(self.hidden(pooled))


def conv_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3 x 3 convolutions with BatchNorm and ReLU."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def mel_filters(
    num_bins: int,
    num_mels: int,
    sample_rate: int,
    low: float = 50.0,
    high: float = 14000.0,
) -> Tensor:
    """Triangular filters of equal area, evenly spaced on Slaney's mel scale.

    The scale is linear up to 1 kHz (15 mel) and logarithmic above (27 mel for a factor
    of 6.4). [22] takes these filters from librosa.

    Args:
        num_bins: Bins of the one-sided spectrum, F.
        num_mels: Filters, K.
        sample_rate: Sampling rate in Hz.
        low: Lower edge of the first filter in Hz.
        high: Upper edge of the last one; Nyquist where that is lower.

    Returns:
        (F, K) float32.
    """
    step = math.log(6.4) / 27

    def mel(hertz: float) -> float:
        return hertz * 0.015 if hertz < 1000 else 15 + math.log(hertz / 1000) / step

    points = torch.linspace(
        mel(low), mel(min(high, sample_rate / 2)), num_mels + 2, dtype=torch.float64
    )
    hertz = torch.where(
        points < 15, points / 0.015, 1000 * torch.exp(step * (points - 15))
    )
    bins = torch.linspace(0, sample_rate / 2, num_bins, dtype=torch.float64)[:, None]
    left, centre, right = hertz[:-2], hertz[1:-1], hertz[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * 2 / (right - left)).float()
