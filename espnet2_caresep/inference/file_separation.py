"""A mixture's file -> files of stems and residual, whole or not at all.

Two passes: the network's output goes to an unnamed scratch file beside the outputs, and
from there to its final form. What a stem's presence is, and how far to turn down what
would clip, is known only when all of it has been separated; an hour does not fit in
memory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import numpy as np

from espnet2_caresep.data.files import write_whole
from espnet2_caresep.inference.audio.reader import AudioError, AudioReader
from espnet2_caresep.inference.audio.scratch import Scratch, open_scratch
from espnet2_caresep.inference.audio.writer import BITS, open_writer, round_to
from espnet2_caresep.inference.file_plan import Options, Output, Plan, Report
from espnet2_caresep.inference.results import Query
from espnet2_caresep.inference.stream import SeparationStream


def separate_file(
    separator,
    plan: Plan,
    queries: Mapping[str, Query],
    options: Options,
    progress: Callable[[float], None] = lambda seconds: None,
    unwanted: Mapping[str, Query] = MappingProxyType({}),
) -> Report:
    """Separates one file in blocks; memory does not grow with its length.

    Args:
        separator: A ``CaRESeparator``.
        plan: Input and outputs; folders are made.
        queries: Name -> query, as the plan names them.
        options: How to write.
        progress: Is told the seconds of the mixture that have been separated, block by
            block; what it raises ends the work and leaves no file.
        unwanted: Name -> query of what is to stay in the residual.

    Raises:
        ValueError: If the mixture cannot be used or an output cannot be written; there
            is none of its outputs then.
    """
    start = time.monotonic()
    reader = AudioReader(plan.mixture)
    stream = separator.open_stream(
        list(queries.values()),
        reader.sample_rate,
        reader.channels,
        options.partition,
        reader.name,
        list(unwanted.values()),
    )
    folder = next(iter(plan.stems.values())).parent
    with open_scratch(folder, plan.residual is not None) as scratch:
        _separate(stream, reader, scratch, progress)
        scores = stream.judge.scores()
        present = [separator.presence_rule.is_present(score) for score in scores]
        keep = [there or not options.require_presence for there in present]
        gain = _gain(scratch, keep, options, plan)
        _write(scratch, plan, reader, options, keep, gain, separator.fingerprint)
        levels = scratch.levels()
        outputs = [
            Output(str(path), name, round(score, 4), there, kept, *level)
            for (name, path), score, there, kept, level in zip(
                plan.stems.items(), scores, present, keep, levels
            )
        ]
        if plan.residual is not None:
            level = levels[-1]
            outputs.append(Output(str(plan.residual), None, None, None, True, *level))
        report = Report(
            mixture=str(plan.mixture),
            sample_rate=reader.sample_rate,
            channels=reader.channels,
            samples=scratch.samples,
            seconds=round(scratch.samples / reader.sample_rate, 3),
            model=separator.name,
            fingerprint=separator.fingerprint,
            subtype=options.subtype,
            clip=options.clip,
            gain=gain,
            partition=options.partition,
            unwanted=list(unwanted),
            overlap=separator.overlap,
            wall_seconds=round(time.monotonic() - start, 3),
            outputs=outputs,
        )
        if plan.sidecar is not None:
            _write_sidecar(plan.sidecar, report)
    return report


def _separate(
    stream: SeparationStream,
    reader: AudioReader,
    scratch: Scratch,
    progress: Callable[[float], None],
) -> None:
    progress(0.0)
    for block in reader.blocks():
        done = stream.push(block)
        if done is not None:
            scratch.append(done)
        progress(block.shape[1] / reader.sample_rate)
    scratch.append(stream.finish())


def _gain(scratch: Scratch, keep: list[bool], options: Options, plan: Plan) -> float:
    """Gain of all outputs: below 1 only to keep them within full scale."""
    kept = [*keep, True] if scratch.residual else keep
    peak = max((p for p, there in zip(scratch.peaks, kept) if there), default=0.0)
    bits = BITS.get(options.subtype or "")
    limit = 1 - 2.0 ** (1 - bits) if bits else 1.0
    if peak <= limit or options.clip in ("none", "clamp"):
        return 1.0
    if options.clip == "error":
        raise AudioError(
            f"{plan.mixture}: an output peaks at {peak:.3f}, above full scale; choose "
            "--clip rescale, clamp or none"
        )
    return limit / float(peak)


def _write(
    scratch: Scratch,
    plan: Plan,
    reader: AudioReader,
    options: Options,
    keep: list[bool],
    gain: float,
    fingerprint: str,
) -> None:
    paths = [path for path, kept in zip(plan.stems.values(), keep) if kept]
    if plan.residual is not None:
        paths.append(plan.residual)
    for path in paths:
        if path.exists() and not options.overwrite:
            raise AudioError(f"{path}: exists; give --overwrite to replace it")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AudioError(
                f"{path.parent}: cannot be made ({error.strerror})"
            ) from error
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                open_writer(
                    path,
                    reader.sample_rate,
                    reader.channels,
                    options.subtype,
                    fingerprint,
                    scratch.samples,
                )
            )
            for path in paths
        ]
        for block in scratch.blocks():
            rows = _final(block, len(keep), keep, gain, options)
            for writer, audio in zip(writers, rows, strict=True):
                writer.write(audio)


def _final(
    block: np.ndarray, count: int, keep: list[bool], gain: float, options: Options
) -> list[np.ndarray]:
    """Rows as they are written: the residual takes what the stems leave."""
    stems, rest = block[:count], block[count:]
    rounded = [round_to(stem * np.float32(gain), options.subtype) for stem in stems]
    rows = [stem for stem, kept in zip(rounded, keep) if kept]
    if len(rest):
        whole = (rest[0] + stems.sum(0, dtype=np.float64)) * gain
        left = whole - sum((row.astype(np.float64) for row in rows), np.float64(0))
        rows.append(left.astype(np.float32))
    if options.clip == "clamp":
        rows = [np.clip(row, -1, 1) for row in rows]
    return rows


def _write_sidecar(path: Path, report: Report) -> None:
    try:
        with write_whole(path) as part:
            part.write_text(json.dumps(asdict(report), indent=2) + "\n", "utf-8")
    except OSError as error:
        raise AudioError(f"{path}: cannot be written ({error.strerror})") from error
