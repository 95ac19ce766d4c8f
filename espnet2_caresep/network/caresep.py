"""CaRE-SEP: one network that embeds a query, tags a clip and separates a mixture."""

import torch
from torch import Tensor

from .band_split import BandMerge
from .base import Anchor, QuerySeparator, mean_over_valid
from .htsat import HTSAT, check_counts
from .level import Levelled
from .looks import STEP, doubt, found_spectrum
from .parts import by_parts, own_sound
from .query import QuerySpectrum
from .query_layout import QueryLayout, find_templates
from .refinement import MaskRefinement
from .swin_unet import Decoder


class CaRESep(HTSAT, QuerySeparator):
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
        query_levels: The query's level in a mixture is estimated from the spectra.
        query_hidden: Hidden units with which spectra are compared.
        refine_channels: Channels of a network that corrects the mask frame by frame;
            0 is off. Needs ``query_spectrum``.
        looks: Looks at a mixture; those after the first compare it with what was found
            (:mod:`~.looks`). More than one needs ``query_spectrum``.
        query_templates: Spectra of whose sums a clip is made, that its query carries;
            they find the very same sound (:mod:`~.parts`). Needs ``query_spectrum``.
        parts: Whether bins that come and go together stay together (:mod:`~.parts`).
        clip_statistics: Statistics of a clip's bands over time add to its embedding
            and its tags.
        head_dropout: Dropout of the tagging head's input channels.
        conv_tagger: Channels of convolutions that learn last and give the clip's tags
            (:class:`~.conv_tagger.ConvTagger`); 0 is off.
        known_clips: Clips, likeness to which has a say in the tags
            (:class:`~.kernel_tagger.KernelTagger`); 0 is off.
        num_classes: Classes of the tagging head, C.
        shared: Whether one encoder embeds the query and separates. If not, a second
            encoder of the same form embeds and tags (row G of the paper's Table 2).

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
        query_levels: bool = False,
        query_hidden: int = 256,
        refine_channels: int = 0,
        looks: int = 1,
        query_templates: int = 0,
        parts: bool = False,
        clip_statistics: bool = False,
        head_dropout: float = 0.0,
        conv_tagger: int = 0,
        known_clips: int = 0,
        num_classes: int = 527,
        shared: bool = True,
    ):
        check_counts("decoder_depths", decoder_depths, 3)
        encoder = {
            "sample_rate": sample_rate,
            "n_fft": n_fft,
            "hop_length": hop_length,
            "num_bands": num_bands,
            "band_channels": band_channels,
            "segment_frames": segment_frames,
            "pieces": pieces,
            "embed_dim": embed_dim,
            "depths": depths,
            "heads": heads,
            "window": window,
            "drop_path": drop_path,
            "num_classes": num_classes,
            "clip_statistics": clip_statistics,
            "head_dropout": head_dropout,
            "conv_tagger": conv_tagger,
            "known_clips": known_clips,
        }
        super().__init__(
            **encoder,
            query_dim=8 * embed_dim,
            hint_channels=QuerySpectrum.hint_channels if query_spectrum else 0,
        )
        mask_dim = mask_dim or embed_dim
        bins = self.stft.num_bins
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
            QuerySpectrum(bins, num_bands, sample_rate, query_levels, query_hidden)
            if query_spectrum
            else None
        )
        if query_spectrum:
            self.layout = QueryLayout(self.pooled_dim, bins, query_templates)
        elif refine_channels or looks > 1 or query_templates:
            raise ValueError(
                "refine_channels, looks and query_templates need query_spectrum: true"
            )
        if looks < 1:
            raise ValueError(f"looks: {looks}: there must be at least one")
        if query_templates < 0:
            raise ValueError(f"query_templates: {query_templates} is less than none")
        self.looks, self.parts = looks, parts
        self.refinement = (
            MaskRefinement(
                bins, num_bands, sample_rate, self.pooled_dim, refine_channels
            )
            if refine_channels
            else None
        )
        self.query_net = None
        if not shared:
            self.query_net = HTSAT(**encoder)
            # The query network tags
            self.head = self.statistics = self.sound = None
            self.conv_tagger = self.kernel = None

    @property
    def anchor_net(self) -> HTSAT:
        """The network that embeds and tags clips: this one where it is shared."""
        return self if self.query_net is None else self.query_net

    def encode_anchor_spectrum(self, spectrum: Tensor, frames: Tensor) -> Anchor:
        """Like :meth:`encode_anchor`, on spectra (B, T, F) with (B,) valid frames."""
        power, valid, log_mean = self._level(spectrum, frames)
        anchor = self.anchor_net.encode_power(power, valid)
        if self.spectrum is None:
            return anchor
        with torch.no_grad(), torch.autocast(power.device.type, enabled=False):
            templates = find_templates(power.sqrt(), self.layout.templates)
        query = self.layout.join(anchor.query, log_mean, templates)
        return anchor._replace(query=query)

    def mask(
        self,
        spectrum: Tensor,
        query: Tensor,
        frames: Tensor,
        around: Tensor | None = None,
    ) -> Tensor:
        """Sigmoid mask (B, segment_frames, F) float32 of all bins, 0 to 1."""
        mixture = self._level(spectrum, frames, around)
        x, skips, prior = self._encode_mixture(mixture, query)
        pooled, wanted, templates = self.layout.split(query)
        logits = self.merge(self.fold.unfold(self.decoder(x, skips, pooled))).float()
        mask = self._look(logits, prior, mixture, pooled, wanted)
        if self.training:  # nothing is learned of parts
            return self._look_again(mask, logits, mixture, pooled, wanted)
        with torch.autocast(mask.device.type, enabled=False):
            own, sure = own_sound(mixture, mask, wanted, templates)
        if (sure == 1).all():
            return own
        mask = self._look_again(mask, logits, mixture, pooled, wanted)
        if self.parts:
            with torch.autocast(mask.device.type, enabled=False):
                mask = by_parts(mixture, mask)
        return mask + sure[:, None, None] * (own - mask)

    def _look_again(
        self,
        mask: Tensor,
        logits: Tensor,
        mixture: Levelled,
        pooled: Tensor,
        wanted: Tensor,
    ) -> Tensor:
        """The mask after all further looks for what the first one found."""
        for number in range(1, self.looks):
            # What was found is data: only its use is learned
            found = found_spectrum(mask.detach(), mixture)
            if number == 1:
                step = STEP * doubt(wanted, found)[:, None, None]
                if not step.any():
                    break  # no look would change anything
            prior, _ = self.spectrum(found, mixture)
            again = self._look(logits, prior, mixture, pooled, found)
            mask = mask + step * (again - mask)
        return mask

    def _look(
        self,
        logits: Tensor,
        prior: Tensor | None,
        mixture: Levelled,
        pooled: Tensor,
        wanted: Tensor,
    ) -> Tensor:
        """The mask, from the decoder's logits and the log spectrum (B, F) to look for."""
        if prior is not None:
            logits = logits + prior
        if self.refinement is not None:
            logits = self.refinement(logits, mixture, pooled, wanted)
        return logits.sigmoid()

    def feature_spectrum(
        self, spectrum: Tensor, query: Tensor, frames: Tensor
    ) -> Tensor:
        """Like :meth:`separation_feature`, on spectra (B, T, F) with valid frames."""
        mixture = self._level(spectrum, frames)
        x, _, _ = self._encode_mixture(mixture, query)
        tokens, held = self._tokens(x, mixture.valid)
        return mean_over_valid(tokens.float().mean(2), held)

    def _encode_mixture(
        self, mixture: Levelled, query: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """Encoder and connector on a mixture: final tokens, skips, prior of the mask."""
        pooled, query_log_power, _ = self.layout.split(query)
        prior = hint = None
        if self.spectrum is not None:
            prior, shown = self.spectrum(query_log_power, mixture)
            hint = self.fold(shown * mixture.valid[..., None, None])
        image = self.fold(self._bands(mixture.power, mixture.valid))
        return *self.encoder(image, pooled, hint), prior
