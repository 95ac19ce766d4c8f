"""CaRESeparator: separate, tag and embed audio of any kind with a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from espnet2_caresep.inference.audio import Audio, AudioError, fit_length, to_audio
from espnet2_caresep.inference.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_files,
)
from espnet2_caresep.inference.device import choose_device
from espnet2_caresep.inference.overlap_add import overlap_add
from espnet2_caresep.network.swin_unet import TOKEN_FRAMES


@dataclass(frozen=True)
class Separation:
    """What was separated, as the mixture came: same rate, length, channels and level.

    Attributes:
        target: What sounds like the query; float32, shape of the mixture.
        residual: The rest, mixture - target; float32, same shape. The two add up to
            the mixture: exactly where its samples come from 8- to 24-bit integers,
            within one rounding of float32 otherwise.
        sample_rate: Hz.
    """

    target: np.ndarray
    residual: np.ndarray
    sample_rate: int


@dataclass(frozen=True)
class Tags:
    """What sounds in a clip.

    Attributes:
        labels: Names of the classes; None if the model has none.
        probabilities: (classes,) float32 of the whole clip. For audio longer than one
            segment: from the logits' mean over the segments.
        frames: (frames, classes) float32, probabilities over time.
        frame_seconds: Time from one frame to the next.
    """

    labels: list[str] | None
    probabilities: np.ndarray
    frames: np.ndarray
    frame_seconds: float


class CaRESeparator:
    """A trained CaRE-SEP model for audio of any rate, channel count and length.

    Audio is a path, or a float array or tensor (samples,) or (channels, samples) with
    its ``sample_rate``. Inside, the network works at its own rate
    (``separator.sample_rate``, 32 kHz by default). Conversions are linear-phase, and
    what lies above half that rate is never in a target: it stays in the residual.

    Args:
        checkpoint: The loaded model.
        device: Torch device, or "auto" for the first of cuda, mps, cpu that is there.
        overlap: Share of a segment that is cross-faded with the next where audio is
            longer than one segment.

    Raises:
        ValueError: If the device is not there.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: str = "auto", overlap: float = 0.25
    ):
        self.device = choose_device(device)
        self.network = checkpoint.network.to(self.device)
        self.labels = checkpoint.labels
        self.fingerprint = checkpoint.fingerprint
        self.overlap = overlap

    @classmethod
    def from_pretrained(cls, source: str | Path, device: str = "auto") -> CaRESeparator:
        """Loads a model-zoo zip or an ESPnet experiment folder.

        In a folder the weights are the first of: ``valid.mixture_sdr.best.pth``, the
        n-best average ``valid.*.ave.pth``, ``latest.pth``.

        Raises:
            ValueError: If the model cannot be used, with a one-line reason.
        """
        return cls(load_checkpoint(source), device)

    @classmethod
    def from_files(
        cls, config_file: str | Path, model_file: str | Path, device: str = "auto"
    ) -> CaRESeparator:
        """Loads a training configuration and a weights file; else as above."""
        return cls(load_files(config_file, model_file), device)

    @property
    def sample_rate(self) -> int:
        """The network's rate in Hz."""
        return self.network.sample_rate

    @torch.inference_mode()
    def separate(
        self,
        mix,
        query,
        sample_rate: int | None = None,
        query_sample_rate: int | None = None,
    ) -> Separation:
        """Separates what sounds like the query from a mixture.

        Channels are separated one by one with the same query, which is downmixed.

        Args:
            mix: Path, array or tensor.
            query: Path, array or tensor: an example of the wanted sound.
            sample_rate: Rate of ``mix`` in Hz where it is an array.
            query_sample_rate: Rate of ``query`` where it is an array; by default
                ``sample_rate``.

        Returns:
            Target and residual, as the mixture came.

        Raises:
            ValueError: If either cannot be read, is empty, shorter than one STFT
                window, or not finite, or if the query is silent.
        """
        shape = getattr(mix, "shape", None)
        mixture = to_audio(mix, sample_rate, "mixture")
        embedding = self._embed(
            to_audio(query, query_sample_rate or sample_rate, "query")
        )
        inside = torch.from_numpy(self._at_model_rate(mixture).samples)

        def process(part: Tensor) -> Tensor:
            return self.network.separate(part, embedding.expand(len(part), -1))

        target = overlap_add(
            process, inside.to(self.device), self.network.segment_samples, self.overlap
        )
        outside = Audio(target.float().cpu().numpy(), self.sample_rate, mixture.name)
        samples = outside.at(mixture.sample_rate).samples
        target = _on_grid(
            fit_length(samples, mixture.samples.shape[-1]), mixture.samples
        )
        if not np.isfinite(target).all():
            raise AudioError(
                f"{mixture.name}: the output is not finite; are its samples far beyond "
                "+-1, or the weights damaged?"
            )
        residual = mixture.samples - target
        if shape is None:
            shape = target.shape if len(target) > 1 else target[0].shape
        return Separation(
            target.reshape(shape), residual.reshape(shape), mixture.sample_rate
        )

    @torch.inference_mode()
    def embed(self, audio, sample_rate: int | None = None) -> np.ndarray:
        """Query embedding of a clip, downmixed to mono.

        Args:
            audio: Path, array or tensor.
            sample_rate: Rate of an array in Hz.

        Returns:
            (query_dim,) float32.

        Raises:
            ValueError: As :meth:`separate` for a query.
        """
        clip = to_audio(audio, sample_rate, "query")
        return self._embed(clip)[0].float().cpu().numpy()

    @torch.inference_mode()
    def tag(self, audio, sample_rate: int | None = None) -> Tags:
        """Names what sounds in a clip, downmixed to mono.

        Args:
            audio: Path, array or tensor.
            sample_rate: Rate of an array in Hz.

        Returns:
            Probabilities of the clip and over time.

        Raises:
            ValueError: If it cannot be read, is empty, too short or not finite.
        """
        clip = self._at_model_rate(to_audio(audio, sample_rate, "audio").mono())
        samples = torch.from_numpy(clip.samples).to(self.device)
        network, hop = self.network, TOKEN_FRAMES * self.network.hop_length
        # Segments of whole token frames keep the frames of a long clip on one grid.
        step = network.segment_samples
        if samples.shape[-1] > step:
            step = step // hop * hop or step
        clips, frames, weights = [], [], []
        for part in samples.split(step, -1):
            if clips and part.shape[-1] < network.n_fft:
                continue  # less than a window is left: nothing to judge
            clip_logits, frame_logits = network.tag(part)
            clips.append(clip_logits[0].float())
            frames.append(frame_logits[0, : -(-part.shape[-1] // hop)].float())
            weights.append(part.shape[-1])
        weight = torch.tensor(weights, device=self.device) / sum(weights)
        clip_logits = (torch.stack(clips) * weight[:, None]).sum(0)
        return Tags(
            self.labels,
            clip_logits.sigmoid().cpu().numpy(),
            torch.cat(frames).sigmoid().cpu().numpy(),
            hop / self.sample_rate,
        )

    def _embed(self, query: Audio) -> Tensor:
        """(1, query_dim) on the device."""
        query = query.mono()
        if query.is_silent():
            raise AudioError(f"{query.name}: the query is silent")
        samples = torch.from_numpy(self._at_model_rate(query).samples)
        return self.network.embed(samples.to(self.device))

    def _at_model_rate(self, audio: Audio) -> Audio:
        audio = audio.at(self.sample_rate)
        window = self.network.n_fft
        if audio.samples.shape[-1] < window:
            raise AudioError(
                f"{audio.name}: is shorter than one analysis window "
                f"({1000 * window / self.sample_rate:.0f} ms)"
            )
        return audio


def _on_grid(target: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Rounds a target to the 24-bit steps of the mixture's range.

    Integer audio lies on these steps, and a sum or difference of such numbers is exact
    in float32, so target + residual is the mixture again to the last bit. The rounding
    is 138 dB below the mixture's peak.
    """
    peak = float(np.abs(mixture).max())
    if peak == 0:
        return target
    step = 2.0 ** (np.ceil(np.log2(peak)) - 23)
    return (np.round(target.astype(np.float64) / step) * step).astype(np.float32)
