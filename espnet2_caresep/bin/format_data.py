"""Writes the clips of a data directory as mono files of one rate (stage 3)."""

from __future__ import annotations

import argparse
import collections
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import (
    keyed_directory,
    read_table,
    write_table,
    write_whole,
)

SILENT_PEAK = 1e-4  # -80 dB: nothing to learn from, and no energy to mix by
SUBTYPES = {"wav": "PCM_16", "flac": "PCM_16", "wav.float": "FLOAT"}


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--data_dir",
        type=Path,
        required=True,
        help="has wav.scp and labels, and may have cuts (uid start seconds), utt2class "
        "and utt2group",
    )
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--fs", type=int, default=32000, help="sample rate in Hz")
    parser.add_argument("--audio_format", choices=sorted(SUBTYPES), default="wav")
    parser.add_argument("--nj", type=int, default=2, help="parallel processes")
    parser.add_argument(
        "--max_skip_share",
        type=float,
        default=0.1,
        help="stop if more than this share of the clips cannot be used",
    )
    return parser


def read_clip(path: str, cut: str | None, sample_rate: int) -> np.ndarray:
    """Reads a recording, or a cut of it, as mono float32 at a given rate.

    Args:
        path: Any file that libsndfile reads.
        cut: "start seconds", or None for the whole file.
        sample_rate: The wanted rate in Hz.

    Returns:
        Waveform (samples,).

    Raises:
        ValueError: If it cannot be read, or is empty, silent or not finite.
    """
    try:
        with soundfile.SoundFile(path) as file:
            frames = -1
            if cut is not None:
                start, seconds = (float(number) for number in cut.split())
                file.seek(min(round(start * file.samplerate), file.frames))
                frames = round(seconds * file.samplerate)
            audio = file.read(frames, dtype="float32", always_2d=True)
            rate = file.samplerate
    except (soundfile.SoundFileError, OSError) as error:
        raise ValueError("unreadable") from error
    if len(audio) == 0:
        raise ValueError("empty")
    if not np.isfinite(audio).all():
        raise ValueError("not finite")
    mono = soxr.resample(audio.mean(axis=1), rate, sample_rate)
    peak = float(np.abs(mono).max(initial=0.0))
    if peak < SILENT_PEAK:
        raise ValueError("silent")
    # The resampling filter may overshoot; 16-bit files would clip it
    return mono / max(1.0, peak)


def format_clip(
    item: tuple[str, str, str | None], output_dir: Path, suffix: str, sample_rate: int
) -> tuple[str, int, str]:
    """Formats one clip unless it is there.

    Returns:
        The uid, the number of samples (0 if it cannot be used) and the reason if so.
    """
    uid, path, cut = item
    target = output_dir / f"{uid}.{suffix.split('.')[0]}"
    if target.exists():
        return uid, soundfile.info(target).frames, ""
    try:
        audio = read_clip(path, cut, sample_rate)
    except ValueError as error:
        return uid, 0, str(error)
    with write_whole(target) as part:
        soundfile.write(part, audio, sample_rate, subtype=SUBTYPES[suffix])
    return uid, len(audio), ""


def format_data(args: argparse.Namespace) -> None:
    """Formats the clips and copies the lists, without the clips that were skipped.

    Raises:
        ValueError: If an option is out of range, a list is missing or does not fit the
            others, or too many clips cannot be used.
    """
    if args.fs <= 0:
        raise ValueError(f"--fs {args.fs}: must be positive")
    args.output_dir.mkdir(parents=True, exist_ok=True)
    wavs = read_table(args.data_dir / "wav.scp")
    labels = read_table(args.data_dir / "labels")
    if not wavs:
        raise ValueError(f"{args.data_dir}/wav.scp: holds no clip")
    unlabelled = sorted(wavs.keys() - labels.keys())
    if unlabelled:
        raise ValueError(
            f"{args.data_dir}/labels: misses {len(unlabelled)} clips of wav.scp, "
            f"{unlabelled[0]} the first"
        )
    cuts = {}
    if (args.data_dir / "cuts").exists():
        cuts = read_table(args.data_dir / "cuts")
    audio_dir = keyed_directory(
        args.output_dir / "data", f"{args.fs} {args.audio_format} {wavs} {cuts}"
    ).absolute()
    items = [(uid, path, cuts.get(uid)) for uid, path in wavs.items()]
    work = partial(
        format_clip,
        output_dir=audio_dir,
        suffix=args.audio_format,
        sample_rate=args.fs,
    )
    num_samples, reasons = {}, {}
    with ProcessPoolExecutor(max(1, args.nj)) as pool:
        for done, result in enumerate(pool.map(work, items, chunksize=8), 1):
            uid, length, reason = result
            if reason:
                reasons[uid] = reason
            else:
                num_samples[uid] = length
            if done % max(1, len(items) // 5) == 0 or done == len(items):
                print(f"{args.data_dir.name}: {done} of {len(items)} clips", flush=True)
    report_skipped(args, len(items), reasons)

    for name, table in (("labels", labels), *optional_tables(args.data_dir)):
        kept = {uid: value for uid, value in table.items() if uid in num_samples}
        write_table(args.output_dir / name, kept)
    write_table(args.output_dir / "utt2num_samples", num_samples)
    suffix = args.audio_format.split(".")[0]
    # wav.scp comes last: where it is, the directory is whole
    write_table(
        args.output_dir / "wav.scp",
        {uid: os.path.join(audio_dir, f"{uid}.{suffix}") for uid in num_samples},
    )


def optional_tables(data_dir: Path) -> list[tuple[str, dict[str, str]]]:
    """Returns the name and content of the further lists that are there."""
    names = ("utt2class", "utt2group")
    return [(n, read_table(data_dir / n)) for n in names if (data_dir / n).exists()]


def report_skipped(
    args: argparse.Namespace, total: int, reasons: dict[str, str]
) -> None:
    """Counts and names the clips that were skipped, also in the file ``skipped``.

    Raises:
        ValueError: If there are too many of them.
    """
    write_table(args.output_dir / "skipped", reasons)
    if not reasons:
        return
    counts = collections.Counter(reasons.values())
    summary = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    print(
        f"{args.data_dir.name}: skipped {len(reasons)} of {total} clips ({summary}): "
        f"{' '.join(list(reasons)[:5])}{' ...' if len(reasons) > 5 else ''}; all are "
        f"named in {args.output_dir}/skipped"
    )
    if len(reasons) > args.max_skip_share * total:
        raise ValueError(
            f"{len(reasons)} of {total} clips of {args.data_dir} cannot be used, more "
            f"than the share {args.max_skip_share:g} (--max_skip_share)"
        )


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), format_data, cmd)


if __name__ == "__main__":
    main()
