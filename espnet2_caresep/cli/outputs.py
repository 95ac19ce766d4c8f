"""Where results go: a folder and a template, or one file."""

from __future__ import annotations

import argparse
import string
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.cli.inputs import QuerySpec, Track
from espnet2_caresep.inference.audio.writer import FORMATS, check_output
from espnet2_caresep.inference.file_plan import Plan

TEMPLATE = "{track}/{query}.{ext}"
FIELDS = ("track", "trackext", "query", "ext")


def make_plans(
    tracks: Sequence[Track],
    queries: Sequence[QuerySpec],
    args: argparse.Namespace,
    unwanted: Sequence[QuerySpec] = (),
) -> list[Plan]:
    """One plan for each mixture.

    Args:
        tracks: The mixtures.
        queries: What is wanted of each.
        args: ``output``, ``filename``, ``format``, ``residual``, ``json``.
        unwanted: What is not; no output may replace its clips.

    Raises:
        ValueError: If the options do not fit, or two results would be one file, or a
            result would replace an input.
    """
    one_file = names_one_file(args.output)
    if one_file and (len(tracks) > 1 or len(queries) > 1):
        raise ValueError(
            f"-o {args.output} names one file for {len(tracks)} mixtures and "
            f"{len(queries)} queries; name a folder"
        )
    if one_file and args.format not in (None, suffix(args.output)):
        raise ValueError(f"-o {args.output} does not end in .{args.format}")
    make = _beside_file if one_file else _by_template
    plans = [make(track, queries, args) for track in tracks]
    _check_distinct(plans, [*queries, *unwanted])
    return plans


def names_one_file(output: Path) -> bool:
    """Whether an output names an audio file, not a folder."""
    return suffix(output) in FORMATS and not output.is_dir()


def check_plan(plan: Plan, subtype: str | None, overwrite: bool) -> str | None:
    """Checks a mixture's outputs before any work is done for them.

    Returns:
        The sample format to write.

    Raises:
        ValueError: If an output exists, or its format cannot hold the audio.
    """
    if plan.sidecar is not None and plan.sidecar.exists() and not overwrite:
        raise ValueError(f"{plan.sidecar}: exists; give --overwrite to replace it")
    chosen = [check_output(path, subtype, overwrite) for path in plan.outputs()]
    return chosen[0]


def suffix(path: Path) -> str:
    """The suffix in lower case, without its dot."""
    return path.suffix.lower().removeprefix(".")


def _beside_file(
    track: Track, queries: Sequence[QuerySpec], args: argparse.Namespace
) -> Plan:
    output = args.output
    rest = output.with_stem(output.stem + ".residual") if args.residual else None
    sidecar = output.with_suffix(".json") if args.json else None
    return Plan(track.path, {queries[0].name: output}, rest, sidecar)


def _by_template(
    track: Track, queries: Sequence[QuerySpec], args: argparse.Namespace
) -> Plan:
    def path(query: str, ext: str) -> Path:
        relative = _fill(
            args.filename,
            track=track.name,
            trackext=suffix(track.path),
            query=query,
            ext=ext,
        )
        return args.output / relative

    ext = args.format or "wav"
    return Plan(
        track.path,
        {query.name: path(query.name, ext) for query in queries},
        path("residual", ext) if args.residual else None,
        path("separation", "json") if args.json else None,
    )


def _fill(template: str, **fields: str) -> Path:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(template)}
        text = template.format(**fields)
    except (ValueError, LookupError, AttributeError) as error:
        names, text = {None, "?"}, str(error)
    if not names <= {None, *FIELDS} or "query" not in names:
        known = ", ".join(f"{{{field}}}" for field in FIELDS)
        raise ValueError(
            f"--filename {template}: needs {{query}} and may hold {known} alone"
        )
    path = Path(text)
    if suffix(path) != fields["ext"]:
        raise ValueError(f"--filename {template}: must end in .{{ext}}")
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"--filename {template}: {path} leads out of the folder")
    return path


def _check_distinct(plans: Sequence[Plan], queries: Sequence[QuerySpec]) -> None:
    inputs = {plan.mixture.resolve() for plan in plans}
    inputs |= {clip.resolve() for query in queries for clip in query.clips}
    outputs: dict[Path, Path] = {}
    for plan in plans:
        sidecar = [plan.sidecar] if plan.sidecar else []
        for path in (*plan.outputs(), *sidecar):
            place = path.resolve()
            if place in inputs:
                raise ValueError(f"{path}: is an input; an output needs its own name")
            if place in outputs:
                raise ValueError(
                    f"{path}: would be written for {outputs[place]} and {plan.mixture}; "
                    "put {track}, {trackext} and {query} into --filename"
                )
            outputs[place] = plan.mixture
