"""Makes training pairs on the fly and prepares fixed mixtures for validation."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from espnet2.train.preprocessor import AbsPreprocessor
from torch.utils.data import get_worker_info

from espnet2_caresep.config import TAGGING_MODES, ConfigError
from espnet2_caresep.data.augment import LevelAugment, SourceAugment
from espnet2_caresep.data.fixed import FixedMixtures
from espnet2_caresep.data.mixing import balance_energy, mix_pair
from espnet2_caresep.data.segments import SegmentReader
from espnet2_caresep.data.source_pool import SourcePool

BALANCES = ("class", "utterance")
CLIP_SEGMENTS = 4  # of a clip as a whole, at most


class PairMixingPreprocessor(AbsPreprocessor):
    """ESPnet preprocessor of CaRE-SEP.

    An example given as a path (data type ``text``) becomes a pair: a clip, a partner
    without a common label, energy-normalised and mixed (paper section 2.1), with an
    anchor for each. In validation and statistics the draw depends on the name alone.
    An example given as audio is a fixed mixture: labels become vectors, shapes are
    checked.

    Args:
        train: Whether draws change from epoch to epoch.
        labels: Class names.
        mode: The training's; "cls" yields anchors and labels only, "tagger" their clips
            beside them.
        sample_rate: Sampling rate in Hz.
        max_samples: Longest segment that the network takes.
        seed: Seed of the training.
        rank: Rank of this process, so that no two draw the same.
        source_dir: Data directory of the training clips.
        segment_seconds: Length of a segment; by default the longest possible.
        balance: "class" draws the first source and the partner by class, then clip,
            and the list of training examples only counts; "utterance" takes the
            example itself as first source and any partner.
        p_other: Share of anchors that are another clip of the target's class.
        p_identity: Share of triplets whose input is the target alone.
        p_silence: Share of triplets whose input lacks the target.
        p_third: Share of mixtures that hold a third clip, which is never the target.
        snr_range: Level of source 1 over source 2 in dB, uniform between the two
            values; by default 0 dB.
        gain_range: Gain on mixture and references in dB, uniform between two values.
        speed_range: Speed of each source and of each anchor that is another clip, as
            :class:`~espnet2_caresep.data.augment.SourceAugment` draws it.
        eq_gain: Likewise, their timbre.
        max_retries: Unusable clips in a row after which training stops.

    Raises:
        ConfigError: If an argument has no meaning.
    """

    def __init__(
        self,
        train: bool,
        labels: Sequence[str],
        mode: str = "sep",
        sample_rate: int = 32000,
        max_samples: int = 327360,
        seed: int = 0,
        rank: int = 0,
        source_dir: str | None = None,
        segment_seconds: float | None = None,
        balance: str = "class",
        p_other: float = 0.0,
        p_identity: float = 0.0,
        p_silence: float = 0.0,
        p_third: float = 0.0,
        snr_range: Sequence[float] | None = None,
        gain_range: Sequence[float] | None = None,
        speed_range: Sequence[float] | None = None,
        eq_gain: float = 0.0,
        max_retries: int = 20,
    ):
        super().__init__(train)
        _check_shares(p_identity, p_silence, p_other=p_other, p_third=p_third)
        if balance not in BALANCES:
            raise ConfigError(f"balance must be one of {BALANCES}, got {balance!r}")
        if segment_seconds is None:
            segment_seconds = max_samples / sample_rate
        self.segment_samples = round(segment_seconds * sample_rate)
        if not 0 < self.segment_samples <= max_samples:
            raise ConfigError(
                f"segment_seconds must be above 0 and at most "
                f"{max_samples / sample_rate:g} (extractor_conf.segment_frames sets "
                f"that), got {segment_seconds}"
            )
        self.labels = list(labels)
        self.mode = mode
        self.seed, self.rank = seed, rank
        self.source_dir = source_dir
        self.balance = balance
        self.p_other, self.p_identity, self.p_silence = p_other, p_identity, p_silence
        self.p_third = p_third
        self.levels = LevelAugment(snr_range, gain_range)
        augment = SourceAugment(sample_rate, speed_range, eq_gain)
        self.fixed = FixedMixtures(labels, max_samples, mode in TAGGING_MODES)
        self.reader = SegmentReader(
            sample_rate, self.segment_samples, max_retries, augment if train else None
        )
        self.clip_reader = SegmentReader(
            sample_rate, CLIP_SEGMENTS * self.segment_samples, max_retries
        )
        self.epoch = 0
        self.draws = 0
        self._pool: SourcePool | None = None
        if train and source_dir is not None:
            # Before data-loading processes start, so that they share it.
            self._pool = self._read_pool()

    @property
    def pool(self) -> SourcePool:
        """The clips to draw from, read at the first use."""
        if self._pool is None:
            self._pool = self._read_pool()
        return self._pool

    def _read_pool(self) -> SourcePool:
        if self.source_dir is None:
            raise ConfigError(
                "examples given as paths need preprocessor_conf.source_dir, the data "
                "directory of the clips (such as dump/raw/train)"
            )
        return SourcePool(self.source_dir, self.labels, self.reader.min_samples)

    def set_epoch(self, epoch: int) -> None:
        """Starts the random stream of an epoch."""
        self.epoch = epoch
        self.draws = 0

    def __call__(self, uid: str, data: dict) -> dict[str, np.ndarray]:
        """Prepares one example.

        Args:
            uid: Name of the example.
            data: ``speech_ref1`` as a path, or a fixed mixture: waveforms
                ``speech_mix``, ``speech_ref{n}``, ``enroll_ref{n}``, ``other_ref{n}``
                (samples,) and label names ``label{n}``.

        Returns:
            float32 arrays: the waveforms by the same names, ``label{n}`` multi-hot
            (classes,); in training with special triplets ``speech_mix2``, the input of
            the second triplet.

        Raises:
            ConfigError: If the data cannot be used.
        """
        if not isinstance(data.get("speech_ref1"), str):
            return self.fixed(uid, data)
        if self.mode in TAGGING_MODES:
            return self._tagging_example(uid, self._generator(uid))
        return self._pair(uid, self._generator(uid))

    # -- random draws ----------------------------------------------------------

    def _generator(self, uid: str) -> np.random.Generator:
        if not self.train:
            return np.random.default_rng([self.seed, zlib.crc32(uid.encode())])
        worker = get_worker_info()
        self.draws += 1
        return np.random.default_rng(
            [self.seed, self.epoch, self.rank, worker.id if worker else 0, self.draws]
        )

    def _first(self, uid: str, rng: np.random.Generator) -> tuple[int, int, np.ndarray]:
        """Clip, class and segment of the first source."""
        if self.train and self.balance == "class":
            return self._read(rng, lambda: self.pool.draw(rng, "class"))
        own = self.pool.index(uid)
        draws = iter([(own, int(rng.choice(self.pool.labels(own))))])
        return self._read(
            rng, lambda: next(draws, None) or self.pool.draw(rng, self.balance)
        )

    def _read(self, rng, draw) -> tuple[int, int, np.ndarray]:
        def candidates():
            while True:
                clip, cls = draw()
                yield (clip, cls), self.pool.path(clip)

        (clip, cls), segment = self.reader.first_usable(rng, candidates())
        return clip, cls, segment

    def _tagging_example(self, uid: str, rng) -> dict[str, np.ndarray]:
        """Two clips without regard to each other, so that a batch has two rows per
        example in every mode."""
        clip1, _, segment1 = self._first(uid, rng)
        clip2, _, segment2 = self._read(rng, lambda: self.pool.draw(rng, self.balance))
        example = {}
        for n, clip, segment in ((1, clip1, segment1), (2, clip2, segment2)):
            example[f"enroll_ref{n}"] = segment
            example[f"label{n}"] = self.pool.multi_hot(clip)
            if self.mode == "tagger":
                whole = self.clip_reader.read(rng, self.pool.path(clip))
                example[f"speech_ref{n}"] = whole
        return example

    def _pair(self, uid: str, rng) -> dict[str, np.ndarray]:
        clip1, cls1, segment1 = self._first(uid, rng)
        clip2, cls2, segment2 = self._read(
            rng, lambda: self.pool.draw_partner(rng, [clip1], self.balance)
        )
        anchors = [
            self._anchor(rng, clip1, cls1, segment1),
            self._anchor(rng, clip2, cls2, segment2),
        ]
        _, source1, source2 = mix_pair(segment1, segment2)
        source1, source2 = self.levels(rng, source1, source2)
        mixture = source1 + source2
        if self.train and self.p_third and rng.random() < self.p_third:
            mixture = mixture + self._third(rng, [clip1, clip2], source1)
        input1, target1 = self._triplet(rng, mixture, source1)
        input2, target2 = self._triplet(rng, mixture, source2)
        example = {
            "speech_mix": input1,
            "speech_ref1": target1,
            "speech_ref2": target2,
            "enroll_ref1": anchors[0],
            "enroll_ref2": anchors[1],
            "label1": self.pool.multi_hot(clip1),
            "label2": self.pool.multi_hot(clip2),
        }
        if self.train and self.p_identity + self.p_silence > 0:
            example["speech_mix2"] = input2
        return {name: value.astype(np.float32) for name, value in example.items()}

    def _anchor(self, rng, clip: int, cls: int, segment: np.ndarray) -> np.ndarray:
        if not self.train or rng.random() >= self.p_other:
            return segment
        other = self.pool.draw_other(rng, clip, cls)
        return self.reader.read_or(
            rng, self.pool.path(clip if other is None else other), segment
        )

    def _third(self, rng, clips: list[int], source: np.ndarray) -> np.ndarray:
        """A further sound, at a level beside the first source's as the second has."""
        _, _, segment = self._read(
            rng, lambda: self.pool.draw_partner(rng, clips, self.balance)
        )
        return self.levels.beside(rng, balance_energy(segment, source))

    def _triplet(self, rng, mixture, target) -> tuple[np.ndarray, np.ndarray]:
        """Input and target: of the mixture, of the target alone, or of the rest."""
        if self.train:
            share = rng.random()
            if share < self.p_identity:
                return target, target
            if share < self.p_identity + self.p_silence:
                return mixture - target, np.zeros_like(target)
        return mixture, target


def _check_shares(p_identity: float, p_silence: float, **others: float) -> None:
    shares = {"p_identity": p_identity, "p_silence": p_silence, **others}
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"{name} must be within 0 and 1, got {share}")
    if p_identity + p_silence > 1:
        raise ConfigError("p_identity + p_silence must be at most 1")
