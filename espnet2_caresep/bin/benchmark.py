"""Speed, memory and size of a configuration; prints one JSON line.

    python -m espnet2_caresep.bin.benchmark --config conf/tuning/X.yaml --seconds 10 \
        --threads 2 [--train] [--device cuda --dtype bf16]

What is timed: without ``--train`` one query embedded and one mixture separated, both
``--seconds`` long; with ``--train`` one step of AdamW on ``--batch_size`` such pairs (at
most a segment long) with the waveform MAE. Weights are random; speed does not depend on
them. What is printed:

- ``seconds``: median over ``runs`` after warm-up, ``seconds_min`` and ``seconds_max``.
- ``peak_memory_mb``: largest resident memory of this process until then, imports
  included (VmHWM, in MiB); on a GPU also ``peak_gpu_memory_mb``, of tensors.
- ``parameters``; ``multiply_adds`` of one run, counted by PyTorch's FlopCounterMode as
  half its FLOPs: matrix products, convolutions and attention count, element-wise
  operations, normalisations and FFTs do not.
- ``matmul_flops``: what this machine reaches on square matrices with the same dtype and
  threads, in FLOP/s; ``matmul_share``: 2 * multiply_adds / seconds over it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Measure speed, memory and size of a configuration",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--config", required=True, help="training configuration")
    parser.add_argument("--seconds", type=float, default=10.0, help="audio length")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--train", action="store_true", help="time training steps")
    parser.add_argument("--batch_size", type=int, default=2, help="pairs, for --train")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--dtype", choices=["float32", "bf16"], default="float32")
    parser.add_argument("--runs", type=int, default=7, help="timed repetitions")
    parser.add_argument("--warmup", type=int, default=2, help="untimed repetitions")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Checks the numbers and prints what was measured.

    Raises:
        ValueError: If an option or the configuration cannot be used.
    """
    for name in ("seconds", "threads", "batch_size", "runs"):
        if getattr(args, name) <= 0:
            raise ValueError(f"--{name} must be above 0, not {getattr(args, name)}")
    print(json.dumps(measure(args)))


def measure(args: argparse.Namespace) -> dict:
    """Builds the network, times it and counts.

    Raises:
        ValueError: If the device or the configuration cannot be used.
    """
    import torch

    from espnet2_caresep.inference.device import choose_device
    from espnet2_caresep.inference.network_config import build_network, read_config

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = choose_device(args.device)
    network = build_network(read_config(args.config), args.config).to(device)
    samples = round(args.seconds * network.sample_rate)
    if samples < network.n_fft:
        raise ValueError(f"--seconds {args.seconds} is less than one STFT window")
    step = (_training_step if args.train else _separation)(network, samples, args)

    for _ in range(args.warmup):
        step()
    times = [_timed(step, device) for _ in range(args.runs)]
    # Memory before anything that only the benchmark needs.
    memory = {"peak_memory_mb": round(_peak_memory(), 1)}
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) / 2**20
        memory["peak_gpu_memory_mb"] = round(peak, 1)
    flops = _count_flops(step)
    seconds = statistics.median(times)
    rate = _matmul_rate(device, args.dtype)
    return {
        "config": args.config,
        "mode": "train" if args.train else "separate",
        "device": _describe(device),
        "dtype": args.dtype,
        "threads": args.threads,
        "audio_seconds": args.seconds,
        "batch_size": args.batch_size if args.train else 1,
        "runs": args.runs,
        "seconds": round(seconds, 5),
        "seconds_min": round(min(times), 5),
        "seconds_max": round(max(times), 5),
        **memory,
        "parameters": sum(p.numel() for p in network.parameters()),
        "multiply_adds": flops // 2,
        "matmul_flops": round(rate),
        "matmul_share": round(flops / seconds / rate, 4),
    }


def _separation(network, samples: int, args) -> Callable[[], None]:
    """Embed a query and separate a mixture, as CaRESeparator does."""
    import torch

    from espnet2_caresep.inference.overlap_add import hop_between, overlap_add
    from espnet2_caresep.inference.segments import separate_segments

    network.eval()
    device = next(network.parameters()).device
    query, mixture = torch.randn(2, 1, samples, device=device) / 10
    segment = network.segment_samples
    hop = hop_between(segment, network.hop_length)

    def step() -> None:
        with torch.inference_mode(), _autocast(device, args.dtype):
            embedding = network.embed(query)
            overlap_add(
                lambda audio, pieces: separate_segments(
                    network, audio, pieces, embedding
                )[:, :, 0],
                mixture,
                segment,
                hop,
            )

    return step


def _training_step(network, samples: int, args) -> Callable[[], None]:
    """One optimiser step on random pairs; tagging logits take part with weight 0."""
    import torch

    if samples > network.segment_samples:
        limit = network.segment_samples / network.sample_rate
        raise ValueError(f"--train: at most a segment of {limit:g} s, use --seconds")
    network.train()
    device = next(network.parameters()).device
    shape = (3, args.batch_size, samples)
    query, mixture, target = torch.randn(shape, device=device) / 10
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        with _autocast(device, args.dtype):
            anchor = network.encode_anchor(query)
            estimate = network.separate(mixture, anchor.query)
        loss = (estimate - target).abs().mean() + 0 * anchor.clip_logits.float().sum()
        loss.backward()
        optimizer.step()

    return step


def _autocast(device, dtype: str):
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bf16")


def _timed(step: Callable[[], None], device) -> float:
    import torch

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    start = time.perf_counter()
    step()
    wait()
    return time.perf_counter() - start


def _count_flops(step: Callable[[], None]) -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    # PyTorch counts the attention kernels of GPUs but not the one of CPUs.
    def attention(query, key, value, *_, **__) -> int:
        return sdpa_flop_count(query, key, value)

    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={kernel: attention}) as counter:
        step()
    return counter.get_total_flops()


def _matmul_rate(device, dtype: str) -> float:
    """Best of several products of square matrices, in FLOP/s.

    One will do where it takes seconds, as bfloat16 does on a CPU that must emulate it.
    """
    import torch

    size = 1536 if device.type == "cpu" else 8192
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    times: list[float] = []
    while len(times) < 8 and sum(times) < 4:
        times.append(_timed(lambda: a @ b, device))
    return 2 * size**3 / min(times)


def _peak_memory() -> float:
    """Largest resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource  # systems without /proc; macOS counts in bytes

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _describe(device) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


if __name__ == "__main__":
    main()
