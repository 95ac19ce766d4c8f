"""Makes fixed mixtures from a list of pairs, and the test sets of stage 7 (stage 3).

The list has one pair a line: two sources, for each another clip of its class, and where
their segments begin. Every mixture has its two sources at equal energy. One pair gives
two items, one for each source as the target.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from espnet2_caresep.data.bandwidth import match_bandwidth
from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import (
    keyed_directory,
    read_table,
    write_table,
    write_whole,
)
from espnet2_caresep.data.mixing import energy, mix_pair, read_segment
from espnet2_caresep.data.pairs import Pair, read_pairs

QUERIES = ("enroll_spk1", "enroll_spk2", "other_spk1", "other_spk2")


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
        help="also write PREFIX_{mixture,matched,clean,silence}_{own,other}",
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


def read_pair(
    pair: Pair, paths: dict[str, str], sample_rate: int
) -> dict[str, np.ndarray]:
    """Reads the two sources, which are their own queries, and the other queries.

    Returns:
        List name (without ``.scp``) to waveform.

    Raises:
        ValueError: If a clip cannot be read, or a source or query is silent.
    """
    starts = (pair.start1, pair.start2, pair.other1_start, pair.other2_start)
    segments = {}
    for name, uid, start in zip(QUERIES, pair.uids(), starts):
        segments[name] = read_segment(paths[uid], start, pair.seconds, sample_rate)
        if energy(segments[name]) == 0.0:
            raise ValueError(f"{pair.pair}: {uid} is silent from {start:g} s on")
    return segments


def match_pair(queries: dict[str, np.ndarray], sample_rate: int):
    """The same waveforms, all with the bandwidth of the narrower source."""
    waveforms = list(queries.values())
    sources, others = match_bandwidth(waveforms[:2], waveforms[2:], sample_rate)
    return dict(zip(queries, sources + others))


def write_pair(
    stem: Path, queries: dict[str, np.ndarray], sample_rate: int
) -> dict[str, Path]:
    """Mixes the two sources and writes the waveforms of a pair, where not yet there.

    Args:
        stem: What the files' names begin with.
        queries: See :func:`read_pair`.
        sample_rate: Sample rate in Hz.

    Returns:
        List name (without ``.scp``) to file.
    """
    mixture, reference1, reference2 = mix_pair(*list(queries.values())[:2])
    waveforms = {"wav": mixture, "spk1": reference1, "spk2": reference2, **queries}
    files = {}
    for name, waveform in waveforms.items():
        files[name] = stem.with_name(f"{stem.name}_{name}.wav")
        if not files[name].exists():
            with write_whole(files[name]) as part:
                soundfile.write(part, waveform, sample_rate, subtype="FLOAT")
    return files


def write_inference_set(
    folder: Path,
    kind: str,
    query: str,
    items: dict[str, dict[str, Path]],
    labels: dict[str, dict[str, str]],
) -> None:
    """Writes the lists of a test set; the audio is that of the mixtures.

    mixture: the mixture in, the target wanted; matched: the same, of items that
    :func:`match_pair` made. clean: the target alone in, and wanted. silence: the
    partner alone in, silence wanted (so there is no reference).

    Args:
        folder: The test set.
        kind: One of those.
        query: "enroll", the target itself, or "other", another clip of its class.
        items: Pair to its files, see :func:`write_pair`.
        labels: List name to pair to labels.
    """
    lists: dict[str, dict[str, object]] = {}
    for pair, files in items.items():
        for target, partner in (("1", "2"), ("2", "1")):
            uid = f"{pair}_{target}"
            alone = {"clean": f"spk{target}", "silence": f"spk{partner}"}
            row = {
                "wav.scp": files[alone.get(kind, "wav")],
                "enroll_spk1.scp": files[f"{query}_spk{target}"],
                "labels": labels[f"label_spk{target}"][pair],
            }
            if kind != "silence":
                row["spk1.scp"] = files[f"spk{target}"]
            for name, value in row.items():
                lists.setdefault(name, {})[uid] = value
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(lists):  # wav.scp comes last
        write_table(folder / name, lists[name])


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
    items, matched = {}, {}
    for pair in pairs:
        queries = read_pair(pair, paths, args.fs)
        items[pair.pair] = write_pair(audio_dir / pair.pair, queries, args.fs)
        if args.inference_prefix is not None:
            stem = audio_dir / f"{pair.pair}_matched"
            queries = match_pair(queries, args.fs)
            matched[pair.pair] = write_pair(stem, queries, args.fs)
    labels = {
        "label_spk1": {p.pair: clip_labels[p.source1] for p in pairs},
        "label_spk2": {p.pair: clip_labels[p.source2] for p in pairs},
    }
    for name, table in labels.items():
        write_table(args.output_dir / name, table)
    for name in sorted([*QUERIES, "spk1", "spk2", "wav"]):  # wav.scp comes last
        write_table(
            args.output_dir / f"{name}.scp",
            {pair: files[name] for pair, files in items.items()},
        )
    if args.inference_prefix is not None:
        for kind in ("mixture", "matched", "clean", "silence"):
            made = matched if kind == "matched" else items
            for query, name in (("own", "enroll"), ("other", "other")):
                folder = Path(f"{args.inference_prefix}_{kind}_{query}")
                write_inference_set(folder, kind, name, made, labels)
    print(f"{args.output_dir}: {len(items)} pairs at 0 dB")


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), make_mixtures, cmd)


if __name__ == "__main__":
    main()
