"""ESPnet's trainer with the scores of the validation set, progress, and safe files."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from espnet2.torch_utils.safe_torch_load import safe_torch_load
from espnet2.train.reporter import Reporter
from espnet2.train.trainer import Trainer, TrainerOptions
from espnet2.utils.build_dataclass import build_dataclass

from espnet2_caresep.training.ema import WeightAverage
from espnet2_caresep.training.validation import epoch_scores

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class CaRESepTrainerOptions(TrainerOptions):
    """ESPnet's trainer options and ours."""

    ema_decay: float | None
    ema_start_share: float


class CaRESepTrainer(Trainer):
    """Adds to ESPnet's trainer:

    - the validation scores ``mixture_sdr``, ``mixture_sdr_other`` (query: another clip
      of the class), ``clean_sdr``, ``silence_sdr`` (means over items in dB) and
      ``mAP``, which ``--best_model_criterion`` can name;
    - a line for people per log interval and per epoch;
    - ``--ema_decay``, ``--ema_start_share``: validation and model files use averaged
      weights;
    - files that appear whole, so that a training killed at any moment resumes.
    """

    max_epoch: int
    average: WeightAverage | None

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Adds the options of this trainer."""
        parser.add_argument(
            "--ema_decay",
            type=float,
            default=None,
            help="Validate and save an exponential moving average of the weights, of "
            "which each step keeps this share (such as 0.999)",
        )
        parser.add_argument(
            "--ema_start_share",
            type=float,
            default=0.0,
            help="With --ema_decay: share of the weights at the start (--init_param) in "
            "what is validated and saved",
        )

    @classmethod
    def build_options(cls, args: argparse.Namespace) -> CaRESepTrainerOptions:
        """The options of ESPnet's trainer and of this one."""
        return build_dataclass(CaRESepTrainerOptions, args)

    @classmethod
    def run(cls, *, optimizers, trainer_options, distributed_option, **kwargs) -> None:
        """Trains to the last epoch; see ESPnet's Trainer."""
        cls.max_epoch = trainer_options.max_epoch
        decay, share = trainer_options.ema_decay, trainer_options.ema_start_share
        cls.average = None
        if decay is not None:
            cls.average = WeightAverage(optimizers, decay, share)
        first = not distributed_option.distributed or distributed_option.dist_rank == 0
        if first and trainer_options.resume:
            complete_last_epoch(
                Path(trainer_options.output_dir), trainer_options.best_model_criterion
            )
        with whole_files():
            super().run(
                optimizers=optimizers,
                trainer_options=trainer_options,
                distributed_option=distributed_option,
                **kwargs,
            )

    @classmethod
    def train_one_epoch(cls, *, iterator, reporter, options, **kwargs) -> bool:
        """One epoch; see ESPnet's Trainer."""
        if cls.average is not None:
            cls.average.to_training()
        iterator = Progress(iterator, reporter, options, cls.max_epoch)
        return super().train_one_epoch(
            iterator=iterator, reporter=reporter, options=options, **kwargs
        )

    @classmethod
    def validate_one_epoch(
        cls, *, model, iterator, reporter, options, distributed_option
    ) -> None:
        """Losses and scores of the validation set."""
        if cls.average is not None:
            cls.average.to_average()
        core = getattr(model, "module", model)
        core.item_figures = []
        try:
            super().validate_one_epoch(
                model=model,
                iterator=iterator,
                reporter=reporter,
                options=options,
                distributed_option=distributed_option,
            )
            items = core.item_figures
        finally:
            core.item_figures = None
        if distributed_option.distributed:
            gathered = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(gathered, items)
            items = [item for part in gathered for item in part]
        scores = epoch_scores(items)
        if scores:
            reporter.register(scores)
            reporter.next()
        logger.info(_epoch_line(reporter.get_epoch(), cls.max_epoch, scores))


class Progress:
    """Iterator over batches that logs a readable line per log interval."""

    def __init__(self, iterator, reporter, options: argparse.Namespace, max_epoch: int):
        self.iterator = iterator
        self.reporter = reporter
        self.max_epoch = max_epoch
        try:
            self.total = len(iterator)
        except TypeError:
            self.total = None
        default = max(self.total // 20, 10) if self.total else 100
        self.interval = options.log_interval or default

    def __len__(self) -> int:
        if self.total is None:
            raise TypeError("the iterator has no length")
        return self.total

    def __iter__(self) -> Iterator:
        start = time.perf_counter()
        for done, batch in enumerate(self.iterator, 1):
            yield batch
            # Here the trainer has registered the batch and asks for the next one.
            if done % self.interval == 0:
                self._log(done, (time.perf_counter() - start) / done)

    def _log(self, done: int, seconds: float) -> None:
        recent = {
            name: np.nanmean([value.value for value in values[-self.interval :]])
            for name, values in self.reporter.stats.items()
            if name in ("loss", "mae", "sdr", "bce", "optim0_lr0")
        }
        parts = [f"epoch {self.reporter.get_epoch()}/{self.max_epoch}"]
        parts.append(f"batch {done}/{self.total or '?'}")
        parts += [
            f"{'lr' if name == 'optim0_lr0' else name} {value:.4g}"
            for name, value in recent.items()
        ]
        parts.append(f"{seconds:.3g} s/batch")
        if self.total:
            parts.append(f"{(self.total - done) * seconds:.0f} s left in this epoch")
        logger.info(", ".join(parts))


def _epoch_line(epoch: int, max_epoch: int, scores: dict[str, float]) -> str:
    parts = [
        f"{name} {value:.3f}" if name == "mAP" else f"{name} {value:.2f} dB"
        for name, value in scores.items()
    ]
    return f"epoch {epoch}/{max_epoch} validation: " + (", ".join(parts) or "no scores")


@contextmanager
def whole_files() -> Iterator[None]:
    """Lets torch.save write to a temporary name and rename it when it is whole.

    ESPnet's trainer saves in place inside one long method; a kill there would leave a
    checkpoint that no training can resume from.
    """
    save = torch.save

    def save_whole(obj, f, *args, **kwargs):
        if not isinstance(f, (str, os.PathLike)):
            return save(obj, f, *args, **kwargs)
        part = f"{os.fspath(f)}.part"
        save(obj, part, *args, **kwargs)
        os.replace(part, f)

    with mock.patch.object(torch, "save", save_whole):
        yield


def complete_last_epoch(output_dir: Path, best_model_criterion) -> None:
    """Makes the model file and links of the last epoch, if a kill came before them.

    ESPnet writes the checkpoint first, then the model of the epoch and the links to
    the best models; the n-best average needs all of them.

    Args:
        output_dir: Where the training writes.
        best_model_criterion: Triples (phase, score, mode).
    """
    checkpoint = output_dir / "checkpoint.pth"
    if not checkpoint.exists():
        return
    states = safe_torch_load(checkpoint, map_location="cpu")
    reporter = Reporter()
    reporter.load_state_dict(states["reporter"])
    epoch = reporter.get_epoch()
    model = output_dir / f"{epoch}epoch.pth"
    if not model.exists():
        logger.warning(f"{model} is missing: made from {checkpoint}")
        with whole_files():
            torch.save(states["model"], model)
    _link(output_dir / "latest.pth", model.name)
    for phase, score, mode in best_model_criterion:
        if reporter.has(phase, score):
            best = reporter.get_best_epoch(phase, score, mode)
            if (output_dir / f"{best}epoch.pth").exists():
                _link(output_dir / f"{phase}.{score}.best.pth", f"{best}epoch.pth")


def _link(link: Path, target: str) -> None:
    part = link.with_name(f"{link.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(link)
