"""How fast training pairs are read and mixed; prints one JSON line.

    python -m espnet2_caresep.bin.benchmark_loader --data_dir dump/raw/train --num_workers 2

A pair is what one item of a training batch is: two clips read, cut, mixed, with their
anchors. ``pairs_per_second_per_worker`` says how many data-loading processes a GPU needs:
as many as (pairs that it trains on per second) / (this figure), rounded up. Rates of the
first batches are left out. ``pairs_per_cpu_second`` counts the CPU time of a worker:
what other programs do at the same time hardly changes it, nor do slow disks. Reading again what the operating system has just read is faster than a disk:
use a data directory that is larger than the memory.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from espnet2_caresep.data.command import run_command


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Measure how fast training pairs are read and mixed",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data_dir", required=True, help="of training clips (stage 4)")
    parser.add_argument("--fs", type=int, default=32000, help="sample rate in Hz")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a segment")
    parser.add_argument(
        "--p_other", type=float, default=0.0, help="share of anchors from other clips"
    )
    parser.add_argument("--batch_size", type=int, default=8, help="pairs")
    parser.add_argument("--batches", type=int, default=50, help="timed")
    parser.add_argument("--warmup", type=int, default=5, help="batches before, untimed")
    parser.add_argument(
        "--num_workers", type=int, default=1, help="processes; 0: the main one"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Checks the numbers and prints what was measured.

    Raises:
        ValueError: If an option or the data cannot be used.
    """
    for name in ("fs", "seconds", "batch_size", "batches"):
        if getattr(args, name) <= 0:
            raise ValueError(f"--{name} must be above 0, not {getattr(args, name)}")
    for name in ("warmup", "num_workers"):
        if getattr(args, name) < 0:
            raise ValueError(f"--{name} must be at least 0")
    print(json.dumps(measure(args)))


def measure(args: argparse.Namespace) -> dict:
    """Loads batches and takes the time.

    Raises:
        ValueError: If the data directory cannot be used.
    """
    import torch
    from espnet2.train.collate_fn import CommonCollateFn

    from espnet2_caresep.config import read_labels
    from espnet2_caresep.data.preprocessor import PairMixingPreprocessor

    preprocessor = PairMixingPreprocessor(
        train=True,
        labels=read_labels(None, args.data_dir),
        sample_rate=args.fs,
        max_samples=round(args.seconds * args.fs),
        source_dir=args.data_dir,
        p_other=args.p_other,
    )
    loader = torch.utils.data.DataLoader(
        _Pairs(preprocessor, (args.warmup + args.batches) * args.batch_size),
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        collate_fn=CommonCollateFn(not_sequence=("label1", "label2", "cpu_seconds")),
    )
    iterator = iter(loader)
    for _ in range(args.warmup):
        next(iterator)
    start = time.perf_counter()
    pairs, cpu_seconds = 0, 0.0
    for names, batch in iterator:
        pairs += len(names)
        cpu_seconds += float(batch["cpu_seconds"].sum())
    rate = pairs / (time.perf_counter() - start)
    with Path(args.data_dir, "wav.scp").open(encoding="utf-8") as file:
        clips = sum(1 for _ in file)
    return {
        "data_dir": args.data_dir,
        "clips": clips,
        "segment_seconds": args.seconds,
        "num_workers": args.num_workers,
        "cores": len(os.sched_getaffinity(0)),
        "pairs": pairs,
        "pairs_per_second": round(rate, 2),
        "pairs_per_second_per_worker": round(rate / max(1, args.num_workers), 2),
        "pairs_per_cpu_second": round(pairs / cpu_seconds, 2),
        "source_clips_per_second": round(2 * rate, 2),
    }


class _Pairs:
    """As many pairs as are asked for; which ones is the preprocessor's business."""

    def __init__(self, preprocessor, size: int):
        self.preprocessor = preprocessor
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int):
        start = time.process_time()
        item = self.preprocessor(str(index), {"speech_ref1": ""})
        seconds = np.array([time.process_time() - start], np.float32)
        return str(index), {**item, "cpu_seconds": seconds}


if __name__ == "__main__":
    main()
