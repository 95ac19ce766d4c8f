"""Stage 8: a small gallery of test mixtures, pictures and sounds.

The items are chosen by a rule, not by ear: all outputs of a test set are sorted by SDR
and taken at evenly spaced ranks (for six: 1/12, 3/12, ... 11/12 of the way from the
worst to the best), so a gallery shows failures as often as they happen.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import keyed_directory, read_table, write_whole
from espnet2_caresep.progress import progress

PARTS = ("query", "mixture", "target", "output")


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Pictures and sounds of some separated test mixtures",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--test_set", required=True, help="test set, such as test_mixture_other"
    )
    parser.add_argument(
        "--inference_dir", required=True, help="outputs of stage 7 for this test set"
    )
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--num_items", type=int, default=6)
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Chooses items, draws them and writes the index.

    Raises:
        ValueError: If an input is missing or cannot be used.
    """
    folder = Path(args.test_set)
    if args.num_items < 1:
        raise ValueError(f"--num_items must be at least 1, not {args.num_items}")
    scps = dict(zip(PARTS, ("enroll_spk1.scp", "wav.scp", "spk1.scp")))
    tables = {part: read_table(folder / scp) for part, scp in scps.items()}
    tables["output"] = read_table(Path(args.inference_dir, "spk1.scp"))
    labels = read_table(folder / "labels")
    uids = [uid for uid in tables["mixture"] if uid in tables["output"]]
    if not uids:
        raise ValueError(f"{args.inference_dir}: holds no item of {folder} (stage 7)")

    from espnet2_caresep.inference.audio.recording import read_audio, write_audio
    from espnet2_caresep.pictures import draw_separation
    from espnet2_caresep.scoring.metrics import sdr

    def load(part: str, uid: str):
        audio = read_audio(tables[part][uid])
        return audio.samples[0], audio.sample_rate

    def score(uid: str) -> float:
        return sdr(load("target", uid)[0], load("output", uid)[0])

    scores = {uid: score(uid) for uid in progress(uids, "rank")}
    chosen = choose_evenly(scores, args.num_items)
    # Another choice empties the folder: no picture of an earlier model stays behind.
    out = keyed_directory(args.output_dir, "\n".join([folder.name, *chosen]))
    ranks = {uid: rank for rank, uid in enumerate(sorted(uids, key=scores.get), 1)}
    sections = []
    for uid in chosen:
        audio = {part: load(part, uid) for part in PARTS}
        rate = audio["mixture"][1]
        before = sdr(audio["target"][0], audio["mixture"][0])
        head = f"{uid}: {labels[uid].split()[0]}"
        facts = (
            f"SDR {_db(before)} -> {_db(scores[uid])}, "
            f"rank {ranks[uid]} of {len(uids)} from the worst"
        )
        titles = dict(zip(PARTS, PARTS))
        titles["mixture"] += f" (SDR {_db(before)})"
        titles["output"] += f" (SDR {_db(scores[uid])})"
        draw_separation(
            out / f"{uid}.png",
            {titles[part]: audio[part][0] for part in PARTS},
            f"{head}, {facts}",
            rate,
        )
        for part in PARTS:
            write_audio(out / f"{uid}_{part}.wav", audio[part][0], rate)
        links = " | ".join(f"[{part}]({uid}_{part}.wav)" for part in PARTS)
        sections.append(f"## {head}\n\n{facts}\n\n![{head}]({uid}.png)\n\n{links}\n")
    _write_index(out / "index.md", folder.name, len(uids), sections)
    print(f"{os.path.relpath(out / 'index.md')}: {len(chosen)} of {len(uids)} items")


def choose_evenly(scores: dict[str, float], number: int) -> list[str]:
    """Names at evenly spaced ranks, from the worst score to the best.

    Args:
        scores: Name to score.
        number: How many; all of them if there are fewer.

    Returns:
        The names of ranks (i + 1/2) / number of the sorted list.
    """
    ranked = sorted(scores, key=lambda name: (scores[name], name))
    number = min(number, len(ranked))
    return [ranked[int((i + 0.5) * len(ranked) / number)] for i in range(number)]


def _db(value: float) -> str:
    return f"{round(value, 1) + 0:.1f} dB"


def _write_index(path: Path, name: str, items: int, sections: list[str]) -> None:
    intro = (
        f"# {name}\n\n{len(sections)} of {items} items, chosen at evenly spaced ranks "
        "of their SDR from the worst to the best.\n\n"
    )
    with write_whole(path) as part:
        part.write_text(intro + "\n".join(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
