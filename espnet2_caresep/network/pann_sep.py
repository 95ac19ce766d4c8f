"""PANN-SEP [25]: CNN14 as query network of a convolutional U-Net."""

from .cnn14 import CNN14
from .unet_separator import UNetSeparator


class PANNSep(UNetSeparator):
    """PANN-SEP [25] (Table 1): CNN14 as query network.

    Args:
        sample_rate: Sampling rate of all audio in Hz.
        n_fft: STFT window of the mixture in samples.
        query_n_fft: STFT window of the query in samples.
        hop_length: Hop of both in samples.
        segment_frames: STFT frames of a segment, T.
        query: "embedding" (2048-d PANN-SEP) or "probabilities" (527-d).
        cnn_channels: Channels of CNN14's first block.
        num_mels: Mel bands of CNN14.
        dropout: Dropout of CNN14's blocks.
        unet_channels: Channels of the U-Net's first level.
        unet_levels: Levels of the U-Net.
        nyquist_flaw: Give the highest bin a mask of 0.5, as the public code of [4].
        query_spectrum: The query carries its mean spectrum beside its embedding (ours).
        num_classes: Classes, C.

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
        segment_frames: int = 1024,
        query: str = "embedding",
        cnn_channels: int = 64,
        num_mels: int = 64,
        dropout: float = 0.2,
        unet_channels: int = 32,
        unet_levels: int = 6,
        nyquist_flaw: bool = False,
        query_spectrum: bool = False,
        num_classes: int = 527,
    ):
        query_net = CNN14(
            sample_rate=sample_rate,
            n_fft=query_n_fft,
            hop_length=hop_length,
            segment_frames=segment_frames,
            num_classes=num_classes,
            query=query,
            channels=cnn_channels,
            num_mels=num_mels,
            dropout=dropout,
        )
        super().__init__(
            query_net,
            n_fft=n_fft,
            unet_channels=unet_channels,
            unet_levels=unet_levels,
            nyquist_flaw=nyquist_flaw,
            spectrum_bands=num_mels if query_spectrum else 0,
        )
