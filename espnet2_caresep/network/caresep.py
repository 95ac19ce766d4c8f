"""CaRE-SEP: one network that embeds a query, tags a clip and separates a mixture."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .band_split import BandMerge, BandSplit
from .query import FLOOR, QuerySpectrum, mean_log_power
from .stft import STFT
from .swin_unet import TOKEN_FRAMES, Decoder, Encoder, Fold, square_pieces
from .tagging import TokenSemanticHead


class Anchor(NamedTuple):
    """What the network says of a query clip in one pass of the shared encoder."""

    query: Tensor  # (B, query_dim)
    clip_logits: Tensor  # (B, classes)
    frame_logits: Tensor  # (B, token frames, classes)


class CaRESep(nn.Module):
    """Swin-UNet with a shared encoder (paper figures 1 and 2).

    The level of every input is normalised inside, so ``embed`` and ``tag`` do not
    depend on it and ``separate`` scales with the mixture. Inputs are padded to one
    segment; padding never changes a result.

    Args:
        sample_rate: Sampling rate of all audio in Hz.
        n_fft: STFT window in samples.
        hop_length: STFT hop in samples.
        num_bands: Mel-scale bands, K.
        band_channels: Features per band that the encoder sees.
        segment_frames: STFT frames of a segment, T.
        pieces: Pieces of time into which a segment is folded; by default as many as
            make the image square, as in [15].
        embed_dim: Channels of the first group, D; the pooled embedding has 8D.
        depths: Blocks of the encoder's three groups and of the connector.
        decoder_depths: Blocks of the decoder's groups, coarsest first.
        heads: Attention heads of the encoder's groups and of the connector.
        window: Side of the attention windows in tokens.
        mask_dim: Channels per band and frame from which the mask is read; default D.
        drop_path: Stochastic-depth probability of the encoder's last block.
        query_spectrum: The query carries its mean spectrum beside its embedding.
        num_classes: Classes of the tagging head, C.

    Raises:
        ValueError: If sizes do not fit together; the message says which.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 32000,
        n_fft: int = 1024,
        hop_length: int = 320,
        num_bands: int = 64,
        band_channels: int = 1,
        segment_frames: int = 1024,
        pieces: int | None = None,
        embed_dim: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        decoder_depths: tuple[int, ...] = (6, 2, 2),
        heads: tuple[int, ...] = (4, 8, 16, 32),
        window: int = 8,
        mask_dim: int | None = None,
        drop_path: float = 0.1,
        query_spectrum: bool = False,
        num_classes: int = 527,
    ):
        super().__init__()
        for name, value, count in (
            ("depths", depths, 4),
            ("heads", heads, 4),
            ("decoder_depths", decoder_depths, 3),
        ):
            if len(value) != count or min(value) < 1:
                raise ValueError(f"{name} needs {count} positive numbers, not {value}")
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.num_classes = num_classes
        self.segment_frames = segment_frames
        self.segment_samples = (segment_frames - 1) * hop_length
        self.pooled_dim = 8 * embed_dim
        mask_dim = mask_dim or embed_dim
        pieces = pieces or square_pieces(segment_frames, num_bands)

        self.stft = STFT(n_fft, hop_length)
        bins = self.stft.num_bins
        self.query_dim = self.pooled_dim + (bins if query_spectrum else 0)
        self.split = BandSplit(bins, num_bands, sample_rate, band_channels)
        self.norm = nn.BatchNorm1d(num_bands * band_channels)
        self.fold = Fold(segment_frames, num_bands, pieces)
        self.encoder = Encoder(
            band_channels,
            QuerySpectrum.hint_channels if query_spectrum else 0,
            self.fold.size,
            embed_dim,
            depths,
            heads,
            window,
            self.pooled_dim,
            drop_path,
        )
        self.head = TokenSemanticHead(
            self.pooled_dim, num_bands // TOKEN_FRAMES, num_classes
        )
        self.decoder = Decoder(
            self.fold.size,
            embed_dim,
            mask_dim,
            decoder_depths,
            heads,
            window,
            self.pooled_dim,
        )
        self.merge = BandMerge(bins, num_bands, sample_rate, mask_dim)
        self.spectrum = (
            QuerySpectrum(bins, num_bands, sample_rate) if query_spectrum else None
        )

    # Waveforms in, results out ----------------------------------------------------

    def embed(self, audio: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Query embedding of clips of any length.

        A clip longer than a segment is cut into segments whose embeddings are
        averaged, each weighted by the audio that it holds.

        Args:
            audio: (B, N) float.
            lengths: (B,) samples that count; all by default.

        Returns:
            (B, query_dim) float32.
        """
        lengths = _lengths(audio, lengths)
        count = max(1, -(-audio.shape[1] // self.segment_samples))
        padded = F.pad(audio, (0, count * self.segment_samples - audio.shape[1]))
        offset = torch.arange(count, device=audio.device) * self.segment_samples
        left = (lengths[:, None] - offset).clamp(0, self.segment_samples)
        left[:, 0] = left[:, 0].clamp(min=1)
        segments = padded.view(audio.shape[0], count, -1)
        held = left > 0
        query = audio.new_zeros(*held.shape, self.query_dim, dtype=torch.float32)
        query[held] = self.encode_anchor(segments[held], left[held]).query
        return (query * left[..., None]).sum(1) / left.sum(1, keepdim=True)

    def tag(
        self, audio: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Class logits of clips (paper section 2.3).

        Args:
            audio: (B, N) float, at most a segment.
            lengths: (B,) samples that count; all by default.

        Returns:
            Clip logits (B, C) and logits (B, t, C) of token frames, each of which is
            32 STFT frames long.
        """
        anchor = self.encode_anchor(audio, lengths)
        return anchor.clip_logits, anchor.frame_logits

    def encode_anchor(self, audio: Tensor, lengths: Tensor | None = None) -> Anchor:
        """Embedding and tags of clips (B, N) of at most a segment, in one pass."""
        return self.encode_anchor_spectrum(*self._analyse(audio, lengths))

    def separate(
        self, mixture: Tensor, query: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """The sound in the mixture that the query points at (paper equation 1).

        Args:
            mixture: (B, N) float, at most a segment.
            query: (B, query_dim) from :meth:`embed`.
            lengths: (B,) samples that count; all by default.

        Returns:
            (B, N) float32, zero beyond ``lengths``.
        """
        lengths = _lengths(mixture, lengths)
        spectrum, frames = self._analyse(mixture, lengths)
        target = self.separate_spectrum(spectrum, query, frames)
        target = self.stft.inverse(target, mixture.shape[1])
        return target * _valid(mixture.shape[1], lengths)

    def _analyse(self, audio: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Waveforms of at most a segment -> spectrum of a segment and its frames."""
        if audio.shape[1] > self.segment_samples:
            raise ValueError(
                f"{audio.shape[1]} samples are more than a segment of "
                f"{self.segment_samples}; cut the audio or use overlap-add"
            )
        lengths = _lengths(audio, lengths)
        audio = audio * _valid(audio.shape[1], lengths)
        audio = F.pad(audio, (0, self.segment_samples - audio.shape[1]))
        return self.stft(audio), self.stft.frames(lengths)

    # Spectra in, results out ------------------------------------------------------

    def embed_spectrum(self, spectrum: Tensor, frames: Tensor) -> Tensor:
        """Spectra (B, T, F) of at most a segment, (B,) frames -> (B, query_dim)."""
        return self.encode_anchor_spectrum(spectrum, frames).query

    def encode_anchor_spectrum(self, spectrum: Tensor, frames: Tensor) -> Anchor:
        """Like :meth:`encode_anchor`, on spectra (B, T, F) with (B,) valid frames."""
        power, valid = self._power(spectrum, frames)
        flat, _ = self.encoder(self._image(power, valid))
        tokens = self.fold.unfold(flat, TOKEN_FRAMES)
        held = valid[:, ::TOKEN_FRAMES]  # token frames that hold audio
        weight = held[..., None].float()
        query = (tokens.float().mean(2) * weight).sum(1) / weight.sum(1)
        if self.spectrum is not None:
            query = torch.cat([query, mean_log_power(power, frames)], -1)
        return Anchor(query, *self.head(tokens, held))

    def separate_spectrum(
        self, spectrum: Tensor, query: Tensor, frames: Tensor
    ) -> Tensor:
        """Mixture spectra (B, T, F), query (B, query_dim) -> target spectra."""
        return spectrum * self.mask(spectrum, query, frames)[:, : spectrum.shape[1]]

    def mask(self, spectrum: Tensor, query: Tensor, frames: Tensor) -> Tensor:
        """Sigmoid mask (B, segment_frames, F) float32 of all bins, 0 to 1."""
        power, valid = self._power(spectrum, frames)
        pooled, query_log_power = query.split(
            [self.pooled_dim, self.query_dim - self.pooled_dim], -1
        )
        hint = None
        if self.spectrum is not None:
            mean = mean_log_power(power, frames)
            prior, shown = self.spectrum(query_log_power, mean, self.merge)
            hint = self.fold(shown[:, None] * valid[..., None, None])
        x, skips = self.encoder(self._image(power, valid), pooled, hint)
        bands = self.fold.unfold(self.decoder(x, skips, pooled))
        logits = self.merge(bands).float()
        return (logits if hint is None else logits + prior[:, None]).sigmoid()

    def _power(self, spectrum: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Power (B, segment_frames, F) at unit mean, and which frames are valid."""
        missing = self.segment_frames - spectrum.shape[1]
        if missing < 0:
            raise ValueError(
                f"{spectrum.shape[1]} frames are more than a segment of "
                f"{self.segment_frames}; cut the audio or use overlap-add"
            )
        valid = _valid(self.segment_frames, frames)
        power = spectrum.real.square() + spectrum.imag.square()
        power = F.pad(power, (0, 0, 0, missing)) * valid[..., None]
        mean = power.sum((1, 2)) / (frames * power.shape[2])
        return power / mean.clamp(min=1e-10)[:, None, None], valid

    def _image(self, power: Tensor, valid: Tensor) -> Tensor:
        """Power -> normalised band image (B, C, H, W), zero where there is no audio."""
        with torch.autocast(power.device.type, enabled=False):
            bands = self.split(torch.log(power + FLOOR))
            # Statistics of audio alone: padding must not move them in training.
            rows = bands[valid].flatten(1)
            image = torch.zeros_like(bands)
            image[valid] = self.norm(rows).view(-1, *bands.shape[2:])
        return self.fold(image)


def _lengths(audio: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return torch.full(audio.shape[:1], audio.shape[1], device=audio.device)
    return lengths.to(audio.device)


def _valid(size: int, lengths: Tensor) -> Tensor:
    """(B,) lengths -> (B, size) bool."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]
