"""Says what a voice in a mixture says, given an example of the voice.

    python -m espnet2_caresep.bin.separate_and_transcribe mix.wav --query voice.wav \
        --asr TAG [--model MODEL]

``--asr`` is a recogniser of ESPnet's ``asr`` task: a tag, URL or zip of its model zoo,
an experiment folder, or a configuration and its weights (``--asr config.yaml w.pth``).
The text goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet2_caresep.cli.model_options import add_model_options, load_separator
from espnet2_caresep.data.command import run_command


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Separate a voice from a mixture and recognise what it says",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("mix", help="audio file")
    parser.add_argument("--query", required=True, help="the voice, saying anything")
    parser.add_argument(
        "--asr",
        required=True,
        nargs="+",
        metavar="ASR",
        help="recogniser: tag, URL, zip, folder, or configuration and weights",
    )
    parser.add_argument(
        "--asr_fs", type=int, help="its rate in Hz (default: as it was trained)"
    )
    parser.add_argument(
        "--observation",
        type=float,
        default=0.0,
        help="add this much of the mixture to what was separated",
    )
    parser.add_argument("--beam_size", type=int, default=20, help="of the search")
    parser.add_argument(
        "--ctc_weight", type=float, default=0.5, help="of CTC against attention"
    )
    add_model_options(parser)
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Separates, recognises and prints the text.

    Raises:
        ValueError: If an input or a model cannot be used.
    """
    from espnet2_caresep.inference.audio.recording import read_audio

    if len(args.asr) > 2:
        raise ValueError("--asr takes one model, or a configuration and its weights")
    mixture, query = read_audio(args.mix), read_audio(args.query)
    separator = load_separator(args)

    # ESPnet takes seconds to import; by now the rest has been found usable.
    from espnet2_caresep.asr import Recogniser, separate_and_transcribe

    recogniser = Recogniser.from_pretrained(
        *args.asr,
        sample_rate=args.asr_fs,
        device=str(separator.device),
        beam_size=args.beam_size,
        ctc_weight=args.ctc_weight,
    )
    result = separate_and_transcribe(
        mixture, query, separator, recogniser, observation=args.observation
    )
    print(result.text)


if __name__ == "__main__":
    main()
