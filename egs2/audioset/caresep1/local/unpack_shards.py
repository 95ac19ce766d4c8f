"""Unpacks the clips of tar shards; each shard is read once, from its begin to its end.

Only clips of the wanted lists are written. A shard that was read to its end leaves a
mark and is not read again.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tarfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from class_list import read_classes
from segments import SUBSETS, SUFFIXES, Segments, clip_id, walk_files

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import write_whole

wanted: Segments  # in each process of the pool


def share(segments: Segments) -> None:
    """Gives a process the wanted clips once, not with every shard."""
    global wanted
    wanted = segments


def unpack_shard(path: str, subset: str, output_dir: Path) -> tuple[int | None, str]:
    """Writes the wanted clips of a shard, each below the first two letters of its id.

    Returns:
        The number of clips that it holds, None if it was read before, and what is wrong
        with it, if anything is.
    """
    status = Path(path).stat()
    digest = hashlib.sha256(path.encode()).hexdigest()[:16]
    mark = output_dir / ".done" / digest
    key = f"{path} {status.st_size} {status.st_mtime_ns} {subset}"
    if mark.exists() and mark.read_text(encoding="utf-8") == key:
        return None, ""
    count = 0
    try:
        with tarfile.open(path, mode="r|") as shard:
            for member in shard:
                name = Path(member.name)
                uid = clip_id(name.stem)
                if not member.isreg() or name.suffix.lower() not in SUFFIXES:
                    continue
                if uid is None or wanted.find(uid) is None:
                    continue
                count += 1
                target = output_dir / uid[:2] / name.name
                if target.exists() and target.stat().st_size == member.size:
                    continue
                target.parent.mkdir(exist_ok=True)
                with write_whole(target) as part, open(part, "wb") as file:
                    shutil.copyfileobj(shard.extractfile(member), file)
    except (tarfile.TarError, OSError) as error:
        return count, f"{path}: damaged after {count} clips ({error})"
    with write_whole(mark) as part:
        part.write_text(key, encoding="utf-8")
    return count, ""


def main() -> None:
    """Unpacks all shards below a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus_dir", type=Path, required=True)
    parser.add_argument("--metadata_dir", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--subset", choices=SUBSETS, default="full")
    parser.add_argument("--nj", type=int, default=2, help="shards read side by side")
    args = parser.parse_args()
    shards = sorted(p for p, _, end in walk_files(args.corpus_dir) if end == ".tar")
    if not shards:
        return
    classes = read_classes(
        args.metadata_dir / "class_labels_indices.csv",
        args.metadata_dir / "ontology.json",
    )
    segments = Segments(args.metadata_dir, classes, SUBSETS[args.subset])
    (args.output_dir / ".done").mkdir(parents=True, exist_ok=True)
    work = partial(
        unpack_shard, subset=args.subset, output_dir=args.output_dir.absolute()
    )
    with ProcessPoolExecutor(
        max(1, args.nj), initializer=share, initargs=(segments,)
    ) as pool:
        for done, (count, problem) in enumerate(pool.map(work, shards), 1):
            if problem:
                print(problem, flush=True)
            elif count is not None:
                print(f"shard {done} of {len(shards)}: {count} clips", flush=True)


if __name__ == "__main__":
    with bad_input_exits():
        main()
