"""The page of ``caresep demo``. It needs gradio, which is an optional extra."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio

from espnet2_caresep.cli.errors import one_line
from espnet2_caresep.inference.demo import draw_mark, seconds_of, separate_into

MARKED, DROPPED = "marked in the mixture", "in a clip of its own"
MAY_FAIL = (ValueError, OSError, MemoryError, RuntimeError)
HEADING = """# One sound out of a mixture
Drop a mixture. Say how the wanted sound sounds: mark a moment of the mixture in which
it can be heard, or drop a clip of such a sound. Target and residual add up to the
mixture."""


def build_page(separator) -> gradio.Blocks:
    """Lays the page out and connects it.

    Args:
        separator: A :class:`~espnet2_caresep.inference.CaRESeparator`.
    """
    # What was dropped and made is deleted an hour later.
    page = gradio.Blocks(
        title="caresep", analytics_enabled=False, delete_cache=(600, 3600)
    )
    with page:
        gradio.Markdown(HEADING)
        mixture = _player("Mixture", "mixture", sources=["upload"], editable=False)
        how = gradio.Radio(
            [MARKED, DROPPED], value=MARKED, label="The wanted sound is", elem_id="how"
        )
        with gradio.Column() as marking:
            with gradio.Row():
                start = _slider("from second", "start", 0)
                end = _slider("to second", "end", 1)
            marked = _picture("marked")
        with gradio.Column(visible=False) as dropping:
            clip = _player("Clip of such a sound", "clip", sources=["upload"])
        button = gradio.Button("Separate", variant="primary", elem_id="separate")
        verdict = gradio.Textbox(
            label="Verdict", interactive=False, elem_id="verdict", max_lines=4
        )
        with gradio.Row():
            target = _player("Target", "target", interactive=False)
            residual = _player("Residual", "residual", interactive=False)
        picture = _picture("picture")
        gradio.Markdown(f"Model: {separator.name} ({separator.fingerprint})")

        how.change(_show_one, how, [marking, dropping])
        mixture.change(measure, mixture, [start, end, verdict])
        gradio.on(
            [mixture.change, start.change, end.change],
            mark,
            [mixture, start, end],
            marked,
            trigger_mode="always_last",
            show_progress="hidden",
        )
        button.click(
            partial(separate, separator),
            [mixture, how, start, end, clip],
            [target, residual, picture, verdict],
        )
    return page


def measure(mixture: str | None) -> tuple[dict, dict, str]:
    """Sliders that reach to the mixture's end, and what is wrong with it."""
    try:
        seconds = round(seconds_of(mixture), 2) if mixture else 1.0
        problem = ""
    except MAY_FAIL as error:
        seconds, problem = 1.0, _told(error, mixture)
    slider = partial(gradio.update, maximum=seconds)
    return slider(value=0), slider(value=min(1.0, seconds)), problem


def mark(mixture: str | None, start: float, end: float) -> Iterator[str | None]:
    """The picture of the mixture; none where the mixture is of no use."""
    with TemporaryDirectory() as folder:
        try:
            seconds_of(mixture)
            yield str(draw_mark(mixture, start, end, folder))
        except MAY_FAIL as error:
            _told(error, mixture)
            yield None


def separate(
    separator,
    mixture: str | None,
    how: str,
    start: float,
    end: float,
    clip: str | None,
) -> Iterator[tuple[str | None, str | None, str | None, str]]:
    """Target, residual, picture and verdict; or one line that says what is wrong."""
    used = None if how == MARKED else clip
    if mixture is None:
        yield None, None, None, "Drop a mixture first."
    elif how == DROPPED and clip is None:
        yield None, None, None, "Drop a clip of the wanted sound first."
    else:
        # Gradio keeps a copy of what it shows; ours goes when it has been taken.
        with TemporaryDirectory() as folder:
            try:
                done = separate_into(separator, folder, mixture, used, start, end)
            except MAY_FAIL as error:
                yield None, None, None, _told(error, mixture, used)
            else:
                files = (done.target, done.residual, done.picture)
                yield *map(str, files), done.verdict


def _told(error: Exception, *given: str | None) -> str:
    """The line for a person, with the names of their files instead of our paths.

    Raises:
        Exception: The error, if it is a bug of ours.
    """
    line = one_line(error)
    if line is None:
        raise error
    for path in filter(None, given):
        line = line.replace(path, Path(path).name)
    return f"This cannot be done: {line}"


def _show_one(how: str) -> tuple[dict, dict]:
    return gradio.update(visible=how == MARKED), gradio.update(visible=how == DROPPED)


def _player(label: str, name: str, **options) -> gradio.Audio:
    # Paths, not samples: gradio would bring samples to full scale.
    return gradio.Audio(
        label=label, type="filepath", elem_id=name, buttons=["download"], **options
    )


def _picture(name: str) -> gradio.Image:
    return gradio.Image(
        type="filepath",
        interactive=False,
        show_label=False,
        elem_id=name,
        buttons=["download", "fullscreen"],
    )


def _slider(label: str, name: str, value: float) -> gradio.Slider:
    return gradio.Slider(
        0, 1, value=value, step=0.01, label=label, interactive=True, elem_id=name
    )
