"""A recogniser's features from audio at another rate, for joint training."""

from __future__ import annotations

import torch
from espnet2.asr.frontend.default import DefaultFrontend
from torch import Tensor
from torchaudio.functional import resample


class ResamplingFrontend(DefaultFrontend):
    """ESPnet's default frontend behind a rate conversion.

    In ``enh_s2t`` the separator's output goes straight into the recogniser. This
    frontend takes it at the separator's rate, so a recogniser of 16 kHz can stand
    behind a separator of 32 kHz. The conversion is differentiable and has no weights:
    those of a recogniser with the default frontend fit.

    Args:
        input_fs: Rate of the audio in Hz.
        conf: Arguments of the default frontend; ``fs`` is the recogniser's rate.
    """

    def __init__(self, input_fs: int = 32000, **conf):
        super().__init__(**conf)
        self.input_fs = input_fs
        self.fs = self.logmel.mel_options["sr"]

    def forward(self, input: Tensor, input_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms (B, N) at ``input_fs``, (B,) samples -> features and frames."""
        audio = resample(input.float(), self.input_fs, self.fs)
        lengths = torch.ceil(input_lengths * (self.fs / self.input_fs)).long()
        return super().forward(audio, lengths.clamp(max=audio.shape[1]))
