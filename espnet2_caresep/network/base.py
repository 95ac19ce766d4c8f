"""What all systems have in common: waveforms and spectra in, results out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .level import Levelled, at_unit_level
from .query_layout import QueryLayout, mean_query
from .stft import STFT


class Anchor(NamedTuple):
    """What a network says of a query clip in one pass of its encoder."""

    query: Tensor  # (B, query_dim)
    clip_logits: Tensor  # (B, classes)
    frame_logits: Tensor  # (B, token frames, classes)
    features: Tensor | None = None  # (B, D), what a kernel tags from


class AnchorEncoder(nn.Module):
    """A network that embeds and tags clips of any length.

    The level of every input is normalised inside, so results do not depend on it.
    Inputs are padded to one segment; padding never changes a result. A subclass says
    how a spectrum is encoded and sets ``layout``, what the numbers of a query are.
    A training may set ``augment``, a module that changes what the encoder sees of a
    clip: normalised picture (B, T, K, ...) and valid frames (B, T) -> picture.

    Args:
        sample_rate: Sampling rate of all audio in Hz.
        n_fft: STFT window in samples.
        hop_length: STFT hop in samples.
        segment_frames: STFT frames of a segment, T.
        num_classes: Classes, C.
    """

    layout: QueryLayout

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        segment_frames: int,
        num_classes: int,
    ):
        super().__init__()
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.num_classes = num_classes
        self.segment_frames = segment_frames
        self.segment_samples = (segment_frames - 1) * hop_length
        self.stft = STFT(n_fft, hop_length)
        self.augment: nn.Module | None = None
        self.conv_tagger = self.kernel = None  # what tags last, if anything does

    @property
    def query_dim(self) -> int:
        """Length of a query, Q."""
        return self.layout.size

    @property
    def pooled_dim(self) -> int:
        """Numbers of a query that are pooled from an encoder; they come first."""
        return self.layout.pooled

    @property
    def anchor_net(self) -> AnchorEncoder:
        """The network that embeds and tags clips: this one, or one that it holds."""
        return self

    # Waveforms in, results out ----------------------------------------------------

    def embed(self, audio: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Query embedding of clips of any length.

        A clip longer than a segment is cut into segments whose embeddings are
        averaged (:func:`~.query_layout.mean_query`), each weighted by the audio that it holds.

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
        return mean_query(query, left, self.layout)

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

    def _analyse(self, audio: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Waveforms of at most a segment -> spectrum of a segment and its frames."""
        if audio.shape[1] > self.segment_samples:
            raise ValueError(
                f"{audio.shape[1]} samples are more than a segment of "
                f"{self.segment_samples}; cut the audio or use overlap-add"
            )
        lengths = _lengths(audio, lengths)
        audio = F.pad(audio, (0, self.segment_samples - audio.shape[1]))
        return self._spectrum(audio, lengths)

    def _spectrum(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Spectrum and its frames, of waveforms without what lies beyond lengths."""
        audio = audio * _valid(audio.shape[1], lengths)
        return self.stft(audio), self.stft.frames(lengths)

    # Spectra in, results out ------------------------------------------------------

    def embed_spectrum(self, spectrum: Tensor, frames: Tensor) -> Tensor:
        """Spectra (B, T, F) of at most a segment, (B,) frames -> (B, query_dim)."""
        return self.encode_anchor_spectrum(spectrum, frames).query

    def encode_anchor_spectrum(self, spectrum: Tensor, frames: Tensor) -> Anchor:
        """Like :meth:`encode_anchor`, on spectra (B, T, F) with (B,) valid frames."""
        raise NotImplementedError

    def _level(
        self, spectrum: Tensor, frames: Tensor, around: Tensor | None = None
    ) -> Levelled:
        return at_unit_level(spectrum, frames, self.segment_frames, around)

    def _augment(self, picture: Tensor, valid: Tensor) -> Tensor:
        return picture if self.augment is None else self.augment(picture, valid)


class QuerySeparator(AnchorEncoder):
    """A network that also separates what a query points at.

    The output scales with the mixture. A subclass gives the mask.
    """

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

    def separation_feature(
        self, mixture: Tensor, query: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """What separation makes of a mixture, pooled like a query (paper section 4.2).

        The mean, over what holds audio, of the deepest features on the way to the
        mask, with the query in them: what the connector's last block gives, or the
        last block at the bottom of a convolutional U-Net.

        Args:
            mixture: (B, N) float, at most a segment.
            query: (B, query_dim) from :meth:`embed`.
            lengths: (B,) samples that count; all by default.

        Returns:
            (B, E) float32; E is 8D in CaRE-SEP, the length of the pooled embedding.
        """
        spectrum, frames = self._analyse(mixture, lengths)
        return self.feature_spectrum(spectrum, query, frames)

    def separate_spectrum(
        self, spectrum: Tensor, query: Tensor, frames: Tensor
    ) -> Tensor:
        """Mixture spectra (B, T, F), query (B, query_dim) -> target spectra."""
        return spectrum * self.mask(spectrum, query, frames)[:, : spectrum.shape[1]]

    def feature_spectrum(
        self, spectrum: Tensor, query: Tensor, frames: Tensor
    ) -> Tensor:
        """Like :meth:`separation_feature`, on spectra (B, T, F) with valid frames."""
        raise NotImplementedError

    def mask(
        self,
        spectrum: Tensor,
        query: Tensor,
        frames: Tensor,
        around: Tensor | None = None,
    ) -> Tensor:
        """Sigmoid mask of all bins.

        Args:
            spectrum: (B, T, F) of mixtures of at most a segment.
            query: (B, query_dim) from :meth:`embed`.
            frames: (B,) frames that count.
            around: (B, F) mean power around the mixtures, where they are segments of
                something longer (:mod:`espnet2_caresep.network.level`).

        Returns:
            (B, segment_frames, F) float32, 0 to 1.
        """
        raise NotImplementedError


def normalise_rows(norm: nn.BatchNorm1d, x: Tensor, valid: Tensor) -> Tensor:
    """BatchNorm of frames that hold audio; the others become zero.

    Statistics are of audio alone: padding must not move them in training.

    Args:
        norm: Normalises the features of a frame.
        x: (B, T, ...) features.
        valid: (B, T) bool.
    """
    out = torch.zeros_like(x)
    out[valid] = norm(x[valid].flatten(1)).view(-1, *x.shape[2:])
    return out


def mean_over_valid(x: Tensor, valid: Tensor) -> Tensor:
    """Features (B, t, C), valid places (B, t) bool -> their mean (B, C) float32.

    Zero where no place is valid.
    """
    weight = valid[..., None].float()
    return (x.float() * weight).sum(1) / weight.sum(1).clamp(min=1)


def _lengths(audio: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return torch.full(audio.shape[:1], audio.shape[1], device=audio.device)
    return lengths.to(audio.device)


def _valid(size: int, lengths: Tensor) -> Tensor:
    """(B,) lengths -> (B, size) bool."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]
