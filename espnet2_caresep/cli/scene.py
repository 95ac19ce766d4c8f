"""``caresep scene``: a recording taken apart, with a page to listen to the parts."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_caresep.cli.event_options import add_event_options, event_rule
from espnet2_caresep.cli.model_options import (
    add_model_options,
    load_separator,
    warn_of_untrained_tags,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.description = (
        "Name the sounds of a recording, find when each one sounds, separate every one "
        "with its own span as the query, and write the stems, what is left, a timeline "
        "and one page to listen to all of it. Stems and residual add up to the "
        "recording."
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="audio, any length")
    parser.add_argument(
        "-o",
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="folder for stems/*.wav, residual.wav, timeline.json and report.html "
        "(default: FILE_scene, in the current folder)",
    )
    parser.add_argument(
        "--subtype",
        choices=["float", "pcm16", "pcm24"],
        default="float",
        help="sample format of the stems (default: float); integers clip at full scale",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace an earlier scene in the folder",
    )
    add_event_options(parser, top=8)
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Takes the recording apart and writes the folder.

    Raises:
        ValueError: If an input, an option, the folder or the model cannot be used.
    """
    from espnet2_caresep.inference.audio.reader import AudioReader
    from espnet2_caresep.inference.scene.folder import check_folder, write_scene

    folder = args.output_dir or Path(f"{args.file.stem}_scene")
    check_folder(folder, args.overwrite)
    mixture = AudioReader(args.file)
    separator = load_separator(args)
    warn_of_untrained_tags(args)

    from espnet2_caresep.inference.scene.scene import find_scene

    rule = event_rule(args)
    found = find_scene(separator, mixture, rule, show_progress=True)
    timeline = write_scene(
        folder, separator, found, rule.threshold, args.subtype, show_progress=True
    )
    sounds = timeline["sounds"]
    width = max((len(sound["label"]) for sound in sounds), default=0)
    for sound in sounds:
        label, score = sound["label"], sound["score"]
        print(f"  {label:{width}}  {score:.2f}  {sound['seconds']:7.2f} s")
    count = len(found.events)
    print(f"{count} events of {len(sounds)} sounds: {folder}/report.html")
    return 0
