"""Says which clips of a table are copies of recordings that are in use already.

A copy is the same recording at another rate, level or precision, through another codec,
or another cut of it. Patches of band energies behind onsets make a shortlist; the
waveforms decide. Rows of kind ``render`` are not looked at: their source is an instrument.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from corpus_table import TABLE, Clip, Sources, read_clips
from fingerprints import Recording, correlate, describe, read_audio

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import write_whole

ALIKE = 0.85  # cosine of two patches from which waveforms are compared
TRIES = 3  # pairs of patches to compare per pair of files


def find_matches(
    recordings: list[Recording],
    num_used: int,
    sources: Sources,
    least: float,
    within: bool,
) -> Iterator[tuple[str, str, float]]:
    """Compares new recordings with those in use and, if wanted, with earlier new ones.

    Args:
        recordings: Those in use first.
        num_used: Number of those in use.
        sources: Finds the files.
        least: Correlation from which two are the same recording.
        within: Compare new ones with earlier new ones too.

    Yields:
        A new source, the other one and their correlation.
    """
    counts = [len(recording.times) for recording in recordings]
    owners = np.repeat(np.arange(len(recordings)), counts)
    begins = np.concatenate([[0], np.cumsum(counts)])
    patches = np.concatenate([recording.patches for recording in recordings])
    for index in range(num_used, len(recordings)):
        new = recordings[index]
        end = begins[index if within else num_used]
        cosines = patches[:end] @ new.patches.T
        rows, columns = np.nonzero(cosines >= ALIKE)
        order = np.argsort(-cosines[rows, columns], kind="stable")
        tried: dict[int, int] = {}
        best: dict[int, float] = {}
        for row, column in zip(rows[order], columns[order]):
            other = int(owners[row])
            if best.get(other, 0.0) >= least or tried.get(other, 0) >= TRIES:
                continue
            tried[other] = tried.get(other, 0) + 1
            value = correlate(
                read_audio(sources.find(new.source)),
                int(new.times[column]),
                read_audio(sources.find(recordings[other].source)),
                int(recordings[other].times[row - begins[other]]),
            )
            best[other] = max(value, best.get(other, 0.0))
        for other, value in sorted(best.items()):
            if value >= least:
                yield new.source, recordings[other].source, value


def describe_all(
    clips: list[Clip], sources: Sources, everywhere: bool
) -> list[Recording]:
    """Describes each source of some clips once; what is not there is named."""
    found = []
    for source in dict.fromkeys(
        s for c in clips if c.kind != "render" for s in c.sources
    ):
        path = sources.find(source)
        try:
            if path is None:
                print(f"not there: {source}")
            else:
                found.append(describe(source, read_audio(path), everywhere))
        except soundfile.SoundFileError as error:
            print(f"left out: {source} ({error})")
    return found


def find_copies(
    clips: list[Clip], known: set[str], matches: dict[str, list[tuple[str, float]]]
) -> dict[str, tuple[str, str, float]]:
    """Returns the clips that are copies, with source, original and correlation.

    A clip of a source in use itself is one. A copy is no original for a third clip.
    """
    copies: dict[str, tuple[str, str, float]] = {}
    dropped: set[str] = set()
    for clip in clips:
        hits = [(1.0, source, source) for source in clip.sources if source in known]
        hits += [
            (value, source, other)
            for source in clip.sources
            for other, value in matches.get(source, [])
            if other not in clip.sources and other not in dropped
        ]
        if hits:
            value, source, other = max(hits)
            copies[clip.uid] = (source, other, value)
            dropped.update(clip.sources)
    return copies


def main() -> None:
    """Names the copies and, if wanted, writes the table without them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unpacked_dir", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True, help="clips to look at")
    parser.add_argument(
        "--used", type=Path, default=TABLE, help="table of those in use"
    )
    parser.add_argument(
        "--splits", default="valid,test", help="splits of --used to compare with"
    )
    parser.add_argument(
        "--within",
        action="store_true",
        help="also name copies of earlier rows of the same table",
    )
    parser.add_argument(
        "--least", type=float, default=0.7, help="correlation of a copy, 0 to 1"
    )
    parser.add_argument("--output", type=Path, help="table without the copies")
    args = parser.parse_args()
    sources = Sources(args.unpacked_dir)
    splits = args.splits.split(",")
    used = [clip for clip in read_clips(args.used) if clip.split in splits]
    in_use = {clip.uid for clip in used}
    clips = [clip for clip in read_clips(args.table) if clip.uid not in in_use]
    recordings = describe_all(used, sources, everywhere=True)
    num_used = len(recordings)
    if not recordings:
        raise ValueError(
            f"nothing to compare with: {args.unpacked_dir} holds no source of the "
            f"splits {args.splits} of {args.used}"
        )
    known = {recording.source for recording in recordings}
    recordings += [
        recording
        for recording in describe_all(clips, sources, everywhere=False)
        if recording.source not in known
    ]
    print(f"{len(recordings) - num_used} sources, {num_used} in use", flush=True)
    matches: dict[str, list[tuple[str, float]]] = {}
    for source, other, value in find_matches(
        recordings, num_used, sources, args.least, args.within
    ):
        matches.setdefault(source, []).append((other, value))
    copies = find_copies(clips, known, matches)
    for uid, (source, other, value) in copies.items():
        print(f"copy: {uid}\t{value:.2f}\t{source}\t{other}")
    print(f"{len(copies)} of {len(clips)} clips are copies")
    if args.output is not None:
        lines = args.table.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.split("\t", 1)[0] not in copies]
        with write_whole(args.output) as part:
            part.write_text("".join(kept), encoding="utf-8")


if __name__ == "__main__":
    with bad_input_exits():
        main()
