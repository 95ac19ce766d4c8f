"""``caresep bank``: examples of a sound, embedded once and kept under a name."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from espnet2_caresep.cli.errors import one_line
from espnet2_caresep.cli.inputs import find_tracks
from espnet2_caresep.cli.model_options import add_model_options, load_separator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the actions and their options."""
    parser.description = (
        "Keep examples of a sound under a name: caresep separate MIX --query @NAME "
        "takes what they have in common. A bank belongs to the model that made it. A BANK "
        "is a name, kept in the user's data folder, or a path that ends in "
        ".safetensors."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    add = actions.add_parser(
        "add", help="add clips to a bank, which is made if need be"
    )
    add.add_argument("bank", metavar="BANK")
    add.add_argument(
        "clips", metavar="CLIP", nargs="+", help="audio files, folders or patterns"
    )
    add.add_argument(
        "--overwrite", action="store_true", help="forget what the bank held before"
    )
    add_model_options(add)

    listing = actions.add_parser("list", help="list the banks of a folder")
    listing.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        type=Path,
        help="default: caresep/banks in the user's data folder",
    )
    listing.add_argument("--json", action="store_true", help="print a JSON array")

    show = actions.add_parser("show", help="show the clips of a bank")
    show.add_argument("bank", metavar="BANK")
    show.add_argument("--json", action="store_true", help="print a JSON object")

    remove = actions.add_parser("remove", help="delete banks")
    remove.add_argument("banks", metavar="BANK", nargs="+")


def run(args: argparse.Namespace) -> int:
    """Does what the action says.

    Raises:
        ValueError: If a bank, a clip or the model cannot be used.
    """
    actions = {"add": _add, "list": _list, "show": _show, "remove": _remove}
    return actions[args.action](args)


def _add(args: argparse.Namespace) -> int:
    from espnet2_caresep.inference.banks.clips import embed_clip, extend_bank
    from espnet2_caresep.inference.banks.files import (
        SUFFIX,
        bank_path,
        load_bank,
        save_bank,
    )

    path = bank_path(args.bank)
    tracks, problems = find_tracks(args.clips, None)
    for line in problems:
        _say("error", line)
    if not tracks:
        return 2
    separator = load_separator(args)
    bank = None
    if path.exists() and not args.overwrite:
        bank = load_bank(path, separator.fingerprint)
    known = {source.sha256 for source in bank.sources} if bank else set()
    clips, failed = [], bool(problems)
    for track in tracks:
        try:
            clip = embed_clip(separator, track.path)
        except Exception as error:
            reason = one_line(error)
            if reason is None:
                raise
            failed = True
            _say("error", reason)
            continue
        if clip[1].sha256 in known:
            _say("note", f"{track.path}: is in the bank already")
            continue
        known.add(clip[1].sha256)
        clips.append(clip)
    if clips:
        name = path.name.removesuffix(SUFFIX)
        bank = extend_bank(name, separator, clips, bank)
        save_bank(path, bank)
        for source in bank.outliers:
            _say("warning", f"{source.file}: is unlike the other clips of the bank")
        count, total = len(clips), len(bank.sources)
        print(f"{name}: {count} added, {total} in all ({path})")
    return 2 if failed else 0


def _list(args: argparse.Namespace) -> int:
    from espnet2_caresep.inference.banks.bank import BankError
    from espnet2_caresep.inference.banks.files import SUFFIX, bank_folder, read_bank

    folder = args.folder or bank_folder()
    if args.folder is not None and not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    rows, failed = [], False
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            bank = read_bank(path)
        except BankError as error:
            if args.folder is None:  # a folder of banks alone
                failed = True
                _say("error", str(error))
            continue
        rows.append(_summary(bank) | {"path": str(path)})
    if args.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    elif not rows:
        print(f"no banks in {folder}")
    for row in rows if not args.json else []:
        clips = "1 clip" if row["clips"] == 1 else f"{row['clips']} clips"
        print(
            f"{row['name']}  {clips}, {row['seconds']:.1f} s, "
            f"dispersion {row['dispersion']:.2f}, model {row['fingerprint']}"
        )
    return 2 if failed else 0


def _show(args: argparse.Namespace) -> int:
    from espnet2_caresep.inference.banks.files import bank_path, read_bank

    bank = read_bank(args.bank)
    outliers = set(bank.outliers)
    sources = [
        {
            "file": source.file,
            "sha256": source.sha256,
            "seconds": source.seconds,
            "distance": round(float(distance), 4),
            "outlier": source in outliers,
        }
        for source, distance in zip(bank.sources, bank.distances)
    ]
    if args.json:
        content = _summary(bank) | {"sources": sources}
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return 0
    print(f"{bank.name}  ({bank_path(args.bank)})")
    print(f"  model       {bank.fingerprint}")
    print(f"  query       {bank.embeddings.shape[1]} numbers, mean of {len(sources)}")
    print(f"  dispersion  {bank.dispersion:.2f}  (0: equal clips, 1: nothing shared)")
    print("  clips       distance from the others, seconds, SHA-256, file")
    for row in sources:
        mark = "  outlier" if row["outlier"] else ""
        print(
            f"    {row['distance']:8.2f}  {row['seconds']:7.2f}  {row['sha256'][:12]}  "
            f"{row['file']}{mark}"
        )
    return 0


def _remove(args: argparse.Namespace) -> int:
    from espnet2_caresep.inference.banks.bank import BankError
    from espnet2_caresep.inference.banks.files import bank_path, read_bank

    paths = [bank_path(bank) for bank in args.banks]
    for bank, path in zip(args.banks, paths):
        if not path.is_file():
            raise BankError(f"{bank}: no such bank (see caresep bank list)")
        if str(bank) == str(path):
            read_bank(path)  # a path may lead anywhere: only a bank is deleted
    for path in dict.fromkeys(paths):
        path.unlink()
        print(f"removed {path}")
    return 0


def _summary(bank) -> dict:
    return {
        "name": bank.name,
        "fingerprint": bank.fingerprint,
        "clips": len(bank.sources),
        "seconds": round(sum(source.seconds for source in bank.sources), 3),
        "dispersion": round(bank.dispersion, 4),
        "outliers": [source.file for source in bank.outliers],
    }


def _say(kind: str, text: str) -> None:
    print(f"caresep bank: {kind}: {text}", file=sys.stderr)
