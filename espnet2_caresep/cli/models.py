"""``caresep models``: the models at hand and what was measured of them."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.description = (
        "List the models at hand: those that were installed along and those in the "
        "caches of espnet_model_zoo and huggingface_hub, with the scores, the data and "
        "the licence that each states. Nothing is downloaded."
    )
    parser.add_argument("--json", action="store_true", help="print a JSON array")


def run(args: argparse.Namespace) -> int:
    """Lists."""
    from espnet2_caresep.inference.models import cache_folders, find_models

    models = find_models()
    if args.json:
        import json
        from dataclasses import asdict

        rows = [asdict(model) | {"path": str(model.path)} for model in models]
        print(json.dumps(rows, indent=1))
        return 0
    for model in models:
        print("\n".join(_describe(model)))
    if not models:
        folders = " or ".join(map(str, cache_folders()))
        print(f"no models: none was installed along, and none is in {folders}")
    return 0


def _describe(model) -> list[str]:
    lines = [f"{model.name} ({model.origin})", f"  use      --model {model.path}"]
    if model.problem:
        return [*lines, f"  problem  {model.problem}"]
    size = f", {model.parameters / 1e6:.1f} M parameters" if model.parameters else ""
    lines.append(f"  system   {model.system}{size}, {len(model.labels)} labels")
    lines.append(f"  data     {model.data or 'not stated'}")
    lines.append(f"  licence  {model.licence or 'not stated'}")
    for figure, value in model.scores.items():
        unit = "" if figure == "mAP" else " dB"
        lines.append(f"  score    {figure}: {value:.2f}{unit}")
    if not model.scores:
        lines.append("  score    not stated")
    return lines
