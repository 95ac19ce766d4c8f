"""CaRE-SEP under training: losses of a batch, and the figures of a validation set."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch import Tensor

from espnet2_caresep.config import TAGGING_MODES, ConfigError
from espnet2_caresep.extractor import CaRESepExtractor
from espnet2_caresep.training import batch as batches
from espnet2_caresep.training.clip_memory import ClipMemory
from espnet2_caresep.training.frozen import frozen, hold_frozen
from espnet2_caresep.training.kernel import KernelTraining
from espnet2_caresep.training.losses import CaRESepLoss
from espnet2_caresep.training.precision import cpu_has_bfloat16
from espnet2_caresep.training.spec_augment import SpecAugment
from espnet2_caresep.training.tagger import TaggerTraining
from espnet2_caresep.training.validation import separation_figures, tagging_figures

MODES = ("sep", "cls", "cls+sep", "tagger")


class ESPnetCaRESepModel(AbsESPnetModel):
    """Trains the network on pairs of sources (paper section 2.1).

    A mixture a = a1 + a2 with anchors e1, e2 gives the triplets (a, a1, e1) and
    (a, a2, e2), computed as one batch. The query embedding comes from the encoder that
    also separates, with gradient unless ``query_grad`` is false.

    Args:
        extractor: Holds the network.
        labels: Class names.
        loss: Losses and their weights.
        mode: "sep" separates, "cls" tags the anchors only (the model that a separator
            is initialised from), "cls+sep" does both, "tagger" trains the
            convolutional tagger (``conv_tagger``) alone: all else stays as it is, bit
            for bit.
        query_grad: Whether the gradient flows through the query; if not, the query
            pass also runs in evaluation mode.
        cpu_autocast: "bfloat16" runs the network in bfloat16 on a CPU that is fast at
            it (its STFT, the product with the mask and the losses stay in float32);
            None, and every other CPU, in float32. On GPU, ``--use_amp`` does this.
        mixup_alpha: Tagging learns from anchors mixed in random proportion
            Beta(alpha, alpha) at equal level, labels in the same proportion; 0 is off.
            In mode "cls" all anchors are mixed; in "cls+sep", where clean anchors are
            tagged as they are embedded, half as many mixed ones are tagged beside them.
        time_mask_width: In modes "cls" and "tagger", SpecAugment hides two stretches of
            time of each anchor, each shorter than this many STFT frames; 0 is off.
        freq_mask_width: The same for ranges of frequency, in bands.
        extract_feats_in_collect_stats: ESPnet's switch; the statistics need no model.

    Raises:
        ConfigError: If an option has no meaning.
    """

    def __init__(
        self,
        extractor: CaRESepExtractor,
        labels: Sequence[str],
        loss: CaRESepLoss,
        mode: str = "sep",
        query_grad: bool = True,
        cpu_autocast: str | None = None,
        mixup_alpha: float = 0.0,
        time_mask_width: int = 0,
        freq_mask_width: int = 0,
        extract_feats_in_collect_stats: bool = False,
    ):
        super().__init__()
        if mode not in MODES:
            raise ConfigError(f"mode must be one of {MODES}, got {mode!r}")
        if cpu_autocast not in (None, "bfloat16"):
            raise ConfigError(
                f"cpu_autocast must be bfloat16 or null, got {cpu_autocast!r}"
            )
        if mixup_alpha < 0:
            raise ConfigError(f"mixup_alpha must be at least 0, got {mixup_alpha}")
        widths = {
            "time_mask_width": time_mask_width,
            "freq_mask_width": freq_mask_width,
        }
        for name, width in widths.items():
            if width < 0:
                raise ConfigError(f"{name} must be at least 0, got {width}")
        self.extractor = extractor
        self.labels = list(labels)
        self.loss = loss
        self.mode = mode
        self.query_grad = query_grad
        self.cpu_autocast = cpu_autocast
        self.mixup_alpha = mixup_alpha
        self.extract_feats_in_collect_stats = extract_feats_in_collect_stats
        self.item_figures: list[dict] | None = None
        self.tagger_training = self.kernel_training = None
        net = self.network.anchor_net
        if net.kernel is not None:
            # Where the encoder learns, it no longer says what it said long ago
            memory = (
                ClipMemory() if mode == "tagger" else ClipMemory(len(net.kernel.clips))
            )
            self.kernel_training = KernelTraining(net.kernel, memory, net.pooled_dim)
        learner = net
        if mode == "tagger":
            learner = net.conv_tagger
            if learner is None:
                raise ConfigError("mode tagger needs extractor_conf.conv_tagger")
            self.requires_grad_(False)
            learner.requires_grad_(True)
            self.tagger_training = TaggerTraining(
                net, mixup_alpha, self.kernel_training
            )
        if mode in TAGGING_MODES and any(widths.values()):
            learner.augment = SpecAugment(**widths)

    @property
    def network(self) -> torch.nn.Module:
        """The :class:`~espnet2_caresep.network.base.QuerySeparator`."""
        return self.extractor.network

    @property
    def separates(self) -> bool:
        """Whether this mode trains separation."""
        return self.mode not in TAGGING_MODES

    @property
    def tags(self) -> bool:
        """Whether this mode trains tagging."""
        return self.mode != "sep"

    def train(self, mode: bool = True) -> ESPnetCaRESepModel:
        """Training or evaluation mode; parts that are frozen as a whole stay in the
        latter, so that their statistics and outputs do not move either
        (``--freeze_param``)."""
        super().train(mode)
        hold_frozen(self)
        return self

    def forward(self, **batch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Loss of a batch.

        Args:
            batch: ``enroll_ref{n}`` (B, M) anchors, ``label{n}`` (B, C) multi-hot,
                ``speech_mix`` (B, N), ``speech_ref{n}`` (B, N), each waveform with
                ``_lengths`` (B,); ``speech_mix2`` is the input of the second triplet
                where it differs; ``other_ref{n}`` (B, M) is used in evaluation. In
                the training of a tagger, ``speech_ref{n}`` are whole clips instead.

        Returns:
            Loss, its parts for the log, and the batch size, as ESPnet wants them.
        """
        if self.kernel_training is not None and not self.training:
            self.kernel_training.finish()
        if self.separates:
            loss, stats, size = self._separation_step(batch)
        elif self.tagger_training is not None:
            loss, stats, size = self._tagger_step(batch)
        else:
            loss, stats, size = self._tagging_step(batch)
        stats["loss"] = loss.detach()
        return force_gatherable((loss, stats, size), loss.device)

    def collect_feats(self, **batch) -> dict[str, Tensor]:
        """No features: the statistics are shapes only."""
        return {}

    # -- the kinds of step -----------------------------------------------------

    def _tagging_step(self, batch: dict) -> tuple[Tensor, dict, int]:
        anchor, lengths = batches.stack(batch, "enroll_ref")
        labels = batches.labels(batch, "enroll_ref")
        if self.training and self.mixup_alpha > 0:
            anchor, labels = batches.mixup(anchor, labels, self.mixup_alpha)
            lengths = torch.full_like(lengths, anchor.shape[1])
        logits = self.tag(anchor, lengths)
        loss, stats = self.loss.tagging(logits, labels)
        if self.item_figures is not None:
            self.item_figures += tagging_figures(labels, logits)
        return loss, stats, len(anchor)

    def _tagger_step(self, batch: dict) -> tuple[Tensor, dict, int]:
        anchor = batches.trim(batches.stack(batch, "enroll_ref")[0])
        labels = batches.labels(batch, "enroll_ref")
        if self.training:
            clip = batches.trim(batches.stack(batch, "speech_ref")[0])
            with self._autocast(clip[0]):
                self.tagger_training.remember(clip, anchor, labels)
                logits, labels = self.tagger_training.learn()
        else:
            logits = self.tag(*anchor)
        if self.item_figures is not None:
            self.item_figures += tagging_figures(labels, logits)
        loss, stats = self.loss.tagging(logits, labels)
        return loss, stats, len(anchor[0])

    def _separation_step(self, batch: dict) -> tuple[Tensor, dict, int]:
        triplets = batches.triplets(batch)
        labels = batches.labels(batch, "speech_ref")
        query, logits, features = self.embed(
            triplets.anchor,
            triplets.anchor_lengths,
            tag=self.tags and labels is not None,
        )
        if self.training and features is not None and features.requires_grad:
            self.kernel_training.memory.remember(features=features, labels=labels)
        estimate = self.separate(triplets.mixture, query, triplets.lengths)
        loss, stats = self.loss.separation(estimate, triplets.target, triplets.mixture)
        if logits is not None:
            tagged, tags = logits, labels
            if self.training and self.mixup_alpha > 0:
                mixed, mixed_logits = self._tag_mixed(triplets, labels)
                tagged, tags = (
                    torch.cat([logits, mixed_logits]),
                    torch.cat([labels, mixed]),
                )
            tagging, parts = self.loss.tagging(tagged, tags)
            loss = loss + tagging
            stats.update(parts)
        if self.item_figures is not None:
            self.item_figures += self._figures(batch, triplets, query, estimate)
            if logits is not None:
                self.item_figures += tagging_figures(labels, logits)
        return loss, stats, len(batch["speech_mix"])

    def _tag_mixed(self, triplets: batches.Triplets, labels: Tensor):
        """Labels and logits (R / 2, C) of half of the anchors, mixed with others."""
        mixed, labels = batches.mixup(triplets.anchor, labels, self.mixup_alpha)
        half = max(1, len(mixed) // 2)
        mixed, labels = mixed[:half], labels[:half]
        lengths = triplets.anchor_lengths.new_full((half,), mixed.shape[1])
        return labels, self.tag(mixed, lengths)

    # -- the network -----------------------------------------------------------

    def embed(
        self, anchor: Tensor, lengths: Tensor, tag: bool = False
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Query embeddings of anchors, and clip logits where they are asked for.

        Args:
            anchor: (R, M) waveforms, at most a segment.
            lengths: (R,) samples.
            tag: Whether to tag, from the same encoder pass where gradient is on.

        Returns:
            Queries (R, Q), logits (R, C) or None, and what a kernel is fitted to (R, D)
            or None, float32.
        """
        if self.query_grad:
            with self._autocast(anchor):
                if not tag:
                    return self.network.embed(anchor, lengths).float(), None, None
                encoded = self.network.encode_anchor(anchor, lengths)
            features = None if self.kernel_training is None else encoded.features
            return encoded.query.float(), encoded.clip_logits.float(), features
        with frozen(self.network), self._autocast(anchor):
            query = self.network.embed(anchor, lengths)
        return query.float(), self.tag(anchor, lengths) if tag else None, None

    def tag(self, audio: Tensor, lengths: Tensor) -> Tensor:
        """Clip logits (R, C) in float32 of waveforms (R, M)."""
        with self._autocast(audio):
            logits, _ = self.network.tag(audio, lengths)
        return logits.float()

    def separate(self, mixture: Tensor, query: Tensor, lengths: Tensor) -> Tensor:
        """Separated waveforms (R, N) in float32."""
        with self._autocast(mixture):
            return self.network.separate(mixture, query, lengths).float()

    def _autocast(self, audio: Tensor):
        if self.cpu_autocast is None or audio.device.type != "cpu":
            return nullcontext()
        return torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bfloat16())

    def _figures(
        self, batch: dict, triplets: batches.Triplets, query: Tensor, estimate: Tensor
    ) -> list[dict]:
        """Scores of each triplet under the conditions of the paper (section 3.2)."""
        mixture, target, lengths, _, _ = triplets
        figures = {"clean_estimate": self.separate(target, query, lengths)}
        if len(batches.numbers(batch, "speech_ref")) == 2:
            rest = target.roll(len(target) // 2, 0)
            figures["rest"] = rest
            figures["rest_estimate"] = self.separate(rest, query, lengths)
        if "other_ref1" in batch:
            other, *_ = self.embed(*batches.stack(batch, "other_ref"))
            figures["other_estimate"] = self.separate(mixture, other, lengths)
        return separation_figures(target, estimate, **figures)
