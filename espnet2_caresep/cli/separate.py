"""``caresep separate``: mixtures in, the wanted sounds out."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from espnet2_caresep.cli.separate_options import add_arguments

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Separates and writes.

    Returns:
        0, 2 if a mixture failed, or 3 if a required sound was judged absent.

    Raises:
        ValueError: If nothing can be done at all.
    """
    from espnet2_caresep.cli.prepare import check_options, prepare

    check_options(args)
    work = prepare(args)
    for line in work.problems:
        _complain(line)
    if args.dry_run:
        for job in work.jobs:
            print(job.describe())
        return 2 if work.problems else 0
    if not work.jobs:
        return 2
    failed, absent = _separate(work, args)
    if failed or work.problems:
        return 2
    return 3 if absent and args.require_presence else 0


def _separate(work, args: argparse.Namespace) -> tuple[int, int]:
    """Number of mixtures that failed, and of sounds that were judged absent."""
    from espnet2_caresep.cli.batch import progress_of, treat_all
    from espnet2_caresep.cli.errors import one_line
    from espnet2_caresep.cli.prepare import load
    from espnet2_caresep.inference.audio.scratch import no_empty_folders
    from espnet2_caresep.inference.file_separation import separate_file

    separator, queries, unwanted = load(args, work)
    folders = {path.parent for job in work.jobs for path in job.plan.outputs()}
    seconds = sum(job.seconds for job in work.jobs)
    failed = absent = 0
    with no_empty_folders(folders), progress_of(seconds, args.quiet) as bar:

        def treat(job):
            given = (job.plan, queries, job.options, bar.advance, unwanted)
            return separate_file(separator, *given)

        with closing(treat_all(work.jobs, treat, args.jobs, bar.stop)) as results:
            for job, result in results:
                if isinstance(result, Exception):
                    reason = one_line(result)
                    if reason is None:
                        raise result
                    bar.say(f"caresep separate: error: {reason}", sys.stderr)
                    failed += 1
                    continue
                absent += len(result.absent())
                _tell(result, args, bar)
    return failed, absent


def _tell(report, args: argparse.Namespace, bar) -> None:
    saturates = report.subtype != "float" and report.clip == "none"
    for output in report.outputs:
        if output.present is False:
            what = "may be leakage"
            if not output.written:
                what = "is left out"
            elif output.fade_db:
                what = (
                    f"is faded by {-output.fade_db:.0f} dB (--keep-absent leaves it as "
                    "it is)"
                )
            bar.say(
                f"caresep separate: note: {report.mixture}: {output.query!r} is judged "
                f"absent (presence {output.presence:.2f}), its stem {what}",
                sys.stderr,
            )
        if output.written and output.peak > 1 and saturates:
            bar.say(
                f"caresep separate: note: {output.path}: peaks at {output.peak:.2f} are "
                "clipped; --clip rescale or --subtype float keeps them",
                sys.stderr,
            )
        if output.written and not args.quiet:
            score = "" if output.query is None else f"  presence {output.presence:.2f}"
            if output.present and not output.certain:
                score += " (in doubt)"
            level = "silent" if output.level_db is None else f"{output.level_db:.1f} dB"
            bar.say(f"{output.path}  {level}{score}")


def _complain(line: str) -> None:
    print(f"caresep separate: error: {line}", file=sys.stderr)
