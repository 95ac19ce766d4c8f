"""Writes data/test from ESC-50's table: category as label, source file as group."""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import write_table

COLUMNS = ("filename", "category", "src_file")


def read_clips(path: Path) -> list[dict[str, str]]:
    """Reads meta/esc50.csv.

    Raises:
        ValueError: If it is missing or damaged.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error
    if not rows:
        raise ValueError(f"{path}: holds no clip")
    for number, row in enumerate(rows, 1):
        for name in COLUMNS:
            if not row.get(name) or set(" /\t").intersection(row[name]):
                raise ValueError(f"{path}: clip {number} has no good {name}: {row}")
    return rows


def write_data_dir(corpus_dir: Path, output_dir: Path, min_share: float) -> None:
    """Writes the lists of the clips that are there, and names the others.

    Raises:
        ValueError: If the table cannot be used or too many clips are missing.
    """
    rows = read_clips(corpus_dir / "meta/esc50.csv")
    paths, labels, groups, missing = {}, {}, {}, []
    for row in rows:
        path = (corpus_dir / "audio" / row["filename"]).absolute()
        if not path.exists():
            missing.append(row["filename"])
            continue
        uid = path.stem
        paths[uid], labels[uid] = path, row["category"]
        groups[uid] = row["src_file"]
    if missing:
        print(f"{len(missing)} of {len(rows)} clips are missing: {' '.join(missing)}")
    if len(paths) < max(1, min_share * len(rows)):
        raise ValueError(
            f"{corpus_dir}/audio: holds {len(paths)} of {len(rows)} clips, fewer than "
            f"the share {min_share:g} (--min_share)"
        )
    part = output_dir.with_name(f"{output_dir.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, table in (("wav.scp", paths), ("labels", labels), ("utt2group", groups)):
        write_table(part / name, table)
    shutil.rmtree(output_dir, ignore_errors=True)
    part.rename(output_dir)
    print(f"{output_dir}: {len(paths)} clips, {len(set(labels.values()))} categories")


def main() -> None:
    """Writes the data directory, or says what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus_dir", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--min_share", type=float, default=0.95)
    args = parser.parse_args()
    write_data_dir(args.corpus_dir, args.output_dir, args.min_share)


if __name__ == "__main__":
    with bad_input_exits():
        main()
