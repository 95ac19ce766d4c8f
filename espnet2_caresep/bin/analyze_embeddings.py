"""Figure 3 of the paper: do queries look like what separation makes of a sound?

Clips of two classes are embedded by two models, each as query embedding and as
separation feature: four maps (t-SNE) in ``OUT/embeddings.png``, and everything in
``OUT/embeddings.json``. Above each map stands the Kullback-Leibler divergence between
the two classes, as :mod:`espnet2_caresep.scoring.divergence` estimates it. The paper reads two
divergences of a model that differ as a mismatch of its queries and its separation: its
baseline has 4.34 and 10.37, its CaRE-SEP 5.08 and 5.77, by an estimator without a name.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import write_whole


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Compare query embeddings and separation features of two models",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--models",
        nargs=2,
        required=True,
        metavar="MODEL",
        help="zip, experiment folder, or CONFIG.yaml,WEIGHTS.pth",
    )
    parser.add_argument(
        "--names", nargs=2, metavar="NAME", help="what to call the models"
    )
    parser.add_argument(
        "--data_dir", required=True, help="folder with wav.scp and labels"
    )
    parser.add_argument(
        "--classes",
        nargs=2,
        metavar="CLASS",
        help="two classes; by default the largest two",
    )
    parser.add_argument(
        "--num_clips", type=int, default=70, help="clips of each class, if there are"
    )
    parser.add_argument("--seed", type=int, default=0, help="of clips and maps")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--ngpu", type=int, default=0, help="0: CPU, 1: one GPU")
    parser.add_argument("--num_threads", type=int, default=1, help="CPU threads")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Embeds, compares, draws and writes.

    Raises:
        ValueError: If an input is missing or cannot be used.
    """
    from espnet2_caresep.scoring import divergence

    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)
    if args.ngpu not in (0, 1) or args.num_threads < 1 or args.seed < 0:
        raise ValueError(
            "--ngpu must be 0 or 1, --num_threads at least 1 and --seed not negative"
        )
    if args.num_clips < divergence.MIN_CLIPS:
        raise ValueError(f"--num_clips must be at least {divergence.MIN_CLIPS}")
    out = Path(args.output_dir)
    if out.exists() and not out.is_dir():
        raise ValueError(f"--output_dir {out}: is a file, a folder is needed")

    import torch

    from espnet2_caresep.scoring import embeddings
    from espnet2_caresep.scoring.embedding_maps import draw_maps

    torch.set_num_threads(args.num_threads)
    paths, classes = embeddings.read_classes(args.data_dir)
    pair = args.classes or embeddings.largest_classes(classes)
    found = embeddings.candidates(classes, pair, args.seed)
    models = [load_model(source) for source in args.models]
    clips = _embed(args, models, paths, found)
    names = args.names or _names(args.models)
    panels, results = _panels(names, clips, args.seed)
    counts = {name: len(vectors) for name, vectors in clips.items()}
    seconds = embeddings.seconds_heard([model.network for model in models])

    out.mkdir(parents=True, exist_ok=True)
    shown = ", ".join(f"{name} ({count})" for name, count in counts.items())
    title = f"Clips of {Path(args.data_dir).resolve().name}: {shown}"
    draw_maps(out / "embeddings.png", title, pair, panels)
    record = {
        "data": args.data_dir,
        "seed": args.seed,
        "seconds": round(seconds, 3),
        "clips": {name: list(vectors) for name, vectors in clips.items()},
        "models": [
            {"name": name, "source": model.name, "weights_sha256": model.fingerprint}
            for name, model in zip(names, models)
        ],
        "estimator": _estimator(counts.values()),
        "panels": results,
    }
    with write_whole(out / "embeddings.json") as part:
        text = json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8")
    _report(record, pair, out)


def load_model(source: str):
    """A :class:`Checkpoint` from a zip, a folder, or ``config,weights``."""
    from espnet2_caresep.inference.checkpoint import load_checkpoint, load_files

    config, comma, weights = source.partition(",")
    return load_files(config, weights) if comma else load_checkpoint(source)


def _names(sources: Sequence[str]) -> list[str]:
    """The names of the folders or zips."""
    names = []
    for source in sources:
        path = Path(source.split(",")[-1]).resolve()
        names.append(path.parent.name if path.suffix == ".pth" else path.stem)
    return names


def _embed(args, models, paths, found) -> dict[str, dict[str, list]]:
    """Class to clip to the vectors of each model and kind."""
    from espnet2_caresep.inference.device import choose_device
    from espnet2_caresep.scoring.divergence import MIN_CLIPS
    from espnet2_caresep.scoring.embeddings import embed_clips

    device = choose_device("cuda" if args.ngpu else "cpu")
    networks = [model.network.to(device) for model in models]
    clips = {}
    for name, uids in found.items():
        clips[name] = embed_clips(networks, device, paths, uids, args.num_clips)
        if len(clips[name]) < MIN_CLIPS:
            raise ValueError(
                f"class {name}: {len(clips[name])} clips can be used, {MIN_CLIPS} are "
                "needed; choose --classes"
            )
    return clips


def _panels(names: Sequence[str], clips: dict, seed: int) -> tuple[list, list[dict]]:
    """The maps, and what the record says of them."""
    import numpy as np

    from espnet2_caresep.scoring.divergence import class_divergence
    from espnet2_caresep.scoring.embedding_maps import Panel, perplexity, tsne_map
    from espnet2_caresep.scoring.embeddings import KINDS

    panels, results = [], []
    for model, name in enumerate(names):
        for kind, what in enumerate(KINDS):
            letter = "abcd"[len(panels)]
            p, q = (
                np.stack([vectors[model][kind] for vectors in entry.values()])
                for entry in clips.values()
            )
            points = np.concatenate([p, q])
            if not np.isfinite(points).all():
                raise ValueError(f"{name}: its {what} is not finite")
            try:
                found = class_divergence(p, q, seed)
            except ValueError as error:
                raise ValueError(f"{name}, {what}: {error}") from error
            places = tsne_map(points, seed)
            halves = places[: len(p)], places[len(p) :]
            title = f"({letter}) {name}: {what}\n{_kl(found._asdict())}"
            panels.append(Panel(title, halves))
            results.append(
                {
                    "panel": letter,
                    "model": name,
                    "what": what,
                    "size": p.shape[1],
                    "kl": {k: round(float(v), 4) for k, v in found._asdict().items()},
                    "perplexity": perplexity(len(points)),
                    "places": {
                        label: np.round(half.astype(float), 3).tolist()
                        for label, half in zip(clips, halves)
                    },
                }
            )
    return panels, results


def _estimator(counts) -> str:
    from espnet2_caresep.scoring.divergence import NEIGHBOUR, SHUFFLES, dimensions

    return (
        f"distances to neighbour {NEIGHBOUR} (Wang, Kulkarni and Verdu, 2009) on the "
        f"first {dimensions(*counts)} principal components of both classes, in nats; "
        f"chance: mean and standard deviation of {SHUFFLES} random deals"
    )


def _kl(kl: dict[str, float]) -> str:
    return f"KL {kl['mean']:.2f}, chance {kl['chance']:.2f} +- {kl['chance_std']:.2f}"


def _report(record: dict, pair: Sequence[str], out: Path) -> None:
    first, second = pair
    print(f"KL divergence: {record['estimator']}")
    for entry in record["panels"]:
        kl = entry["kl"]
        print(
            f"({entry['panel']}) {entry['model']}, {entry['what']}: {_kl(kl)}; "
            f"D({first}||{second}) {kl['forward']:.2f}, "
            f"D({second}||{first}) {kl['backward']:.2f}"
        )
    print(f"Wrote {out / 'embeddings.png'} and {out / 'embeddings.json'}")


if __name__ == "__main__":
    main()
