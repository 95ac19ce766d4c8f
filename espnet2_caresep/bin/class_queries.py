"""Embeds the training clips of each class: what ``caresep separate --label`` uses.

The query of a class is that of its most typical clip, whose embedding is nearest to the
mean of all that have its label: the embedding, without templates, followed by the clip's
class logits, from which presence is judged. (Templates find the very same sound again,
which a class is not, and would be most of the file.) It is written as ``class_queries.safetensors`` beside the
configuration of the model; packed along, it makes a zip that knows its classes:

    python -m espnet2_caresep.bin.class_queries --model exp/M --data_dir dump/raw/train
    python -m espnet2.bin.pack enh --train_config exp/M/config.yaml ... \
        --option exp/M/class_queries.safetensors

A clip that resembles the wanted sound is a better pointer.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from espnet2_caresep.bin.measuring import (
    open_model,
    parser_with_model,
    require_positive,
)
from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import read_table, write_whole
from espnet2_caresep.inference.package import QUERIES_NAME
from espnet2_caresep.inference.results import Query
from espnet2_caresep.progress import progress

logger = logging.getLogger("class_queries")


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = parser_with_model("Embed the training clips of each class")
    parser.add_argument(
        "--data_dir", required=True, help="folder with wav.scp and labels"
    )
    parser.add_argument(
        "--output", help=f"file to write (by default {QUERIES_NAME} in the folder)"
    )
    parser.add_argument(
        "--max_clips", type=int, default=200, help="of a class, drawn at random"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Embeds and writes.

    Raises:
        ValueError: If the model or the data cannot be used, or a class has no clip.
    """
    logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stderr)
    require_positive(args, "max_clips")
    if args.output is None and not Path(args.model).is_dir():
        raise ValueError("--output is needed where --model is not a folder")
    output = Path(args.output or Path(args.model) / QUERIES_NAME)
    audio = read_table(Path(args.data_dir) / "wav.scp")
    labels = read_table(Path(args.data_dir) / "labels")

    from safetensors.numpy import save

    separator = open_model(args)
    if separator.labels is None:
        raise ValueError(f"{args.model}: names no classes")
    chosen = draw(labels, separator.labels, args.max_clips, args.seed)
    queries = {}
    for label in progress(list(chosen), "embed"):
        found = []
        for uid in chosen[label]:
            try:
                found.append(separator.query(audio[uid]))
            except (ValueError, KeyError) as error:
                logger.warning("skipped %s: %s", uid, error)
        if not found:
            raise ValueError(f"{args.data_dir}: no clip of class {label} can be used")
        query = most_typical(found, separator.network.pooled_dim)
        size = separator.network.layout.without_templates().size
        queries[label] = np.concatenate([query.embedding[:size], query.tags])
    metadata = {
        "fingerprint": separator.fingerprint,
        "clips": str(sum(map(len, chosen.values()))),
    }
    with write_whole(output) as part:
        part.write_bytes(save(queries, metadata))
    logger.info("%d classes -> %s", len(queries), output)


def most_typical(queries: Sequence[Query], pooled: int) -> Query:
    """The query whose embedding, its first ``pooled`` numbers, is nearest to the mean.

    A spectrum that some clip really has separates better than the mean of many.
    """
    points = np.stack([query.embedding[:pooled] for query in queries]).astype(float)
    return queries[int(np.square(points - points.mean(0)).sum(1).argmin())]


def draw(
    labels: dict[str, str], classes: Sequence[str], most: int, seed: int
) -> dict[str, list[str]]:
    """Clips of each class.

    Args:
        labels: uid -> labels separated by spaces.
        classes: The model's labels.
        most: Clips of a class at most.
        seed: Of the draw.

    Returns:
        Class -> uids; classes without any clip are left out.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[str]] = {}
    for name in classes:
        uids = sorted(uid for uid, text in labels.items() if name in text.split())
        if uids:
            picked = rng.permutation(len(uids))[:most]
            found[name] = [uids[i] for i in sorted(picked)]
    return found


if __name__ == "__main__":
    main()
