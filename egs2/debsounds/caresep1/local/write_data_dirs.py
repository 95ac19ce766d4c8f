"""Writes data/{train,valid,test}, or other splits, from a table and what was unpacked."""

from __future__ import annotations

import argparse
import collections
import shutil
from pathlib import Path

import soundfile
from corpus_table import TABLE, Clip, Sources, read_clips

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import write_table


def locate(clip: Clip, sources: Sources, derived_dir: Path) -> Path | None:
    """Returns the audio file of a clip, or None when it is not there."""
    if clip.kind == "file":
        return sources.find(clip.sources[0])
    path = derived_dir / f"{clip.uid}.flac"
    return path if path.exists() else None


def is_cut(clip: Clip, path: Path) -> bool:
    """Tells whether the clip is a part of its file."""
    try:
        return soundfile.info(path).duration > clip.start + clip.seconds + 0.05 or (
            clip.start > 0
        )
    except soundfile.SoundFileError:
        return False  # stage 3 counts and names what cannot be read


def write_split(output_dir: Path, found: dict[Clip, Path]) -> None:
    """Writes one data directory whole."""
    part = output_dir.with_name(output_dir.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    write_table(part / "wav.scp", {c.uid: p.absolute() for c, p in found.items()})
    cuts = {
        c.uid: f"{c.start:g} {c.seconds:g}" for c, p in found.items() if is_cut(c, p)
    }
    write_table(part / "cuts", cuts)
    write_table(part / "labels", {c.uid: c.label for c in found})
    write_table(part / "utt2class", {c.uid: c.fine for c in found})
    write_table(part / "utt2group", {c.uid: c.group for c in found})
    shutil.rmtree(output_dir, ignore_errors=True)
    part.rename(output_dir)


def choose_labels(clips: list[Clip], labels: str) -> list[Clip]:
    """Returns the clips of some labels, or all of them.

    Raises:
        ValueError: If no clip has one of the labels.
    """
    wanted = set(filter(None, labels.split(",")))
    known = {clip.label for clip in clips}
    if wanted - known:
        raise ValueError(
            f"--labels: no clip is {' or '.join(sorted(wanted - known))}; there are "
            f"{' '.join(sorted(known))}"
        )
    return of_labels(clips, labels)


def of_labels(clips: list[Clip], labels: str) -> list[Clip]:
    """Returns the clips that have one of the labels, or all where none is named."""
    wanted = set(filter(None, labels.split(",")))
    return [clip for clip in clips if not wanted or clip.label in wanted]


def leave_out(clips: list[Clip], path: Path) -> list[Clip]:
    """Returns the clips without those that a file names, one a line below a comment.

    Raises:
        ValueError: If it cannot be read, or names a clip that is not for training.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    names = {line for line in lines if not line.startswith("#")}
    for clip in clips:
        if clip.uid in names and clip.split != "train":
            raise ValueError(f"{path}: {clip.uid} is not for training")
    return [clip for clip in clips if clip.uid not in names]


def choose_more(more: list[Clip], clips: list[Clip], labels: str) -> list[Clip]:
    """Returns those of the further clips that have one of the labels, or all of them.

    Raises:
        ValueError: If one is not for training, or its name or group is in use.
    """
    names = {clip.uid for clip in clips} | {clip.group for clip in clips}
    for clip in more:
        if clip.split != "train" or names & {clip.uid, clip.group}:
            raise ValueError(
                f"{clip.uid}: further clips must be for training, with names and "
                "groups of their own"
            )
    return of_labels(more, labels)


def find_clips(
    clips: list[Clip], unpacked_dir: Path, derived_dir: Path
) -> dict[Clip, Path]:
    """Returns the files of the clips; those that are not there are named."""
    sources = Sources(unpacked_dir)
    found: dict[Clip, Path] = {}
    absent: collections.Counter[str] = collections.Counter()
    for clip in clips:
        path = locate(clip, sources, derived_dir)
        if path is None:
            absent[clip.package] += 1
            print(f"not there: {clip.uid} ({clip.sources[0]})")
        else:
            found[clip] = path
    for package, count in sorted(absent.items()):
        reason = "" if (unpacked_dir / package).exists() else " (no such package)"
        print(f"{package}: {count} clips are missing{reason}")
    return found


def main() -> None:
    """Writes a data directory for each split, or says what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unpacked_dir", type=Path, required=True)
    parser.add_argument("--derived_dir", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument(
        "--min_share",
        type=float,
        default=0.6,
        help="stop if a split has less than this share of its clips",
    )
    parser.add_argument(
        "--labels", default="", help="only these labels, separated by commas (all)"
    )
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument(
        "--splits", nargs="+", default=["train", "valid", "test"], help="of the table"
    )
    parser.add_argument(
        "--more_table", type=Path, help="table of further training clips"
    )
    parser.add_argument(
        "--more_derived_dir", type=Path, help="where clips are that were made of these"
    )
    parser.add_argument(
        "--more_packages", default="", help="only these of them, separated by spaces"
    )
    parser.add_argument(
        "--leave_out", type=Path, help="list of training clips that are not wanted"
    )
    parser.add_argument("packages", nargs="*", help="only these (default: all)")
    args = parser.parse_args()
    clips = choose_labels(read_clips(args.table, args.packages), args.labels)
    if args.leave_out is not None:
        clips = leave_out(clips, args.leave_out)
    found = find_clips(clips, args.unpacked_dir, args.derived_dir)
    for split in args.splits:
        total = sum(clip.split == split for clip in clips)
        there = {clip: path for clip, path in found.items() if clip.split == split}
        if len(there) < args.min_share * total or not there:
            raise ValueError(
                f"{split}: only {len(there)} of {total} clips are there, fewer than "
                f"the share {args.min_share:g} (--min_share) below which scores mean "
                "little; the lines above name the packages that are missing"
            )
    if args.more_table is not None:
        # They help where they are there; no score depends on their number
        more = choose_more(
            read_clips(args.more_table, args.more_packages.split()), clips, args.labels
        )
        found |= find_clips(more, args.unpacked_dir, args.more_derived_dir)
    for split in args.splits:
        there = {clip: path for clip, path in found.items() if clip.split == split}
        write_split(args.output_dir / split, there)
        minutes = sum(clip.seconds for clip in there) / 60
        labels = len({clip.label for clip in there})
        print(
            f"{args.output_dir / split}: {len(there)} clips, {minutes:.1f} min, "
            f"{labels} labels"
        )


if __name__ == "__main__":
    with bad_input_exits():
        main()
