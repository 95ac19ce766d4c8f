"""``caresep tag``: what sounds in recordings, and when."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from espnet2_caresep.cli.errors import one_line
from espnet2_caresep.cli.event_options import add_event_options, event_rule
from espnet2_caresep.cli.inputs import Track, find_tracks
from espnet2_caresep.cli.model_options import (
    add_model_options,
    load_separator,
    warn_of_untrained_tags,
)

FORMATS = {  # name -> how the file of a recording's tags ends
    "text": ".tags.txt",
    "json": ".tags.json",
    "csv": ".tags.csv",
    "audacity": ".labels.txt",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.description = (
        "Name what sounds in recordings of any length, with scores, and say when: "
        "events with start and end. An event needs a moment of the model at the "
        "threshold and reaches as far as moments stay above half of it."
    )
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="audio files, folders or patterns"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="text; json (one object per line on stdout); csv; audacity (a label track "
        "to import) (default: text)",
    )
    parser.add_argument(
        "-o",
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="write one file per recording, named after it, instead of to stdout",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace existing outputs"
    )
    add_event_options(parser, top=None)
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Tags; a file that cannot be used is reported and the others are still done.

    Raises:
        ValueError: If an option, an output or the model cannot be used.
    """
    tracks, problems = find_tracks(args.files, args.output_dir)
    if args.format == "audacity" and len(tracks) > 1 and args.output_dir is None:
        raise ValueError("one label track per file: give --output-dir for several")
    outputs = _outputs(tracks, args)
    for line in problems:
        _complain(line)
    if not tracks:
        return 2
    separator = load_separator(args)
    warn_of_untrained_tags(args)

    from espnet2_caresep.data.files import write_whole
    from espnet2_caresep.inference.tags.formats import tag_file

    rule = event_rule(args)
    failed = printed = False
    for track, output in zip(tracks, outputs):
        try:
            tags = tag_file(separator, track.path, rule, show_progress=True)
            text = _write(tags, args.format, to_file=bool(output), header=not printed)
            if output is None:
                print(text, end="", flush=True)
                printed = True
            else:
                output.parent.mkdir(parents=True, exist_ok=True)
                with write_whole(output) as part:
                    part.write_text(text, encoding="utf-8")
        except Exception as error:
            reason = one_line(error)
            if reason is None:
                raise
            failed = True
            _complain(reason)
    return 2 if failed or problems else 0


def _write(tags, form: str, to_file: bool, header: bool) -> str:
    from espnet2_caresep.inference.tags import formats

    if form == "json":
        return formats.as_json(tags, indent=1 if to_file else None)
    if form == "csv":
        return formats.as_csv(tags, header=to_file or header)
    return (formats.as_text if form == "text" else formats.as_audacity)(tags)


def _outputs(tracks: list[Track], args: argparse.Namespace) -> list[Path | None]:
    """Where each recording's tags go.

    Raises:
        ValueError: If a file exists, or two recordings would share one.
    """
    if args.output_dir is None:
        return [None] * len(tracks)
    if args.output_dir.exists() and not args.output_dir.is_dir():
        raise ValueError(f"{args.output_dir}: is a file, a folder is needed")
    outputs: dict[Path, Path] = {}
    for track in tracks:
        output = args.output_dir / (track.name + FORMATS[args.format])
        if output in outputs:
            raise ValueError(
                f"{outputs[output]} and {track.path} would both become {output}; tag "
                "them into different folders"
            )
        if output.exists() and not args.overwrite:
            raise ValueError(f"{output}: exists; give --overwrite to replace it")
        outputs[output] = track.path
    return list(outputs)


def _complain(line: str) -> None:
    print(f"caresep tag: error: {line}", file=sys.stderr)
