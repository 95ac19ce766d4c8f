"""``caresep separate`` before the first sample: checks, plans, model and queries."""

from __future__ import annotations

import argparse
import difflib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from espnet2_caresep.cli.inputs import (
    QuerySpec,
    check_names,
    find_tracks,
    parse_label,
    parse_query,
)
from espnet2_caresep.cli.model_options import chosen_model
from espnet2_caresep.cli.outputs import check_plan, make_plans, names_one_file, suffix
from espnet2_caresep.inference.audio.reader import AudioReader
from espnet2_caresep.inference.audio.writer import check_holds
from espnet2_caresep.inference.file_plan import Options, Plan

if TYPE_CHECKING:  # it imports torch
    from espnet2_caresep.inference.results import Query
    from espnet2_caresep.inference.separator import CaRESeparator


@dataclass(frozen=True)
class Job:
    """A mixture that can be separated as far as its header tells."""

    plan: Plan
    options: Options
    sample_rate: int
    channels: int
    seconds: float

    def describe(self) -> str:
        """One line for a dry run."""
        outputs = ", ".join(map(str, self.plan.outputs()))
        return (
            f"{self.plan.mixture} ({self.seconds:.2f} s, {self.sample_rate} Hz, "
            f"{self.channels} ch) -> {outputs}"
        )


@dataclass(frozen=True)
class Work:
    """What is to be done, and one line for each mixture that cannot be."""

    jobs: Sequence[Job]
    queries: Sequence[QuerySpec]
    unwanted: Sequence[QuerySpec]
    problems: Sequence[str]


def check_options(args: argparse.Namespace) -> None:
    """Refuses options that cannot work.

    Raises:
        ValueError: Naming the first.
    """
    chosen_model(args)
    if not 0 <= args.overlap <= 0.95:
        raise ValueError(f"--overlap must lie in 0..0.95, not {args.overlap}")
    end = math.inf if args.query_end is None else args.query_end
    if not 0 <= args.query_start < end:
        raise ValueError(
            f"--query-start {args.query_start:g} and --query-end {end:g} enclose nothing"
        )
    if args.format is None and names_one_file(args.output):
        args.format = suffix(args.output)


def prepare(args: argparse.Namespace) -> Work:
    """Finds inputs and outputs and reads what headers tell; needs no torch.

    Raises:
        ValueError: If the options do not fit or a query cannot be read.
    """
    queries = [parse_query(text) for text in args.query]
    queries += [parse_label(text) for text in args.label]
    check_names(queries)
    unwanted = [parse_query(text, "--not") for text in args.unwanted]
    for query in (*queries, *unwanted):
        for clip in query.clips:
            AudioReader(clip)
    folder = args.output.parent if names_one_file(args.output) else args.output
    searched = None if folder == Path() else folder
    tracks, problems = find_tracks(args.mixtures, searched)
    jobs = []
    for plan in make_plans(tracks, queries, args, unwanted):
        try:
            jobs.append(_job(plan, args))
        except (ValueError, OSError) as error:
            problems.append(str(error))
    return Work(jobs, queries, unwanted, problems)


def load(
    args: argparse.Namespace, work: Work
) -> tuple[CaRESeparator, Mapping[str, Query], Mapping[str, Query]]:
    """Loads the model and embeds the queries, then the unwanted ones.

    Raises:
        ValueError: If the model or a query cannot be used.
    """
    import torch

    from espnet2_caresep.inference.separator import CaRESeparator

    if args.threads is not None or args.jobs > 1:
        # Not torch's own number: OMP_NUM_THREADS may have set that to 1.
        threads = args.threads or _cores()
        torch.set_num_threads(max(1, threads // args.jobs))
    separator = CaRESeparator.from_pretrained(
        chosen_model(args), args.device, overlap=args.overlap
    )
    part = (args.query_start, args.query_end)
    wanted = {spec.name: _embed(separator, spec, *part) for spec in work.queries}
    unwanted = {
        text: _embed(separator, spec)
        for text, spec in zip(args.unwanted, work.unwanted)
    }
    return separator, wanted, unwanted


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux says which of the cores are ours
        return os.cpu_count() or 1


def _job(plan: Plan, args: argparse.Namespace) -> Job:
    reader = AudioReader(plan.mixture)
    subtype = check_plan(plan, args.subtype, args.overwrite)
    for path in plan.outputs():
        check_holds(path, reader.sample_rate, reader.channels)
    options = Options(
        subtype,
        args.clip,
        args.partition,
        args.require_presence,
        args.keep_absent,
        args.overwrite,
    )
    seconds = reader.frames / reader.sample_rate
    return Job(plan, options, reader.sample_rate, reader.channels, seconds)


def _embed(
    separator: CaRESeparator,
    spec: QuerySpec,
    start: float = 0.0,
    end: float | None = None,
) -> Query:
    from espnet2_caresep.inference.banks.files import load_bank
    from espnet2_caresep.inference.results import join_queries

    if spec.label is not None:
        return _of_class(separator, spec.label)
    queries = [separator.query(clip, start=start, end=end) for clip in spec.clips]
    queries += [load_bank(b, separator.fingerprint).query for b in spec.banks]
    return join_queries(queries, separator.network.layout)


def _of_class(separator: CaRESeparator, label: str) -> Query:
    known = separator.class_queries
    if not known:
        raise ValueError(
            f"--label {label}: this model brings no queries of its classes; give "
            "--query with an example of the sound"
        )
    if label not in known:
        close = difflib.get_close_matches(label, known, 3) or sorted(known)
        raise ValueError(
            f"--label {label}: the model has no such class; known are "
            f"{', '.join(close)}"
        )
    return known[label]
