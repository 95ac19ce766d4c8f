"""Two seconds of made-up sound, separated: does the whole chain work here?"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from espnet2_caresep.inference.checkpoint import Checkpoint
from espnet2_caresep.inference.presence.share_rule import ShareRule
from espnet2_caresep.inference.separator import CaRESeparator
from espnet2_caresep.network.caresep import CaRESep
from espnet2_caresep.scoring.metrics import sdr

RATE = 44100  # not the network's, so that conversion is tested as well
SECONDS = 2


@dataclass(frozen=True)
class SelfTest:
    """What came out.

    Attributes:
        problem: What is wrong; None if nothing is.
        seconds: Time that the separation took.
        sdr_before: SDR of the mixture, the wanted sound being the reference, in dB.
        sdr_after: SDR of the target, in dB; NaN where there is a problem.
    """

    problem: str | None
    seconds: float
    sdr_before: float
    sdr_after: float


def run_self_test(separator: CaRESeparator) -> SelfTest:
    """Separates a gliding tone from bursts of noise, with the tone as the query."""
    wanted, other = _glide(), _bursts()
    mixture = _integers(wanted + other)
    start = time.perf_counter()
    result = separator.separate(mixture, wanted, RATE)
    seconds = time.perf_counter() - start
    problem = _problem(result, mixture)
    after = float("nan") if problem else _mean_sdr(wanted, result.target)
    return SelfTest(problem, seconds, _mean_sdr(wanted, mixture), after)


def _problem(result, mixture: np.ndarray) -> str | None:
    if result.target.shape != mixture.shape or result.sample_rate != RATE:
        return f"the target has the shape {result.target.shape}"
    if not np.isfinite(result.target).all():
        return "the target is not finite"
    if not np.array_equal(result.target + result.residual, mixture):
        return "target and residual do not add up to the mixture"
    return None if result.target.any() else "the target is silent"


def _mean_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    return float(np.mean(sdr(reference, estimate)))


def tiny_separator(device: str = "auto") -> CaRESeparator:
    """A small untrained network, where no model is at hand."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CaRESep(
            segment_frames=128,
            embed_dim=8,
            depths=(1, 1, 1, 1),
            decoder_depths=(1, 1, 1),
            heads=(1, 2, 4, 8),
            num_classes=2,
        )
    network.eval().requires_grad_(False)
    checkpoint = Checkpoint(network, None, "untrained", "none", ShareRule(), {})
    return CaRESeparator(checkpoint, device)


def _glide() -> np.ndarray:
    """A voice-like tone of ten harmonics that glides from 200 to 400 Hz, (2, n)."""
    time_axis = np.arange(SECONDS * RATE) / RATE
    phase = 2 * np.pi * (200 * time_axis + 50 * time_axis**2)
    tone = sum(np.sin(k * phase) / k for k in range(1, 11))
    return _integers(0.15 * np.stack([tone, 0.7 * tone]))


def _bursts() -> np.ndarray:
    """Eight bursts of noise that die away, (2, n)."""
    rng = np.random.default_rng(0)
    time_axis = np.arange(SECONDS * RATE) / RATE
    decay = np.exp(-12 * (time_axis % 0.25))
    return 0.3 * decay * rng.uniform(-1, 1, (2, len(time_axis)))


def _integers(samples: np.ndarray) -> np.ndarray:
    """16-bit samples, for which sums are exact."""
    return (np.round(samples * 2**15) / 2**15).astype(np.float32)
