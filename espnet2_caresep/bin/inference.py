"""Stage 7: separates or tags every item of a data directory.

Separation writes ``OUT/wavs/<uid>.wav`` (float32) and ``OUT/spk1.scp``; tagging writes
``OUT/tags.tsv``, one row per item and one probability per class. Items that cannot be
used are skipped, logged with the reason and listed in ``OUT/skipped``. An output that
the same weights made from the same inputs is not made again.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import soundfile

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import read_table, write_table, write_whole
from espnet2_caresep.inference.audio.recording import write_audio
from espnet2_caresep.progress import progress

logger = logging.getLogger("inference")

SPEECH, QUERY = "speech_mix", "enroll_ref1"


def get_parser() -> argparse.ArgumentParser:
    """The options, named as ESPnet's inference commands name them."""
    parser = argparse.ArgumentParser(
        description="Separate or tag every item of a data directory",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--task", choices=["separate", "tag"], default="separate")
    parser.add_argument(
        "--data_path_and_name_and_type",
        action="append",
        required=True,
        metavar="SCP,NAME,sound",
        help=f"names are {SPEECH} (input) and, to separate, {QUERY} (query)",
    )
    parser.add_argument("--key_file", help="only items whose uid begins a line of it")
    parser.add_argument("--train_config", required=True, help="config.yaml of training")
    parser.add_argument("--model_file", required=True, help="weights (.pth)")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--ngpu", type=int, default=0, help="0: CPU, 1: one GPU")
    parser.add_argument("--num_threads", type=int, default=1, help="CPU threads")
    parser.add_argument(
        "--log_level",
        default="INFO",
        choices=["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"],
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Checks the inputs, loads the model and treats every item.

    Raises:
        ValueError: If the command cannot start, or no item at all could be used.
    """
    logging.basicConfig(
        level=args.log_level,
        format="%(asctime)s %(levelname)s: %(message)s",
        stream=sys.stderr,
    )
    tables = _read_tables(args.data_path_and_name_and_type, args.task)
    uids = _choose(tables[SPEECH], args.key_file)
    if args.ngpu not in (0, 1) or args.num_threads < 1:
        raise ValueError("--ngpu must be 0 or 1 and --num_threads at least 1")

    import torch

    from espnet2_caresep.inference.separator import CaRESeparator

    torch.set_num_threads(args.num_threads)
    separator = CaRESeparator.from_files(
        args.train_config, args.model_file, "cuda" if args.ngpu else "cpu"
    )
    out = Path(args.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    if args.task == "tag":
        skipped = _tag(separator, uids, tables[SPEECH], out)
    else:
        skipped = _separate(separator, uids, tables[SPEECH], tables[QUERY], out)
    write_table(out / "skipped", skipped)
    done = len(uids) - len(skipped)
    logger.info("%d of %d items done, %d skipped", done, len(uids), len(skipped))
    if len(skipped) == len(uids):
        first = next(iter(skipped))
        raise ValueError(
            f"none of the {len(uids)} items could be used; {first}: {skipped[first]}"
        )


def _separate(separator, uids, mixtures, queries, out: Path) -> dict[str, str]:
    (out / "wavs").mkdir(exist_ok=True)
    done: dict[str, Path] = {}
    kept = 0

    def separate(uid: str) -> None:
        nonlocal kept
        if uid not in queries:
            raise ValueError(f"has no line in the query's scp ({QUERY})")
        if "/" in uid or uid.startswith("."):
            raise ValueError("the uid cannot name a file")
        path = out / "wavs" / f"{uid}.wav"
        inputs = [mixtures[uid], queries[uid]]
        if _is_current(path, separator.fingerprint, inputs):
            kept += 1
        else:
            result = separator.separate(*inputs)
            write_audio(
                path,
                result.target,
                result.sample_rate,
                comment=separator.fingerprint,
            )
        done[uid] = path

    skipped = _each(uids, separate, "separate")
    logger.info("%d outputs were there already and kept", kept)
    write_table(out / "spk1.scp", done)
    return skipped


def _tag(separator, uids, audio, out: Path) -> dict[str, str]:
    labels = separator.labels
    if labels is None:
        raise ValueError("the model's configuration names no labels; it cannot tag")
    rows: list[str] = []

    def tag(uid: str) -> None:
        probabilities = separator.tag(audio[uid]).probabilities
        rows.append("\t".join([uid, *(f"{p:.6g}" for p in probabilities)]))

    skipped = _each(uids, tag, "tag")
    with write_whole(out / "tags.tsv") as part:
        lines = ["\t".join(["uid", *labels]), *rows]
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return skipped


def _each(
    uids: Iterable[str], work: Callable[[str], None], name: str
) -> dict[str, str]:
    """Treats every item with visible progress; returns why items were skipped."""
    skipped: dict[str, str] = {}
    uids = list(uids)
    start = time.monotonic()
    every = max(1, len(uids) // 10)
    for number, uid in enumerate(progress(uids, name), 1):
        try:
            work(uid)
        except ValueError as error:
            skipped[uid] = " ".join(str(error).split())
            logger.warning("skipped %s: %s", uid, skipped[uid])
        if number % every == 0:
            seconds = time.monotonic() - start
            logger.info("%d of %d items, %.0f s", number, len(uids), seconds)
    return skipped


def _is_current(path: Path, fingerprint: str, inputs: Sequence[str]) -> bool:
    """Whether the same weights made the file from inputs that are no newer.

    The weights' fingerprint stands in the file's comment. Files appear by renaming, so
    one that exists is whole.
    """
    try:
        with soundfile.SoundFile(path) as file:
            made_by = file.comment
        made_at = path.stat().st_mtime
        return made_by == fingerprint and all(
            Path(name).stat().st_mtime <= made_at for name in inputs
        )
    except (soundfile.SoundFileError, OSError):
        return False


def _read_tables(specs: Sequence[str], task: str) -> dict[str, dict[str, str]]:
    tables = {}
    for spec in specs:
        parts = spec.split(",")
        if len(parts) != 3 or parts[2] != "sound":
            raise ValueError(
                f"--data_path_and_name_and_type {spec}: needs SCP,NAME,sound"
            )
        tables[parts[1]] = read_table(parts[0])
    for name in (SPEECH,) if task == "tag" else (SPEECH, QUERY):
        if name not in tables:
            raise ValueError(f"--data_path_and_name_and_type: {name} is not given")
    return tables


def _choose(table: dict[str, str], key_file: str | None) -> list[str]:
    uids = list(table)
    if key_file is not None:
        wanted = set(_first_words(key_file))
        uids = [uid for uid in uids if uid in wanted]
    if not uids:
        raise ValueError(
            "there is no item to treat" + (f" in {key_file}" * bool(key_file))
        )
    return uids


def _first_words(path: str) -> list[str]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    return [line.split(maxsplit=1)[0] for line in lines if line.strip()]


if __name__ == "__main__":
    main()
