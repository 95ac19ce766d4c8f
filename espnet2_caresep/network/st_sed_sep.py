"""ST-SED-SEP [4]: HTS-AT as query network of a convolutional U-Net."""

from .htsat import HTSAT
from .unet_separator import UNetSeparator


class STSEDSep(UNetSeparator):
    """ST-SED-SEP [4], rows A and B of the paper's Table 2.

    Args:
        sample_rate: Sampling rate of all audio in Hz.
        n_fft: STFT window of the mixture in samples.
        query_n_fft: STFT window of the query in samples.
        hop_length: Hop of both in samples.
        num_bands: Mel-scale bands of the query network.
        band_channels: Its features per band.
        segment_frames: STFT frames of a segment, T.
        pieces: Pieces of time into which it folds a segment; by default as many as
            make the image square.
        embed_dim: Channels of its first group, D; the embedding has 8D.
        depths: Blocks of its groups.
        heads: Attention heads of its groups.
        window: Side of its attention windows in tokens.
        drop_path: Stochastic-depth probability of its last block.
        unet_channels: Channels of the U-Net's first level.
        unet_levels: Levels of the U-Net.
        nyquist_flaw: Give the highest bin a mask of 0.5, as the public code of [4].
        query_spectrum: The query carries its mean spectrum beside its embedding (ours).
        num_classes: Classes of its tagging head, C.

    Raises:
        ValueError: If sizes do not fit together; the message says which.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 32000,
        n_fft: int = 2048,
        query_n_fft: int = 1024,
        hop_length: int = 320,
        num_bands: int = 64,
        band_channels: int = 1,
        segment_frames: int = 1024,
        pieces: int | None = None,
        embed_dim: int = 256,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (4, 8, 16, 32),
        window: int = 8,
        drop_path: float = 0.1,
        unet_channels: int = 32,
        unet_levels: int = 6,
        nyquist_flaw: bool = False,
        query_spectrum: bool = False,
        num_classes: int = 527,
    ):
        query_net = HTSAT(
            sample_rate=sample_rate,
            n_fft=query_n_fft,
            hop_length=hop_length,
            num_bands=num_bands,
            band_channels=band_channels,
            segment_frames=segment_frames,
            pieces=pieces,
            embed_dim=embed_dim,
            depths=depths,
            heads=heads,
            window=window,
            drop_path=drop_path,
            num_classes=num_classes,
        )
        super().__init__(
            query_net,
            n_fft=n_fft,
            unet_channels=unet_channels,
            unet_levels=unet_levels,
            nyquist_flaw=nyquist_flaw,
            spectrum_bands=num_bands if query_spectrum else 0,
        )
