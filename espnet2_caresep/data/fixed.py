"""Fixed mixtures, as validation and test data hold them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from espnet2_caresep.config import ConfigError

logger = logging.getLogger(__name__)


class FixedMixtures:
    """Prepares examples that are given as audio.

    Args:
        labels: Class names.
        max_samples: Longest waveform that the network takes; the rest is left out.
        anchors_only: Whether mixtures and references are not needed.
    """

    def __init__(self, labels: Sequence[str], max_samples: int, anchors_only: bool):
        self.number = {label: index for index, label in enumerate(labels)}
        self.max_samples = max_samples
        self.anchors_only = anchors_only
        self.cropped = False

    def __call__(self, uid: str, data: dict) -> dict[str, np.ndarray]:
        """Labels as vectors, waveforms as float32; see the preprocessor.

        Raises:
            ConfigError: If something is missing or cannot be used.
        """
        if "speech_mix" not in data and "enroll_ref1" not in data:
            raise ConfigError(
                f"{uid}: needs either speech_ref1 as a path (type text) or a fixed "
                "mixture with speech_mix and enroll_ref1 (type sound)"
            )
        example: dict[str, np.ndarray] = {}
        for name, value in data.items():
            if name.startswith("label"):
                example[name] = self._multi_hot(uid, value)
            elif not self.anchors_only or name.startswith("enroll"):
                example[name] = self._waveform(uid, name, value)
        lengths = {
            name: len(value)
            for name, value in example.items()
            if name.startswith("speech")
        }
        if len(set(lengths.values())) > 1:
            raise ConfigError(
                f"{uid}: mixture and references differ in length {lengths}"
            )
        return example

    def _multi_hot(self, uid: str, names: str) -> np.ndarray:
        vector = np.zeros(len(self.number), np.float32)
        for name in names.split():
            if name not in self.number:
                raise ConfigError(f"{uid}: class '{name}' is not in the list of labels")
            vector[self.number[name]] = 1
        return vector

    def _waveform(self, uid: str, name: str, value) -> np.ndarray:
        if isinstance(value, str) or value is None or value.ndim != 1 or not value.size:
            raise ConfigError(
                f"{uid}: {name} must be audio with one channel (type sound)"
            )
        if not np.isfinite(value).all():
            raise ConfigError(f"{uid}: {name} holds samples that are not finite")
        if value.size > 1.01 * self.max_samples and not self.cropped:
            self.cropped = True
            logger.warning(
                f"{uid}: {name} has {value.size} samples, the network takes "
                f"{self.max_samples}: the rest of it and of others is left out"
            )
        return value[: self.max_samples].astype(np.float32)
