"""Options of ``caresep separate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_caresep.cli.model_options import add_model_options, at_least_one

DESCRIPTION = """\
Separate what sounds like the queries from recordings of any length, rate and number of
channels. Outputs have the rate, length, channels and level of their mixture, and target
+ residual is the mixture."""

EPILOG = """\
examples:
  caresep separate street.wav --query dog.wav
  caresep separate *.flac --query dog=a.wav,b.wav --query siren=s.wav --residual
  caresep separate recordings/ --query @dog -o out --format flac --jobs 2
  caresep separate street.wav --query street.wav --query-start 3.2 --query-end 4

A presence that is "(in doubt)" is judged present, but many an absent sound scores like
that.

exit codes: 0 done, 2 an input, an option or the disk was wrong (all other files are
done), 3 a sound was judged absent (with --require-presence), 130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "mixtures", metavar="MIX", nargs="+", help="audio files, folders or patterns"
    )
    _add_wanted(parser.add_argument_group("what to separate"))
    _add_written(parser.add_argument_group("what to write"))
    _add_work(parser.add_argument_group("how to work"))
    add_model_options(parser)


def _add_wanted(group) -> None:
    group.add_argument(
        "--query",
        action="append",
        default=[],
        metavar="[NAME=]CLIP[,CLIP]",
        help="examples of a wanted sound, averaged: files, folders, patterns, or @BANK; "
        "may be given several times",
    )
    group.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME",
        help="a class whose query the model brings; may be given several times",
    )
    group.add_argument(
        "--query-start",
        type=float,
        default=0.0,
        metavar="S",
        help="second at which the example begins in every clip",
    )
    group.add_argument(
        "--query-end", type=float, metavar="S", help="second at which it ends"
    )
    group.add_argument(
        "--not",
        dest="unwanted",
        action="append",
        default=[],
        metavar="CLIP[,CLIP]",
        help="examples, as for --query but always whole, of a sound that is to stay in "
        "the residual; may be given several times",
    )
    group.add_argument(
        "--partition",
        action="store_true",
        help="stems share what several queries claim, instead of all holding it",
    )
    group.add_argument(
        "--require-presence",
        action="store_true",
        help="write no stem of a sound that is judged absent, and exit with 3",
    )
    group.add_argument(
        "--keep-absent",
        action="store_true",
        help="leave stems as they are where their sound is judged absent, in all of a "
        "recording or in a part of it, instead of fading them, by up to 40 dB",
    )


def _add_written(group) -> None:
    group.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("separated"),
        metavar="PATH",
        help="folder, or a file where there is one mixture and one query (default: "
        "%(default)s)",
    )
    group.add_argument(
        "--filename",
        default="{track}/{query}.{ext}",
        metavar="TEMPLATE",
        help="names in the folder, of {track}, {trackext}, {query} and {ext} (default: "
        "%(default)s)",
    )
    group.add_argument(
        "--format", choices=["wav", "flac", "ogg", "mp3"], help="default: wav"
    )
    group.add_argument(
        "--subtype",
        choices=["float", "pcm16", "pcm24"],
        help="sample format (default: float for wav, pcm24 for flac)",
    )
    group.add_argument(
        "--clip",
        choices=["rescale", "clamp", "none", "error"],
        default="none",
        help="beyond full scale: turn all outputs of the mixture down, limit, leave as "
        "it is (integers saturate), or refuse (default: %(default)s)",
    )
    group.add_argument(
        "--residual", action="store_true", help="also write the mixture - all stems"
    )
    group.add_argument(
        "--json", action="store_true", help="also write what was done, as JSON"
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace existing outputs"
    )
    group.add_argument(
        "--dry-run", action="store_true", help="check all and say what would be done"
    )


def _add_work(group) -> None:
    group.add_argument(
        "--jobs",
        type=at_least_one,
        default=1,
        metavar="N",
        help="mixtures at a time; they share the threads (default: %(default)s)",
    )
    group.add_argument(
        "--overlap",
        type=float,
        default=0.95,  # that of inference/overlap_add.py, which imports torch
        metavar="SHARE",
        help="of the network's segments in long audio, 0 to 0.95; more takes longer and "
        "depends less on where segments begin (default: %(default)s)",
    )
    group.add_argument(
        "-q", "--quiet", action="store_true", help="no progress, no list of outputs"
    )
