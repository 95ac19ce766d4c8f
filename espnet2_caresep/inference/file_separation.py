"""A mixture's file -> files of stems and residual, whole or not at all.

Two passes: the network's output goes to an unnamed scratch file beside the outputs, and
from there to its final form. What a stem's presence is, and how far to turn down what
would clip, is known only when all of it has been separated; an hour does not fit in
memory.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from itertools import compress
from pathlib import Path
from types import MappingProxyType

import numpy as np

from espnet2_caresep.data.files import write_whole
from espnet2_caresep.inference.audio.reader import AudioError, AudioReader
from espnet2_caresep.inference.audio.scratch import Scratch, open_scratch
from espnet2_caresep.inference.audio.writer import BITS, open_writer, round_to
from espnet2_caresep.inference.fading import FadedParts
from espnet2_caresep.inference.file_plan import Options, Output, Plan, Report
from espnet2_caresep.inference.presence.fade import Fade
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
        verdicts = stream.judge.verdicts()
        scores = [verdict.presence for verdict in verdicts]
        rule = separator.presence_rule
        present = [*map(rule.is_present, scores)]
        fades = [
            _fade(there, verdict.fade, options)
            for there, verdict in zip(present, verdicts)
        ]
        parts = FadedParts(scratch, fades)
        levels = parts.levels()
        peaks = compress((peak for _, peak in levels), [*parts.written, True])
        gain = _gain(max(peaks, default=0.0), options, plan)
        _write(parts, plan, reader, options, gain, separator.fingerprint)
        outputs = [
            Output(
                str(path),
                name,
                round(score, 4),
                there,
                rule.is_surely_present(score),
                fade is not None,
                _decibels(fade.level) if fade else 0.0,
                *level,
            )
            for (name, path), score, there, fade, level in zip(
                plan.stems.items(), scores, present, fades, levels
            )
        ]
        if plan.residual is not None:
            rest = (None, None, None, None, True, 0.0, *levels[-1])
            outputs.append(Output(str(plan.residual), *rest))
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


def _fade(present: bool, fade: Fade, options: Options) -> Fade | None:
    """How a stem is written; None for no file."""
    if options.require_presence and not present:
        return None
    return Fade() if options.keep_absent else fade


def _decibels(gain: float) -> float:
    return round(20 * math.log10(gain), 2)


def _gain(peak: float, options: Options, plan: Plan) -> float:
    """Gain of all outputs: below 1 only to keep them within full scale."""
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
    parts: FadedParts,
    plan: Plan,
    reader: AudioReader,
    options: Options,
    gain: float,
    fingerprint: str,
) -> None:
    paths = [*compress(plan.stems.values(), parts.written)]
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
                    parts.scratch.samples,
                )
            )
            for path in paths
        ]
        for stems, whole in parts.blocks():
            rows = _final(
                stems[parts.written], whole, parts.scratch.residual, gain, options
            )
            for writer, audio in zip(writers, rows, strict=True):
                writer.write(audio)


def _final(
    stems: np.ndarray, whole: np.ndarray, residual: bool, gain: float, options: Options
) -> list[np.ndarray]:
    """Rows as they are written: the residual takes what the stems leave."""
    rows = [round_to(stem * np.float32(gain), options.subtype) for stem in stems]
    if residual:
        taken = sum((row.astype(np.float64) for row in rows), np.float64(0))
        rows.append((gain * whole - taken).astype(np.float32))
    if options.clip == "clamp":
        rows = [np.clip(row, -1, 1) for row in rows]
    return rows


def _write_sidecar(path: Path, report: Report) -> None:
    try:
        with write_whole(path) as part:
            part.write_text(json.dumps(asdict(report), indent=2) + "\n", "utf-8")
    except OSError as error:
        raise AudioError(f"{path}: cannot be written ({error.strerror})") from error
