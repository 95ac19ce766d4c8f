"""Feeds damaged and odd files to ``caresep separate`` and counts tracebacks.

Each file is made from a seed: whole files of several formats with flipped, cut, doubled
or overwritten bytes, headers with impossible numbers, samples that are no numbers, odd
lengths, rates and channel counts, and model zips and query banks treated likewise. A
file may be refused with one line and exit code 2, or used; anything else is a finding
and its file is kept.

    python -m espnet2_caresep.bin.fuzz --count 1000
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from espnet2_caresep.bin.fuzz_files import KINDS, Seeds, make_file

CRASH = "the process died"


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Feed damaged and odd files to caresep separate",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=1000, help="files to try")
    parser.add_argument("--seed", type=int, default=0, help="first file's seed")
    parser.add_argument("--keep", help="folder for files that were findings")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser


def main(cmd: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0 if there was no finding, else 1."""
    args = get_parser().parse_args(cmd)
    if args.count < 1:
        get_parser().error("--count must be at least 1")
    seeds = range(args.seed, args.seed + args.count)
    if args.worker is not None:
        _work(seeds, Path(args.worker))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        outcomes = Counter()
        for seed, outcome in run(seeds, Path(folder)):
            outcomes[outcome.split("\n")[0]] += 1
            if not is_finding(outcome):
                continue
            print(f"seed {seed} ({KINDS[seed % len(KINDS)]}): {outcome}")
            if args.keep:
                place = Path(args.keep) / str(seed)
                place.mkdir(parents=True, exist_ok=True)
                make_file(seed, Seeds.of(Path(folder)), place)
    findings = sum(n for text, n in outcomes.items() if is_finding(text))
    print(
        f"{args.count} files: {outcomes['refused']} refused, {outcomes['used']} used, "
        f"{findings} tracebacks or other findings"
    )
    return 1 if findings else 0


def is_finding(outcome: str) -> bool:
    """Whether an outcome of :func:`try_seed` is one that should not be."""
    return outcome not in ("refused", "used")


def prepare(folder: Path) -> None:
    """Makes a small untrained model and the whole files that will be damaged."""
    Seeds.make(folder)


def run(seeds: range, folder: Path) -> Iterator[tuple[int, str]]:
    """Tries the seeds in a process of their own, and goes on after one that kills it.

    Yields:
        Seed and outcome.
    """
    first = seeds.start
    while first < seeds.stop:
        command = [sys.executable, "-m", "espnet2_caresep.bin.fuzz"]
        command += ["--worker", str(folder), "--seed", str(first)]
        command += ["--count", str(seeds.stop - first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            for line in worker.stdout:
                seed, outcome = line.rstrip("\n").split("\t", 1)
                first = int(seed) + 1
                yield int(seed), outcome.replace("\\n", "\n")
        if first < seeds.stop:
            yield first, f"{CRASH} (status {worker.returncode})"
            first += 1


def _work(seeds: range, folder: Path) -> None:
    """Prints one line per seed."""
    found = Seeds.of(folder)
    # What libraries print must not get between the lines.
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    for seed in seeds:
        outcome = try_seed(seed, found).replace("\n", "\\n")
        lines.write(f"{seed}\t{outcome}\n")


def try_seed(seed: int, seeds: Seeds) -> str:
    """Makes the file of a seed and gives it to the command.

    Returns:
        "refused", "used", or what went wrong.
    """
    from espnet2_caresep.cli.main import main as caresep

    out, err = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        command = make_file(seed, seeds, Path(folder))
        output = Path(folder) / "out"
        command = ["separate", *command, "-o", str(output), "--threads", "1"]
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = caresep(command)
        except SystemExit as end:
            code = end.code
        except Exception:  # noqa: BLE001 - what it is, is what is looked for
            return traceback.format_exc()
        written = sorted(output.rglob("*.*"))
    lines = err.getvalue().splitlines()
    errors = [line for line in lines if ": error: " in line]
    if code == 0 and not errors and len(written) == 1:
        return "used"
    if code == 2 and len(errors) == 1 and len(lines) == 1 and not written:
        return "refused"
    return f"exit code {code}, {len(written)} files, stderr {lines}"


if __name__ == "__main__":
    sys.exit(main())
