"""Writes data/{train_SUBSET,valid,eval} from AudioSet's lists and the audio that is there.

The validation clips are drawn from the balanced list, label by label in turn and whether
or not their audio is there, so that they are the same everywhere; neither training list
holds them. Clips without audio are counted, and named in missing_SET.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from class_list import ClassList, read_classes
from segments import SUBSETS, SUFFIXES, UNREAD, Segments, clip_id, walk_files

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import write_table, write_whole
from espnet2_caresep.data.pairs import spread_over_labels

TRAIN, VALID, EVAL = range(3)
LISTS = ("wav.scp", "labels", "utt2class")


def assign_splits(
    segments: Segments, sets: tuple[str, ...], valid_clips: int, seed: int
):
    """Returns for each clip whether it is for training, validation or evaluation."""
    split_of = np.full(len(segments), TRAIN, np.int8)
    split_of[segments.set_of == sets.index("eval")] = EVAL
    balanced = np.flatnonzero(segments.set_of == sets.index("balanced"))
    names = {
        str(clip): [str(label) for label in segments.labels(clip)] for clip in balanced
    }
    draw = random.Random(f"{seed} valid")
    chosen = spread_over_labels(names, valid_clips, draw)
    split_of[[int(clip) for clip in chosen]] = VALID
    return split_of


def find_audio(folders: list[Path], segments: Segments, output: Path) -> None:
    """Writes lines "id rank path" of all clips below the folders, sorted.

    Raises:
        ValueError: If a name cannot be written in a list.
    """
    unread: collections.Counter[str] = collections.Counter()
    with write_whole(output) as part:
        with open(part, "w", encoding="utf-8") as file:
            for folder in folders:
                for path, stem, suffix in walk_files(folder):
                    uid = clip_id(stem)
                    if uid is None or segments.find(uid) is None:
                        continue
                    if suffix in UNREAD:
                        unread[suffix] += 1
                    elif suffix in SUFFIXES:
                        path = os.path.abspath(path)
                        file.write(f"{uid} {SUFFIXES.index(suffix)} {path}\n")
        # Sorted outside of Python: the paths of two million clips need not fit in memory
        environment = {**os.environ, "LC_ALL": "C"}
        command = ["sort", "-o", str(part), "-T", str(output.parent), str(part)]
        subprocess.run(command, check=True, env=environment)
    for suffix, count in sorted(unread.items()):
        print(
            f"{count} clips are {suffix} files, which libsndfile does not read; convert "
            f"them to one of {' '.join(SUFFIXES)}"
        )


def read_found(path: Path, segments: Segments) -> Iterator[tuple[int, str]]:
    """Yields each clip once, with its file of the first rank, ids ascending."""
    previous = None
    with open(path, encoding="utf-8") as file:
        for line in file:
            uid, _, audio = line.rstrip("\n").split(" ", 2)
            if uid != previous:
                previous = uid
                yield segments.find(uid), audio


def write_splits(
    names: list[str],
    found: Iterator[tuple[int, str]],
    segments: Segments,
    classes: ClassList,
    split_of: np.ndarray,
    output_dir: Path,
) -> np.ndarray:
    """Writes the lists clip by clip to NAME.part.

    Returns:
        For each clip whether it was found.
    """
    there = np.zeros(len(segments), bool)
    with ExitStack() as stack:
        files = []
        for name in names:
            part = output_dir / f"{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            files.append(
                [
                    stack.enter_context(open(part / table, "w", encoding="utf-8"))
                    for table in LISTS
                ]
            )
        for clip, path in found:
            there[clip] = True
            fine = classes.finest(segments.labels(clip))
            rest = [index for index in segments.labels(clip) if index not in fine]
            # Y before the id, as in the usual file names: some ids begin with a hyphen.
            # The finest label comes first: it names the clip where only one can
            uid = f"Y{segments.ids[clip].decode()}"
            labels = " ".join(classes.names[index] for index in fine + rest)
            finest = " ".join(classes.names[index] for index in fine)
            for file, value in zip(files[split_of[clip]], (path, labels, finest)):
                file.write(f"{uid} {value}\n")
    return there


def report(
    name: str, wanted: np.ndarray, there: np.ndarray, segments, output_dir: Path
) -> int:
    """Counts the clips of a set, and names those that are missing in a file.

    Returns:
        How many are there.
    """
    missing = output_dir / f"missing_{name}"
    with write_whole(missing) as part, open(part, "wb") as file:
        absent = np.flatnonzero(wanted & ~there)
        file.writelines(segments.ids[clip] + b"\n" for clip in absent)
    total, count = int(wanted.sum()), int((wanted & there).sum())
    text = f"{output_dir / name}: {count} of {total} clips"
    if count < total:
        text += f"; the {total - count} without audio are named in {missing}"
    print(text, flush=True)
    return count


def write_data_dirs(args: argparse.Namespace) -> None:
    """Writes the three data directories.

    Raises:
        ValueError: If a list cannot be used, or too few clips are there.
    """
    classes = read_classes(
        args.metadata_dir / "class_labels_indices.csv",
        args.metadata_dir / "ontology.json",
    )
    sets = SUBSETS[args.subset]
    segments = Segments(args.metadata_dir, classes, sets)
    split_of = assign_splits(segments, sets, args.valid_clips, args.seed)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    write_class_files(classes, args.output_dir)
    found = args.output_dir / "found"
    find_audio(args.audio_dir, segments, found)
    names = [f"train_{args.subset}", "valid", "eval"]
    there = write_splits(
        names, read_found(found, segments), segments, classes, split_of, args.output_dir
    )
    found.unlink()
    few = []
    for split, name in enumerate(names):
        wanted = split_of == split
        count = report(name, wanted, there, segments, args.output_dir)
        if count < max(1, args.min_share * wanted.sum()):
            few.append(f"{name} {count} of {wanted.sum()}")
    if few:
        raise ValueError(
            f"fewer clips have audio than the share {args.min_share:g} (--min_share) "
            f"below which scores mean little: {', '.join(few)}; README.md says which "
            "file names are known"
        )
    for name in names:
        shutil.rmtree(args.output_dir / name, ignore_errors=True)
        (args.output_dir / f"{name}.part").rename(args.output_dir / name)


def write_class_files(classes: ClassList, output_dir: Path) -> None:
    """Writes the names of all classes by index, and what contains what."""
    with write_whole(output_dir / "labels.txt") as part:
        part.write_text("".join(f"{n}\n" for n in classes.names), encoding="utf-8")
    above = {
        name: " ".join(classes.names[index] for index in sorted(indices))
        for name, indices in zip(classes.names, classes.above)
        if indices
    }
    write_table(output_dir / "above", above)


def main() -> None:
    """Writes the data directories, or says what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metadata_dir", type=Path, required=True)
    parser.add_argument(
        "--audio_dir", type=Path, action="append", required=True, help="may come twice"
    )
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--subset", choices=SUBSETS, default="full")
    parser.add_argument("--valid_clips", type=int, default=1054)
    parser.add_argument("--min_share", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write_data_dirs(args)


if __name__ == "__main__":
    with bad_input_exits():
        main()
