"""Makes fixed mixtures from a list of pairs, and the test sets of stage 7 (stage 3).

The list has one pair a line: two sources, for each another clip of its class, and where
their segments begin. Every mixture has its two sources at equal energy. One pair gives
two items, one for each source as the target.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import (
    keyed_directory,
    read_table,
    write_table,
    write_whole,
)
from espnet2_caresep.data.mixing import energy, mix_pair, read_segment
from espnet2_caresep.data.pairs import Pair, read_pairs


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="formatted clips (stage 3)"
    )
    parser.add_argument("--list", type=Path, required=True, help="pairs (tsv)")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument(
        "--inference_prefix",
        type=Path,
        help="also write PREFIX_{mixture,clean,silence}_{own,other}",
    )
    parser.add_argument("--fs", type=int, default=32000, help="sample rate in Hz")
    parser.add_argument(
        "--max_skip_share",
        type=float,
        default=0.4,
        help="stop if more than this share of the pairs needs clips that are missing",
    )
    return parser


def usable_pairs(pairs: list[Pair], known: Iterable[str], max_skip_share: float):
    """Returns the pairs whose clips are all there, and says which are not.

    Raises:
        ValueError: If more than the given share has to be left out.
    """
    known = set(known)
    missing = sorted({uid for pair in pairs for uid in pair.uids()} - known)
    usable = [pair for pair in pairs if known.issuperset(pair.uids())]
    if not missing:
        return usable
    skipped = len(pairs) - len(usable)
    message = (
        f"skipped {skipped} of {len(pairs)} pairs: {len(missing)} clips of the list "
        f"are not there ({' '.join(missing)})"
    )
    if skipped > max_skip_share * len(pairs):
        raise ValueError(
            f"{message}; that is more than the share {max_skip_share:g} "
            "(--max_skip_share): stage 1 says which packages are missing"
        )
    print(message)
    return usable


def make_pair(
    pair: Pair, paths: dict[str, str], audio_dir: Path, sample_rate: int
) -> dict[str, Path]:
    """Writes the waveforms of a pair.

    Returns:
        List name (without ``.scp``) to file.

    Raises:
        ValueError: If a clip cannot be read, or a source or query is silent.
    """
    starts = (pair.start1, pair.start2, pair.other1_start, pair.other2_start)
    segments = []
    for uid, start in zip(pair.uids(), starts):
        segment = read_segment(paths[uid], start, pair.seconds, sample_rate)
        if energy(segment) == 0.0:
            raise ValueError(f"{pair.pair}: {uid} is silent from {start:g} s on")
        segments.append(segment)
    source1, source2, other1, other2 = segments
    mixture, reference1, reference2 = mix_pair(source1, source2)
    waveforms: dict[str, np.ndarray] = {
        "wav": mixture,
        "spk1": reference1,
        "spk2": reference2,
        "enroll_spk1": source1,
        "enroll_spk2": source2,
        "other_spk1": other1,
        "other_spk2": other2,
    }
    files = {}
    for name, waveform in waveforms.items():
        files[name] = audio_dir / f"{pair.pair}_{name}.wav"
        if not files[name].exists():
            with write_whole(files[name]) as part:
                soundfile.write(part, waveform, sample_rate, subtype="FLOAT")
    return files


def write_inference_sets(
    prefix: Path, items: dict[str, dict[str, Path]], labels: dict[str, dict[str, str]]
) -> None:
    """Writes the six test sets; they share the files of the mixtures.

    mixture: the mixture in, the target wanted. clean: the target alone in, and wanted.
    silence: the partner alone in, silence wanted (so there is no reference). Each with
    the target itself as the query and with another clip of its class.
    """
    for query, query_list in (("own", "enroll"), ("other", "other")):
        for kind in ("mixture", "clean", "silence"):
            lists: dict[str, dict[str, object]] = {}
            for pair, files in items.items():
                for target, partner in (("1", "2"), ("2", "1")):
                    uid = f"{pair}_{target}"
                    audio = {
                        "mixture": files["wav"],
                        "clean": files[f"spk{target}"],
                        "silence": files[f"spk{partner}"],
                    }[kind]
                    row = {
                        "wav.scp": audio,
                        "enroll_spk1.scp": files[f"{query_list}_spk{target}"],
                        "labels": labels[f"label_spk{target}"][pair],
                    }
                    if kind != "silence":
                        row["spk1.scp"] = files[f"spk{target}"]
                    for name, value in row.items():
                        lists.setdefault(name, {})[uid] = value
            output_dir = prefix.with_name(f"{prefix.name}_{kind}_{query}")
            output_dir.mkdir(parents=True, exist_ok=True)
            for name in sorted(lists):  # wav.scp comes last
                write_table(output_dir / name, lists[name])


def make_mixtures(args: argparse.Namespace) -> None:
    """Makes the mixtures and their lists.

    Raises:
        ValueError: If a list is missing or damaged, or too many clips are missing.
    """
    paths = read_table(args.data_dir / "wav.scp")
    clip_labels = read_table(args.data_dir / "labels")
    pairs = usable_pairs(read_pairs(args.list), paths, args.max_skip_share)
    # Clips made another way (rate, format) have other times: the key changes with them
    made_with = (args.data_dir / "data" / ".made_with").read_text(encoding="utf-8")
    audio_dir = keyed_directory(
        args.output_dir / "data", f"{args.fs} {args.list.read_bytes()!r} {made_with}"
    ).absolute()
    items = {}
    for pair in pairs:
        items[pair.pair] = make_pair(pair, paths, audio_dir, args.fs)
    labels = {
        "label_spk1": {p.pair: clip_labels[p.source1] for p in pairs},
        "label_spk2": {p.pair: clip_labels[p.source2] for p in pairs},
    }
    for name, table in labels.items():
        write_table(args.output_dir / name, table)
    for name in ("other_spk1", "other_spk2", "enroll_spk1", "enroll_spk2") + (
        "spk1",
        "spk2",
        "wav",
    ):
        write_table(
            args.output_dir / f"{name}.scp",
            {pair: files[name] for pair, files in items.items()},
        )
    if args.inference_prefix is not None:
        write_inference_sets(args.inference_prefix, items, labels)
    print(f"{args.output_dir}: {len(items)} pairs at 0 dB")


def main(cmd: list[str] | None = None) -> None:
    """Runs the command."""
    args = get_parser().parse_args(cmd)
    with bad_input_exits():
        make_mixtures(args)


if __name__ == "__main__":
    main()
