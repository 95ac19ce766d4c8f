"""Makes the clips that no package holds as one file.

``seq``: short real hits of one kind joined into a clip (steps make a walk, presses and
releases of keys make typing, hits on one drum a rhythm). ``render``: a phrase of a few
notes played on an instrument of the sampled General MIDI bank. Every draw is seeded by
the name of the clip, so that each machine makes the same clips.
"""

from __future__ import annotations

import argparse
import random
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr
from corpus_table import TABLE, Clip, Sources, read_clips

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import keyed_directory, write_whole

RATE = 32000


def read_hit(path: Path) -> np.ndarray:
    """Reads one short recording as mono float32 at 32 kHz."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(audio.mean(axis=1), rate, RATE)


def join_hits(clip: Clip, paths: list[Path]) -> np.ndarray:
    """Joins the hits of a ``seq`` clip.

    Each recording is heard once before one is repeated; gains vary by 3 dB. Hits begin
    ``gap`` seconds apart, give or take the share ``jitter``; with ``gap`` 0 one begins
    0.1 to 0.4 s after the one before has ended.
    """
    draw = random.Random(f"seq {clip.uid}")
    hits = [read_hit(path) for path in paths]
    num_hits, gap, jitter = (clip.recipe[name] for name in ("hits", "gap", "jitter"))
    order = list(range(len(hits)))
    placed, position = [], 0
    for step in range(int(num_hits)):
        hit = hits[order[step] if step < len(order) else draw.choice(order)]
        placed.append((position, hit * 10 ** (draw.uniform(-3, 0) / 20)))
        if gap > 0:
            position += round(
                RATE * max(0.05, gap * draw.uniform(1 - jitter, 1 + jitter))
            )
        else:
            position += len(hit) + round(RATE * draw.uniform(0.1, 0.4))
    audio = np.zeros(max(begin + len(hit) for begin, hit in placed), np.float32)
    for begin, hit in placed:
        audio[begin : begin + len(hit)] += hit
    return audio / max(1.0, float(np.abs(audio).max()))


def play_phrase(clip: Clip, soundfont: Path) -> np.ndarray:
    """Plays a phrase of 4 to 7 notes, some as two-note chords, and its release."""
    import tinysoundfont

    draw = random.Random(f"render {clip.uid}")
    synth = tinysoundfont.Synth(samplerate=RATE)
    font = synth.sfload(str(soundfont))
    synth.program_select(0, font, 0, int(clip.recipe["program"]))

    def sound(seconds: float) -> np.ndarray:
        block = np.frombuffer(bytes(synth.generate(round(RATE * seconds))), np.float32)
        return block.reshape(-1, 2).mean(axis=1)

    tonic = draw.randrange(int(clip.recipe["low"]), int(clip.recipe["high"]) - 12)
    phrase = []
    for _ in range(draw.randint(4, 7)):
        key = tonic + draw.choice((0, 2, 4, 5, 7, 9, 12))
        synth.noteon(0, key, draw.randrange(70, 120))
        if draw.random() < 0.25:
            synth.noteon(0, key + draw.choice((3, 4, 7)), 80)
        phrase.append(sound(draw.choice((0.25, 0.35, 0.5, 0.7))))
        synth.notes_off(0)
    phrase.append(sound(0.6))
    audio = np.concatenate(phrase)
    return 0.5 * audio / max(1e-3, float(np.abs(audio).max()))


def make_clip(clip: Clip, unpacked: Path, output_dir: Path) -> str | None:
    """Makes one clip, unless it is there; returns why it could not be made."""
    target = output_dir / f"{clip.uid}.flac"
    if target.exists():
        return None
    sources = Sources(unpacked)
    paths = [path for path in map(sources.find, clip.sources) if path is not None]
    if not paths:
        return f"{clip.uid}: none of its sources is there"
    try:
        if clip.kind == "seq":
            audio = join_hits(clip, paths)
        else:
            audio = play_phrase(clip, paths[0])
    except (soundfile.SoundFileError, OSError) as error:
        return f"{clip.uid}: {error}"
    with write_whole(target) as part:
        soundfile.write(part, audio, RATE, subtype="PCM_16")
    return None


def main() -> None:
    """Makes the derived clips of some packages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unpacked_dir", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--nj", type=int, default=2, help="parallel processes")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("packages", nargs="*", help="only these (default: all)")
    args = parser.parse_args()
    clips = [
        clip
        for clip in read_clips(args.table, args.packages)
        if clip.kind != "file" and (args.unpacked_dir / clip.package).exists()
    ]
    # Clips of another version of the table or of this program are made anew
    version = args.table.read_text(encoding="utf-8") + Path(__file__).read_text("utf-8")
    keyed_directory(args.output_dir, version)
    work = partial(make_clip, unpacked=args.unpacked_dir, output_dir=args.output_dir)
    with ProcessPoolExecutor(args.nj) as pool:
        failures = [f for f in pool.map(work, clips, chunksize=4) if f is not None]
    for failure in failures:
        print(f"left out: {failure}")
    print(
        f"{len(clips) - len(failures)} sequences and phrases are in {args.output_dir}"
    )


if __name__ == "__main__":
    with bad_input_exits():
        main()
