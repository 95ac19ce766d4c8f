"""What ST-SED-SEP and PANN-SEP share: a query network beside a convolutional U-Net.

mixture -> STFT magnitude -> BatchNorm -> U-Net -> sigmoid mask -> mixture's STFT
query clip -> query network, with an STFT of its own -> biases of the U-Net
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import Anchor, AnchorEncoder, QuerySeparator, mean_over_valid, normalise_rows
from .conv_unet import ConvUNet
from .level import Levelled
from .query import SHOWN_SCALE, QuerySpectrum


class UNetSeparator(QuerySeparator):
    """Separates with a U-Net what a query network points at.

    The mask is real and the phase the mixture's. The U-Net sees all bins but the
    highest, whose number its levels can halve; the highest bin takes the logit of the
    bin below.

    Args:
        query_net: Embeds and tags clips.
        n_fft: STFT window of the mixture in samples.
        unet_channels: Channels of the U-Net's first level.
        unet_levels: Levels of the U-Net.
        nyquist_flaw: Give the highest bin the logit 0, a mask of 0.5 whatever the
            query, as the public code of [4] does. It caps the clean-SDR at 43 dB for
            white noise.
        spectrum_bands: Bands in which the query's mean spectrum is compared with the
            mixture's (ours, :class:`~.query.QuerySpectrum`); 0: the query is its
            embedding alone.
    """

    def __init__(
        self,
        query_net: AnchorEncoder,
        *,
        n_fft: int,
        unet_channels: int,
        unet_levels: int,
        nyquist_flaw: bool,
        spectrum_bands: int,
    ):
        for name, value in (
            ("unet_channels", unet_channels),
            ("unet_levels", unet_levels),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        super().__init__(
            sample_rate=query_net.sample_rate,
            n_fft=n_fft,
            hop_length=query_net.hop_length,
            segment_frames=query_net.segment_frames,
            num_classes=query_net.num_classes,
        )
        self.query_net = query_net
        self.layout = query_net.layout
        self.nyquist_flaw = nyquist_flaw
        bins = self.stft.num_bins
        self.norm = nn.BatchNorm1d(bins)
        self.spectrum = None
        channels = 1
        if spectrum_bands:
            self.spectrum = QuerySpectrum(bins, spectrum_bands, self.sample_rate)
            self.layout = self.layout._replace(bins=bins)
            channels += 1  # the prior of the mask
        self.unet = ConvUNet(self.pooled_dim, unet_channels, unet_levels, channels)

    @property
    def anchor_net(self) -> AnchorEncoder:
        """The query network."""
        return self.query_net

    def encode_anchor(self, audio: Tensor, lengths: Tensor | None = None) -> Anchor:
        """Embedding and tags of clips (B, N) of at most a segment, in one pass."""
        anchor = self.query_net.encode_anchor(audio, lengths)
        if self.spectrum is None:
            return anchor
        spectrum, frames = self._analyse(audio, lengths)
        log_mean = self._level(spectrum, frames).log_mean
        return anchor._replace(query=torch.cat([anchor.query, log_mean], -1))

    def encode_anchor_spectrum(self, spectrum: Tensor, frames: Tensor) -> Anchor:
        """Like :meth:`encode_anchor`, on spectra (B, T, F) of the mixture's STFT."""
        # The query network has another window: back to the waveform.
        audio = self.stft.inverse(spectrum, (spectrum.shape[1] - 1) * self.hop_length)
        lengths = ((frames - 1) * self.hop_length).clamp(min=1)
        return self.encode_anchor(audio, lengths)

    def mask(
        self,
        spectrum: Tensor,
        query: Tensor,
        frames: Tensor,
        around: Tensor | None = None,
    ) -> Tensor:
        """Sigmoid mask (B, segment_frames, F) float32 of all bins, 0 to 1."""
        image, prior = self._image(self._level(spectrum, frames, around), query)
        logits = self.unet(image, query[:, : self.pooled_dim]).float()
        if self.nyquist_flaw:
            logits = F.pad(logits, (0, 1))
        else:
            logits = torch.cat([logits, logits[..., -1:]], -1)
        return (logits if prior is None else logits + prior).sigmoid()

    def feature_spectrum(
        self, spectrum: Tensor, query: Tensor, frames: Tensor
    ) -> Tensor:
        """Like :meth:`separation_feature`, on spectra (B, T, F) with valid frames."""
        mixture = self._level(spectrum, frames)
        image, _ = self._image(mixture, query)
        maps, skips = self.unet.encode(image, query[:, : self.pooled_dim])
        held = mixture.valid[:, :: 2 ** len(skips)]  # rows of the maps that hold audio
        return mean_over_valid(maps.float().mean(3).transpose(1, 2), held)

    def _image(self, mixture: Levelled, query: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the U-Net sees, (B, C, T, F - 1): normalised magnitude without the
        highest bin, and the prior of the mask if there is one, (B, T, F)."""
        valid = mixture.valid
        with torch.autocast(valid.device.type, enabled=False):
            image = normalise_rows(self.norm, mixture.power.sqrt(), valid)
        if self.spectrum is None:
            return image[:, None, :, :-1], None
        prior, _ = self.spectrum(query[:, self.pooled_dim :], mixture)
        shown = prior * valid[..., None] / SHOWN_SCALE
        return torch.stack([image, shown], 1)[..., :-1], prior
