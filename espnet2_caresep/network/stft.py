"""Waveform <-> complex spectrogram (paper section 3.2: window 1024, hop 320)."""

import torch
from torch import Tensor, nn


class STFT(nn.Module):
    """Centred Hann STFT whose bins have unit power for white noise of unit power.

    Dividing by the window's energy makes one feature floor right for every window
    length. Edges are padded with zeros, not reflected, so that samples after the end
    of a clip and padding look the same and padding cannot change a result.

    Args:
        n_fft: Window and FFT length in samples.
        hop_length: Hop in samples.
    """

    def __init__(self, n_fft: int = 1024, hop_length: int = 320):
        super().__init__()
        if not 0 < hop_length <= n_fft // 2:
            raise ValueError(
                f"hop_length must lie in 1..n_fft/2 = {n_fft // 2}, not {hop_length}"
            )
        self.n_fft = n_fft
        self.hop_length = hop_length
        window = torch.hann_window(n_fft)
        self.register_buffer("window", window / window.norm(), persistent=False)

    @property
    def num_bins(self) -> int:
        return self.n_fft // 2 + 1

    def frames(self, num_samples: Tensor | int) -> Tensor | int:
        """Number of frames that hold ``num_samples`` samples."""
        return num_samples // self.hop_length + 1

    def forward(self, audio: Tensor) -> Tensor:
        """Waveform (B, N) float -> spectrogram (B, T, F) complex, T = N // hop + 1."""
        return torch.stft(
            audio.float(),
            self.n_fft,
            self.hop_length,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        ).transpose(1, 2)

    def inverse(self, spectrum: Tensor, num_samples: int) -> Tensor:
        """Spectrogram (B, T, F) complex -> waveform (B, num_samples) float32."""
        return torch.istft(
            spectrum.transpose(1, 2),
            self.n_fft,
            self.hop_length,
            window=self.window,
            center=True,
            length=num_samples,
        )
