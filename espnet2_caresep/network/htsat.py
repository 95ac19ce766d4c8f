"""HTS-AT [15] on mel-scale bands: the encoder that embeds queries and tags clips.

    power -> bands -> BatchNorm -> square image -> Swin encoder -> tokens
          -> mean over valid tokens: the query;  token-semantic head: the tags
             (with clip_statistics, statistics of the bands add to both;
              with conv_tagger, convolutions that learn last give the clip's tags;
              with known_clips its likeness to those has a say)

:class:`~.caresep.CaRESep` is this network with a decoder. Systems whose encoder is not
shared hold one of their own as query network.
"""

import torch
from torch import Tensor, nn

from .band_split import BandSplit
from .base import Anchor, AnchorEncoder, mean_over_valid, normalise_rows
from .conv_tagger import ConvTagger
from .kernel_tagger import KernelTagger
from .level import at_unit_level
from .query import FLOOR
from .query_layout import QueryLayout
from .sound_features import SoundFeatures
from .statistics import ClipStatistics
from .swin_unet import TOKEN_FRAMES, Encoder, Fold, square_pieces
from .tagging import TokenSemanticHead


class HTSAT(AnchorEncoder):
    """Band split, Swin encoder and token-semantic head (paper sections 2.2, 2.3).

    The band split stands where [15] has mel filters.

    Args:
        sample_rate: Sampling rate of all audio in Hz.
        n_fft: STFT window in samples.
        hop_length: STFT hop in samples.
        num_bands: Mel-scale bands, K.
        band_channels: Features per band that the encoder sees.
        segment_frames: STFT frames of a segment, T.
        pieces: Pieces of time into which a segment is folded; by default as many as
            make the image square, as in [15].
        embed_dim: Channels of the first group, D; the embedding has 8D.
        depths: Blocks of the encoder's three groups and of the connector.
        heads: Attention heads of the four.
        window: Side of the attention windows in tokens.
        drop_path: Stochastic-depth probability of the last block.
        num_classes: Classes of the tagging head, C.
        query_dim: Length of a query that the encoder can be given; 0 for none.
        hint_channels: Channels of a picture that the encoder can be given.
        clip_statistics: Statistics of the bands over time add to embedding and tags.
        head_dropout: Dropout of the token-semantic head's input channels.
        conv_tagger: Channels of convolutions (:class:`ConvTagger`) that learn last and
            give the clip's tags; 0 is off.
        known_clips: Clips, likeness to which has a say in the tags
            (:class:`KernelTagger`); 0 is off.

    Raises:
        ValueError: If sizes do not fit together; the message says which.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        num_bands: int,
        band_channels: int,
        segment_frames: int,
        pieces: int | None,
        embed_dim: int,
        depths: tuple[int, ...],
        heads: tuple[int, ...],
        window: int,
        drop_path: float,
        num_classes: int,
        query_dim: int = 0,
        hint_channels: int = 0,
        clip_statistics: bool = False,
        head_dropout: float = 0.0,
        conv_tagger: int = 0,
        known_clips: int = 0,
    ):
        check_counts("depths", depths, 4)
        check_counts("heads", heads, 4)
        counts = {"conv_tagger": conv_tagger, "known_clips": known_clips}
        for name, count in counts.items():
            if count < 0:
                raise ValueError(f"{name}: {count} is less than none")
        super().__init__(
            sample_rate=sample_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            segment_frames=segment_frames,
            num_classes=num_classes,
        )
        self.layout = QueryLayout(8 * embed_dim)
        pieces = pieces or square_pieces(segment_frames, num_bands)
        bins = self.stft.num_bins
        self.split = BandSplit(bins, num_bands, sample_rate, band_channels)
        self.norm = nn.BatchNorm1d(num_bands * band_channels)
        self.fold = Fold(segment_frames, num_bands, pieces)
        self.encoder = Encoder(
            band_channels,
            hint_channels,
            self.fold.size,
            embed_dim,
            depths,
            heads,
            window,
            query_dim,
            drop_path,
        )
        self.head = TokenSemanticHead(
            self.pooled_dim, num_bands // TOKEN_FRAMES, num_classes, head_dropout
        )
        self.statistics = None
        if clip_statistics:
            self.statistics = ClipStatistics(
                num_bands * band_channels, self.pooled_dim, num_classes
            )
        if conv_tagger:
            # The rest of a network starts alike with and without it
            with torch.random.fork_rng(devices=[]):
                self.conv_tagger = ConvTagger(
                    bins, num_bands, sample_rate, conv_tagger, num_classes
                )
        self.sound = None
        if known_clips:
            self.sound = SoundFeatures(
                bins, num_bands, num_bands * band_channels, sample_rate
            )
            dim = self.pooled_dim + self.sound.dim
            self.kernel = KernelTagger(dim, num_classes, known_clips)

    def encode_anchor_spectrum(self, spectrum: Tensor, frames: Tensor) -> Anchor:
        """Like :meth:`encode_anchor`, on spectra (B, T, F) with (B,) valid frames."""
        mixture = self._level(spectrum, frames)
        return self.encode_power(mixture.power, mixture.valid)

    def encode_power(self, power: Tensor, valid: Tensor) -> Anchor:
        """Power (B, segment_frames, F) at unit mean, valid frames -> embedding, tags."""
        bands = self._bands(power, valid)
        flat, _ = self.encoder(self.fold(self._augment(bands, valid)))
        tokens, held = self._tokens(flat, valid)
        query = mean_over_valid(tokens.float().mean(2), held)
        anchor = Anchor(query, *self.head(tokens, held))
        if self.statistics is not None:
            logits, change = self.statistics(bands.flatten(2), valid, query)
            anchor = Anchor(
                query + change,
                anchor.clip_logits + logits,
                anchor.frame_logits + logits[:, None],
            )
        if self.sound is not None:
            figures = self.sound(bands.flatten(2), power, valid)
            anchor = anchor._replace(features=torch.cat([query, figures], -1))
        # In training, the rest learns as if nothing tagged behind it
        return anchor if self.training else self._retag(anchor, power, valid)

    def _retag(self, anchor: Anchor, power: Tensor, valid: Tensor) -> Anchor:
        """Tags of what comes last; frames differ from their clip as they did before."""
        logits = anchor.clip_logits
        if self.conv_tagger is not None:
            heard = self.conv_tagger(self.conv_tagger.picture(power, valid))
            logits = logits + self.conv_tagger.trained * (heard - logits)
        if self.kernel is not None:
            say = self.kernel.say * self.kernel.fitted
            logits = logits + say * (self.kernel(anchor.features) - logits)
        frames = anchor.frame_logits + (logits - anchor.clip_logits)[:, None]
        return anchor._replace(clip_logits=logits, frame_logits=frames)

    def clip_pictures(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What :class:`ConvTagger` sees of whole clips.

        Args:
            audio: (B, N) float, of any length.
            lengths: (B,) samples that count.

        Returns:
            Pictures (B, T, K) at the level of each clip, and (B,) frames that count.
        """
        spectrum, frames = self._spectrum(audio, lengths)
        power, valid, _ = at_unit_level(spectrum, frames, spectrum.shape[1])
        return self.conv_tagger.picture(power, valid), frames

    def _tokens(self, flat: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Final tokens as (B, t, k, 8D), and which token frames hold audio (B, t)."""
        return self.fold.unfold(flat, TOKEN_FRAMES), valid[:, ::TOKEN_FRAMES]

    def _bands(self, power: Tensor, valid: Tensor) -> Tensor:
        """Power -> normalised bands (B, T, K, C), zero where there is no audio."""
        with torch.autocast(power.device.type, enabled=False):
            bands = self.split(torch.log(power + FLOOR))
            return normalise_rows(self.norm, bands, valid)


def check_counts(name: str, value: tuple[int, ...], count: int) -> None:
    """Refuses anything but ``count`` positive numbers."""
    if len(value) != count or min(value) < 1:
        raise ValueError(f"{name} needs {count} positive numbers, not {value}")
