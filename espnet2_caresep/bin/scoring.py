"""Stage 8: scores the outputs of stage 7 -> RESULTS.json, RESULTS.md, items.tsv.

Reads ``TEST_DIR/test_{mixture,matched,clean,silence}_{own,other}`` and the outputs
under the same names in ``INFERENCE_DIR``; at least one of them, or tags, must be there.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import time
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import write_whole


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Score separated and tagged test sets",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--test_dir", required=True, help="folder of the test sets")
    parser.add_argument(
        "--test_set",
        default="test",
        help="name of the test set: what its sets begin with",
    )
    parser.add_argument("--inference_dir", required=True, help="outputs of stage 7")
    parser.add_argument("--train_config", required=True, help="config.yaml of training")
    parser.add_argument("--model_file", help="weights that made the outputs, to name")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--tags", help="tags.tsv of stage 7 (needs --labels)")
    parser.add_argument("--labels", help="labels of the tagged clips")
    parser.add_argument("--data", default="", help="name of the data, for the record")
    parser.add_argument(
        "--data_list",
        action="append",
        default=[],
        help="list that defines the test sets; its name and hash are recorded",
    )
    parser.add_argument(
        "--model_only", action="store_true", help="leave out baselines and oracles"
    )
    parser.add_argument("--command", default="", help="what was run, for the record")
    parser.add_argument(
        "--wall_time", type=float, help="seconds that the whole run took, to record"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Scores and writes.

    Raises:
        ValueError: If an input is missing or cannot be used.
    """
    start = time.monotonic()
    if (args.tags is None) != (args.labels is None):
        raise ValueError("--tags and --labels are given together or not at all")

    import torch

    from espnet2_caresep.inference.network_config import build_network, read_config
    from espnet2_caresep.scoring import evaluation, results

    names = [
        f"{kind}_{query}"
        for kind in evaluation.KINDS
        for query in evaluation.QUERIES
        if Path(args.test_dir, f"{args.test_set}_{kind}_{query}").is_dir()
        and Path(args.inference_dir, f"{args.test_set}_{kind}_{query}").is_dir()
    ]
    if not names and args.tags is None:
        raise ValueError(
            f"no {args.test_set}_<{'|'.join(evaluation.KINDS)}>_<own|other> is both in "
            f"{args.test_dir} (stage 3) and in {args.inference_dir} (stage 7)"
        )
    # Spectrograms of seconds: threads only wait for each other
    torch.set_num_threads(1)
    config = read_config(args.train_config)
    network = build_network(config, args.train_config)
    about = _about(args, config, network)
    items, sets = [], {}
    for name in names:
        scored, missing = evaluation.evaluate_set(
            Path(args.test_dir, f"{args.test_set}_{name}"),
            Path(args.inference_dir, f"{args.test_set}_{name}", "spk1.scp"),
            name,
            network.stft,
            {} if args.model_only else evaluation.SYSTEMS,
        )
        items += scored
        count = sum(item.system == evaluation.MODEL for item in scored)
        sets[name] = {"items": count, "missing": len(missing)}
    tagging = evaluation.evaluate_tags(args.tags, args.labels) if args.tags else None
    own = [item for item in items if item.system == evaluation.MODEL]
    by_class = {
        label: [item for item in own if item.label == label]
        for label in sorted({item.label for item in own})
    }
    about["scoring_seconds"] = round(time.monotonic() - start, 1)
    _, page = results.write_results(
        args.output_dir,
        {
            "about": about,
            "test_sets": sets,
            "systems": _entries(evaluation.summarize_items(items)),
            "classes": {
                label: _entries(evaluation.summarize_items(group))[evaluation.MODEL]
                for label, group in by_class.items()
            },
            "tagging": tagging,
        },
    )
    _write_items(Path(args.output_dir, "items.tsv"), items)
    print(page)


def _about(args: argparse.Namespace, config: dict, network) -> dict:
    """What RESULTS must say of how the figures came about."""
    import torch

    conf = config.get("extractor_conf") or {}
    about = {
        "data": args.data,
        **{f"list_{Path(path).stem}": _describe(path) for path in args.data_list},
        "configuration": config.get("config") or args.train_config,
        "extractor": config.get("extractor", "caresep"),
        "network": " ".join(f"{key}={value}" for key, value in conf.items()),
        "spectrogram": f"{network.n_fft}/{network.hop_length}",
        "weights": _describe(args.model_file) if args.model_file else None,
        "parameters": sum(p.numel() for p in network.parameters()),
        "seed": config.get("seed"),
        "command": args.command,
        "wall_time_seconds": args.wall_time,
        "software": f"Python {platform.python_version()}, torch {torch.__version__}",
    }
    return {key: value for key, value in about.items() if value not in (None, "")}


def _describe(path: str) -> str:
    try:
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    return f"{path}, SHA-256 {digest[:16]}"


def _entries(summaries: dict) -> dict:
    from espnet2_caresep.scoring.results import summary_entry

    return {
        system: {name: summary_entry(summary) for name, summary in entry.items()}
        for system, entry in summaries.items()
    }


def _write_items(path: Path, items: list) -> None:
    """Every score of every item, one row each, for whoever wants to look closer."""
    rows = ["test_set\tuid\tlabel\tsystem\tscore\tdB"]
    for item in items:
        head = f"{item.test_set}\t{item.uid}\t{item.label}\t{item.system}"
        rows += [f"{head}\t{name}\t{value:.4f}" for name, value in item.scores.items()]
    with write_whole(path) as part:
        part.write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
