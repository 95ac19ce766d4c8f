"""What is looked at before a training starts, so that mistakes cost seconds."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import yaml
from espnet2.tasks import abs_task

from espnet2_caresep.config import (
    TAGGING_MODES,
    ConfigError,
    check_file,
    check_keys,
    check_labels,
    read_labels,
)
from espnet2_caresep.network.systems import SYSTEMS

# Arguments that the task gives itself, by option.
GIVEN = {
    "model": ("extractor", "labels", "loss", "mode"),
    "loss": (),
    "extractor": ("num_classes",),
    "preprocessor": (
        "train",
        "labels",
        "mode",
        "sample_rate",
        "max_samples",
        "seed",
        "rank",
    ),
    "optim": ("params",),
    "scheduler": ("optimizer", "last_epoch"),
}


def prepare(task, args: argparse.Namespace) -> None:
    """Checks options and files, and completes ``args`` for the saved configuration.

    Args:
        task: The task class.
        args: Its options; ``labels`` becomes the list, ``model_conf`` complete.

    Raises:
        ConfigError: At the first thing that cannot work.
    """
    _check_confs(task, args)
    _check_files(args)
    args.labels = read_labels(args.labels, args.preprocessor_conf.get("source_dir"))
    classes = args.extractor_conf.setdefault("num_classes", len(args.labels))
    if classes != len(args.labels):
        raise ConfigError(
            f"extractor_conf: num_classes is {classes}, but there are "
            f"{len(args.labels)} labels; leave it out"
        )
    _check_data(args)
    args.model_conf.setdefault("extract_feats_in_collect_stats", False)
    _complete_scheduler(args)
    if args.resume and not args.collect_stats:
        _check_same_training(args)


def _check_confs(task, args: argparse.Namespace) -> None:
    if args.extractor not in SYSTEMS:
        raise ConfigError(
            f"extractor must be one of {', '.join(SYSTEMS)}, got {args.extractor!r}"
        )
    for option, function in task.configurable(args.extractor).items():
        conf = getattr(args, option)
        if conf is None:
            conf = {}
        # num_classes stands in a saved configuration, which may be used again.
        exclude = GIVEN[option.removesuffix("_conf")]
        if option == "extractor_conf":
            exclude = ()
        check_keys(option, conf, function, exclude)
        setattr(args, option, dict(conf))
    optim = abs_task.optim_classes[args.optim]
    check_keys("optim_conf", args.optim_conf, optim, GIVEN["optim"])
    if args.scheduler is not None:
        scheduler = abs_task.scheduler_classes[args.scheduler]
        check_keys("scheduler_conf", args.scheduler_conf, scheduler, GIVEN["scheduler"])
    if args.ema_decay is not None and not 0 <= args.ema_decay < 1:
        raise ConfigError(
            f"--ema_decay must be at least 0 and below 1, got {args.ema_decay}"
        )
    if not 0 <= args.ema_start_share < 1:
        raise ConfigError(
            "--ema_start_share must be at least 0 and below 1, got "
            f"{args.ema_start_share}"
        )
    if args.ema_start_share and args.ema_decay is None:
        raise ConfigError("--ema_start_share needs --ema_decay")
    kept = np.atleast_1d(args.keep_nbest_models).max()
    if args.extractor_conf.get("known_clips") and kept > 1:
        raise ConfigError(
            "extractor_conf.known_clips needs keep_nbest_models 1: a mean of models would "
            "be one of their known clips, too, which are others in each"
        )
    if args.ngpu > torch.cuda.device_count():
        raise ConfigError(
            f"--ngpu {args.ngpu}: this machine has {torch.cuda.device_count()} CUDA "
            "devices; --ngpu 0 trains on CPU"
        )
    if args.iterator_type not in ("sequence", "category"):
        raise ConfigError(
            f"iterator_type must be sequence or category, got {args.iterator_type}: "
            "the preprocessor cuts the segments"
        )


def _check_files(args: argparse.Namespace) -> None:
    for part in ("train", "valid"):
        option = f"{part}_data_path_and_name_and_type"
        data = getattr(args, option)
        if not data and args.output_dir is not None and not args.dry_run:
            raise ConfigError(f"--{option} is needed, such as DIR/wav.scp,NAME,TYPE")
        for path, _, _ in data:
            check_file(f"--{option}", path, "stage 3 makes it")
        if not args.collect_stats:
            for path in getattr(args, f"{part}_shape_file"):
                check_file(f"--{part}_shape_file", path, "stage 5 makes it")
    for init_param in args.init_param:
        check_file("--init_param", init_param.split(":")[0])


def _check_data(args: argparse.Namespace) -> None:
    source_dir = args.preprocessor_conf.get("source_dir")
    for part in ("train", "valid"):
        kinds = {}
        for path, name, kind in getattr(args, f"{part}_data_path_and_name_and_type"):
            kinds[name] = kind
            if name.startswith("label"):
                check_labels(path, args.labels)
        if kinds:
            _check_names(part, kinds, args.mode, source_dir)
    if source_dir is not None:
        for name in ("wav.scp", "labels"):
            path = Path(source_dir, name)
            check_file("preprocessor_conf.source_dir", path, "stage 3 makes it")
        check_labels(Path(source_dir, "labels"), args.labels)


def _check_names(part: str, kinds: dict, mode: str, source_dir: str | None) -> None:
    """Refuses data that lack something the mode needs."""
    option = f"--{part}_data_path_and_name_and_type"
    if kinds.get("speech_ref1") == "text":
        if source_dir is None:
            raise ConfigError(
                f"{option}: clips given as paths need preprocessor_conf.source_dir, "
                "their data directory (such as dump/raw/train)"
            )
        return
    if part == "train" and mode == "tagger":
        raise ConfigError(
            f"{option}: mode tagger learns from whole clips, which must be given as "
            "paths: wav.scp,speech_ref1,text"
        )
    needed = ["enroll_ref1"]
    if mode not in TAGGING_MODES:
        needed += ["speech_mix", "speech_ref1"]
    if mode != "sep":
        needed += ["label1"]
    if "speech_ref2" in kinds or "enroll_ref2" in kinds:
        needed += [f"{name[:-1]}2" for name in needed if name.endswith("1")]
    missing = [name for name in needed if name not in kinds]
    if missing:
        raise ConfigError(
            f"{option}: mode {mode} needs {', '.join(needed)}; missing: "
            f"{', '.join(missing)} (or give clips as paths: wav.scp,speech_ref1,text)"
        )


def _complete_scheduler(args: argparse.Namespace) -> None:
    """The length of warmup_cosine follows from the length of the training."""
    if args.scheduler != "warmup_cosine" or "total_steps" in args.scheduler_conf:
        return
    if args.num_iters_per_epoch is None:
        raise ConfigError(
            "scheduler_conf: warmup_cosine needs total_steps, or --num_iters_per_epoch "
            "from which it follows"
        )
    steps = args.max_epoch * args.num_iters_per_epoch // args.accum_grad
    args.scheduler_conf = {**args.scheduler_conf, "total_steps": max(1, steps)}


def _check_same_training(args: argparse.Namespace) -> None:
    """Refuses to resume a training of another model."""
    if args.output_dir is None:
        return
    saved = Path(args.output_dir, "config.yaml")
    if not (saved.exists() and Path(args.output_dir, "checkpoint.pth").exists()):
        return
    try:
        old = yaml.safe_load(saved.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError:
        return  # cut off by a kill; it is written anew
    for option in ("mode", "labels", "extractor", "extractor_conf"):
        if option in old and old[option] != getattr(args, option):
            raise ConfigError(
                f"{args.output_dir} holds a training with another {option}: use "
                "another --output_dir, or --resume false to start over"
            )
