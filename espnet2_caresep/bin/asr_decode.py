"""Recognises mixtures, what was separated from them, and the clean speech.

    python -m espnet2_caresep.bin.asr_decode --asr MODEL --data_dir dump/raw/asr_unseen_0dB \
        --separated exp/X/inference/asr_unseen_0dB/spk1.scp --output_dir OUT

writes ``OUT/hyp.tsv``: utterance, condition, text. Conditions are ``mixture``, ``clean``
and ``separated``, and ``separated+A`` for each A of ``--observations``: the target with A
times the mixture added.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import read_table, write_whole
from espnet2_caresep.inference.audio.recording import Audio, read_audio
from espnet2_caresep.progress import progress


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Recognise mixtures, separated and clean speech",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--asr",
        required=True,
        nargs="+",
        help="recogniser: tag, URL, zip, folder, configuration and weights, or "
        "MODULE:FUNCTION",
    )
    parser.add_argument("--data_dir", required=True, help="has wav.scp and spk1.scp")
    parser.add_argument("--separated", required=True, help="list of what was separated")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--key_file", help="only utterances that begin a line of it")
    parser.add_argument(
        "--observations",
        type=float,
        nargs="*",
        default=[],
        help="shares of the mixture",
    )
    parser.add_argument("--beam_size", type=int, default=10, help="of the search")
    parser.add_argument(
        "--ctc_weight", type=float, default=0.5, help="of CTC against attention"
    )
    parser.add_argument("--ngpu", type=int, default=0, help="0: CPU, 1: one GPU")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Recognises each utterance under each condition.

    Raises:
        ValueError: If an input or the recogniser cannot be used.
    """
    mixtures = read_table(Path(args.data_dir, "wav.scp"))
    clean = read_table(Path(args.data_dir, "spk1.scp"))
    separated = read_table(args.separated)
    uids = list(mixtures)
    if args.key_file:
        lines = Path(args.key_file).read_text(encoding="utf-8").splitlines()
        uids = [line.split()[0] for line in lines if line.strip()]
    missing = [uid for uid in uids if uid not in separated]
    if missing:
        raise ValueError(f"{args.separated}: lacks {len(missing)}, first {missing[0]}")

    from espnet2_caresep.asr import Recogniser

    recogniser = Recogniser.from_pretrained(
        *args.asr,
        device="cuda" if args.ngpu else "cpu",
        beam_size=args.beam_size,
        ctc_weight=args.ctc_weight,
    )
    lines = ["utterance\tcondition\ttext"]
    for uid in progress(uids, "recognise"):
        files = mixtures[uid], separated[uid], clean[uid]
        mixture, target, speech = map(read_audio, files)
        for name, audio in _conditions(mixture, target, speech, args.observations):
            lines.append(f"{uid}\t{name}\t{recogniser.transcribe(audio)}")
    out = Path(args.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    with write_whole(out / "hyp.tsv") as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _conditions(
    mixture: Audio, target: Audio, clean: Audio, observations: Sequence[float]
) -> Iterator[tuple[str, Audio]]:
    yield "mixture", mixture
    yield "clean", clean
    yield "separated", target
    for share in observations:
        samples = target.samples + share * mixture.samples
        yield f"separated+{share:g}", Audio(samples, mixture.sample_rate, mixture.name)


if __name__ == "__main__":
    main()
