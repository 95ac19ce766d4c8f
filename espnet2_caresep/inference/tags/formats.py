"""The tags of a recording, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from espnet2_caresep.inference.tags.events import Event, EventRule, find_sounds
from espnet2_caresep.inference.tags.frame_scores import score_frames

COLUMNS = ("file", "kind", "label", "score", "start", "end")


@dataclass(frozen=True)
class FileTags:
    """What sounds in a recording.

    Attributes:
        file: The recording as it was named.
        seconds: Its length.
        model: Fingerprint of the model that listened.
        threshold: Probability from which a sound is there.
        labels: Label to the probability of the whole recording, highest first: of the
            labels at the threshold and of those that have an event.
        most_likely: The label with the highest probability, whatever it is, and it.
        events: In order of time.
    """

    file: str
    seconds: float
    model: str
    threshold: float
    labels: dict[str, float]
    most_likely: tuple[str, float]
    events: list[Event]


def tag_file(
    separator, path: str | Path, rule: EventRule, show_progress: bool = False
) -> FileTags:
    """Tags a recording.

    Args:
        separator: A :class:`~espnet2_caresep.inference.CaRESeparator`.
        path: Audio file.
        rule: What is a sound, and an event of it.
        show_progress: Whether to show a bar on stderr.

    Raises:
        ValueError: If the file cannot be used.
    """
    scores = score_frames(separator, path, show_progress=show_progress)
    labels, events = find_sounds(scores, rule)
    best = int(scores.clip.argmax())
    return FileTags(
        str(path),
        round(scores.seconds, 3),
        separator.fingerprint,
        rule.threshold,
        {label: round(score, 4) for label, score in labels.items()},
        (scores.labels[best], float(scores.clip[best])),
        events,
    )


def event_row(event: Event) -> dict:
    """An event for JSON: milliseconds and four digits of the score are enough."""
    return {
        "label": event.label,
        "start": round(event.start, 3),
        "end": round(event.end, 3),
        "score": round(event.score, 4),
    }


def as_text(tags: FileTags) -> str:
    """Labels with their scores, under each its events."""
    lines = [f"{tags.file}  ({tags.seconds:.2f} s)"]
    width = max((len(label) for label in tags.labels), default=0)
    for label, score in tags.labels.items():
        lines.append(f"  {label:{width}}  {score:.2f}")
        for event in tags.events:
            if event.label == label:
                span = f"{event.start:8.2f} s - {event.end:8.2f} s"
                lines.append(f"  {'':{width}}  {span}  {event.score:.2f}")
    if not tags.labels:
        label, score = tags.most_likely
        guess = f"the most likely is {label}, {score:.2f}" if score else "it is silent"
        lines.append(f"  nothing reaches {tags.threshold:g}; {guess}")
    return "\n".join(lines) + "\n"


def as_json(tags: FileTags, indent: int | None = None) -> str:
    """One JSON object."""
    content = asdict(tags)
    del content["most_likely"]
    content["labels"] = [{"label": k, "score": v} for k, v in tags.labels.items()]
    content["events"] = [event_row(event) for event in tags.events]
    return json.dumps(content, indent=indent, ensure_ascii=False) + "\n"


def as_csv(tags: FileTags, header: bool = True) -> str:
    """A row per label ("clip", the whole recording) and per event."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if header:
        writer.writerow(COLUMNS)
    for label, score in tags.labels.items():
        writer.writerow((tags.file, "clip", label, f"{score:.4f}", 0, tags.seconds))
    for event in tags.events:
        row = event_row(event)
        score = f"{event.score:.4f}"
        times = (row["start"], row["end"])
        writer.writerow((tags.file, "event", event.label, score, *times))
    return out.getvalue()


def as_audacity(tags: FileTags) -> str:
    """A label track that Audacity imports: start, end and label between tabs."""
    rows = (
        f"{event.start:.6f}\t{event.end:.6f}\t{event.label} {event.score:.2f}\n"
        for event in tags.events
    )
    return "".join(rows)
