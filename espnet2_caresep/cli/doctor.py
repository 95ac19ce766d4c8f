"""``caresep doctor``: what is installed here, and does it separate?"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from espnet2_caresep.cli.model_options import add_model_options

PACKAGES = (
    "torch",
    "numpy",
    "soundfile",
    "soxr",
    "safetensors",
    "espnet",
    "espnet_model_zoo",
)


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: What was looked at.
        status: "ok", "note" (works, but see) or "fail".
        text: What was found.
    """

    name: str
    status: str
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.description = (
        "Say which versions, devices, audio formats, folders and models there are, and "
        "separate two seconds of made-up sound: with the model at hand, or with a small "
        "untrained network where there is none. Exits with 2 if anything fails."
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Reports."""
    checks = []
    for check in _checks(args):
        checks.append(check)
        if not args.json:
            print(f"{check.status:4}  {check.name:16}  {check.text}", flush=True)
    failed = any(check.status == "fail" for check in checks)
    if args.json:
        content = {"ok": not failed, "checks": [asdict(check) for check in checks]}
        print(json.dumps(content, indent=1, ensure_ascii=False))
    return 2 if failed else 0


def _checks(args: argparse.Namespace) -> Iterator[Check]:
    version = _version("espnet2_caresep")
    yield Check("caresep", "ok" if version else "fail", version or "is not installed")
    system = (platform.system(), platform.machine(), *platform.libc_ver())
    text = f"{platform.python_version()}, {' '.join(part for part in system if part)}"
    yield Check("python", "ok", text)
    for package in PACKAGES:
        found = _version(package)
        yield Check(package, "ok" if found else "fail", found or "is not installed")
    yield _formats()
    yield _ffmpeg()
    yield from _folders()
    yield from _models()
    try:
        yield from _devices()
        yield _self_test(args)
    except ImportError as error:
        yield Check("self-test", "fail", f"cannot be run: {_line(error)}")


def _formats() -> Check:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        return Check("formats", "fail", _line(error))
    known = soundfile.available_formats()
    wanted = ("WAV", "FLAC", "OGG", "MP3")
    missing = [name for name in wanted if name not in known]
    text = f"libsndfile {soundfile.__libsndfile_version__}: {', '.join(wanted)}"
    if missing:
        return Check("formats", "note", f"{text}; missing {', '.join(missing)}")
    return Check("formats", "ok", text)


def _ffmpeg() -> Check:
    path = shutil.which("ffmpeg")
    if path is None:
        text = "not found; not needed, but it turns other formats into WAV"
        return Check("ffmpeg", "note", text)
    try:
        done = subprocess.run(
            [path, "-version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("ffmpeg", "note", f"{path} does not run ({_line(error)})")
    return Check("ffmpeg", "ok", f"{done.stdout.splitlines()[0]} ({path})")


def _folders() -> Iterator[Check]:
    from espnet2_caresep.inference.banks.files import bank_folder
    from espnet2_caresep.inference.models import cache_folders

    for name, folder in (("banks", bank_folder()), ("cache", cache_folders()[0])):
        place = folder
        while not place.exists() and place != place.parent:
            place = place.parent
        writable = place.is_dir() and os.access(place, os.W_OK)
        text = str(folder) if writable else f"{folder}: cannot be written"
        yield Check(name, "ok" if writable else "note", text)


def _models() -> Iterator[Check]:
    from espnet2_caresep.inference.models import find_models

    models = find_models()
    for model in models:
        if model.problem:
            yield Check("model", "note", f"{model.path}: {model.problem}")
        else:
            yield Check("model", "ok", f"{model.name} ({model.origin})")
    if not models:
        yield Check("model", "note", "none is at hand; --model MODEL names one")


def _devices() -> Iterator[Check]:
    import torch

    threads = torch.get_num_threads()
    yield Check("cpu", "ok", "1 thread" if threads == 1 else f"{threads} threads")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        yield Check("cuda", "ok", f"{properties.name}, {memory:.0f} GiB")
    if torch.backends.mps.is_available():
        yield Check("mps", "ok", "Apple GPU")


def _self_test(args: argparse.Namespace) -> Check:
    import torch

    from espnet2_caresep.inference.self_test import run_self_test, tiny_separator
    from espnet2_caresep.inference.separator import CaRESeparator

    source = args.model or _model_at_hand()
    try:
        if args.threads is not None:
            torch.set_num_threads(args.threads)
        if source is None:
            separator = tiny_separator(args.device)
        else:
            separator = CaRESeparator.from_pretrained(source, args.device)
        result = run_self_test(separator)
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        return Check("self-test", "fail", _line(error))
    name = "a small untrained network" if source is None else str(source)
    text = f"{name} on {separator.device}: 2 s in {result.seconds:.2f} s"
    if result.problem:
        return Check("self-test", "fail", f"{text}; {result.problem}")
    if source is None:
        return Check("self-test", "ok", f"{text}; target + residual = mixture")
    gain = f"SDR {result.sdr_before:.1f} -> {result.sdr_after:.1f} dB"
    status = "ok" if result.sdr_after > result.sdr_before else "note"
    return Check("self-test", status, f"{text}; {gain}; target + residual = mixture")


def _model_at_hand() -> Path | None:
    from espnet2_caresep.inference.models import find_models

    usable = [model.path for model in find_models() if model.problem is None]
    return usable[0] if usable else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
