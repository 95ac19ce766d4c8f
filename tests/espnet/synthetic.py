"""Sounds of three classes, and a network small enough for them."""

from __future__ import annotations

import numpy as np
import torch

RATE = 32000
NETWORK = {
    "embed_dim": 8,
    "segment_frames": 64,
    "depths": [1, 1, 1, 1],
    "decoder_depths": [1, 1, 1],
    "heads": [1, 2, 4, 8],
}
SAMPLES = 63 * 320  # longest segment of this network
CLASSES = ("buzz", "hiss", "tone")


def sound(kind: str, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A clip of a class: noise, a harmonic buzz or a sine."""
    time = np.arange(samples) / RATE
    pitch = rng.uniform(100, 1000)
    if kind == "hiss":
        audio = rng.standard_normal(samples)
    elif kind == "tone":
        audio = np.sin(2 * np.pi * 4 * pitch * time)
    else:
        audio = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 9))
    return (0.1 * audio).astype(np.float32)


def make_batch(size=2, samples=SAMPLES, seed=0, **extra):
    """Random sources, anchors and labels, as a training or validation gives them."""
    generator = torch.Generator().manual_seed(seed)
    batch = {}
    for name in ("speech_ref", "enroll_ref", "other_ref"):
        for n in (1, 2):
            batch[f"{name}{n}"] = torch.randn(size, samples, generator=generator)
    batch["speech_mix"] = batch["speech_ref1"] + batch["speech_ref2"]
    for name in list(batch):
        batch[f"{name}_lengths"] = torch.full((size,), samples)
    batch["label1"] = torch.eye(3)[torch.arange(size) % 3]
    batch["label2"] = torch.eye(3)[(torch.arange(size) + 1) % 3]
    return {**batch, **extra}
