"""Mixes speech with transcripts and other sounds, for recognition behind separation.

    python -m espnet2_caresep.bin.mix_speech --speech_dir data/asr/unseen \
        --query_dir data/asr/train --noise_dir dump/raw/test --snrs 0 -5 \
        --output_prefix dump/raw/asr_unseen

makes dump/raw/asr_unseen_0dB and dump/raw/asr_unseen_-5dB: ``wav.scp`` (mixtures),
``spk1.scp`` (the speech in them), ``enroll_spk1.scp`` (query: another utterance of the
voice), ``text``, and ``noise`` (which sound was mixed in). The speech keeps its level.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import keyed_directory, read_table, write_table
from espnet2_caresep.inference.audio.recording import read_audio, write_audio


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Mix speech with other sounds at given signal-to-noise ratios",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--speech_dir", required=True, help="has wav.scp and text")
    parser.add_argument(
        "--query_dir", required=True, help="other utterances of the voice: wav.scp"
    )
    parser.add_argument("--noise_dir", required=True, help="has wav.scp and labels")
    parser.add_argument(
        "--exclude", nargs="*", default=["speech"], help="labels that are no noise"
    )
    parser.add_argument("--snrs", type=float, nargs="+", default=[0.0, -5.0], help="dB")
    parser.add_argument("--fs", type=int, default=32000, help="of the mixtures in Hz")
    parser.add_argument("--seed", type=int, default=0, help="of noises and queries")
    parser.add_argument(
        "--output_prefix", required=True, help="PREFIX_<snr>dB are written"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Writes one data directory per ratio, with the same noises and queries.

    Raises:
        ValueError: If an input cannot be used or nothing is left to draw from.
    """
    speech = read_table(Path(args.speech_dir, "wav.scp"))
    text = read_table(Path(args.speech_dir, "text"))
    queries = read_table(Path(args.query_dir, "wav.scp"))
    labels = read_table(Path(args.noise_dir, "labels"))
    noises = {
        uid: path
        for uid, path in read_table(Path(args.noise_dir, "wav.scp")).items()
        if not set(labels[uid].split()) & set(args.exclude)
    }
    if not noises:
        raise ValueError(f"{args.noise_dir}: all clips have a label of --exclude")
    rng = np.random.default_rng(args.seed)
    chosen = {}
    for uid in sorted(speech):
        others = sorted(set(queries) - {uid})
        if not others:
            raise ValueError(f"{args.query_dir}: has no utterance but {uid} itself")
        noise = sorted(noises)[rng.integers(len(noises))]
        chosen[uid] = noise, queries[others[rng.integers(len(others))]]
    for snr in args.snrs:
        folder = Path(f"{args.output_prefix}_{snr:g}dB")
        key = f"{snr} {args.fs} {chosen} {sorted(speech.items())}"
        wavs = keyed_directory(folder / "data", key)
        tables = {name: {} for name in ("wav.scp", "spk1.scp", "enroll_spk1.scp")}
        for uid, (noise, query) in chosen.items():
            clean = read_audio(speech[uid]).mono().at(args.fs).samples[0]
            mixture = clean + scaled_noise(clean, noises[noise], args.fs, snr)
            paths = wavs / f"{uid}.wav", wavs / f"{uid}_speech.wav"
            for path, samples in zip(paths, (mixture, clean)):
                write_audio(path, samples, args.fs)
            tables["wav.scp"][uid], tables["spk1.scp"][uid] = paths
            tables["enroll_spk1.scp"][uid] = query
        tables["text"] = {uid: text[uid] for uid in chosen}
        tables["noise"] = {uid: noise for uid, (noise, _) in chosen.items()}
        for name, table in tables.items():
            write_table(folder / name, table)


def scaled_noise(clean: np.ndarray, path: str, rate: int, snr: float) -> np.ndarray:
    """A noise as long as the speech, repeated where it is shorter, at ``snr`` below it.

    Raises:
        ValueError: If the noise cannot be read or is silent there.
    """
    noise = read_audio(path).mono().at(rate).samples[0]
    noise = np.resize(noise, clean.shape)
    power = np.mean(np.square(noise, dtype=np.float64))
    if power == 0:
        raise ValueError(f"{path}: is silent")
    wanted = np.mean(np.square(clean, dtype=np.float64)) / 10 ** (snr / 10)
    return (noise * np.sqrt(wanted / power)).astype(np.float32)


if __name__ == "__main__":
    main()
