"""Checks of a training configuration, each answered by one line that says what to do."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

TAGGING_MODES = ("cls", "tagger")  # in which a training sees single clips


class ConfigError(ValueError):
    """A mistake in options, configuration or data lists; its text is for the user."""


def allowed_keys(function: Callable, exclude: Collection[str] = ()) -> list[str] | None:
    """Names of the arguments that a configuration may set.

    Args:
        function: Class or function that will get the configuration.
        exclude: Arguments that the program sets itself.

    Returns:
        The names; None when the function takes any keyword.
    """
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters if p.name not in exclude and p.name != "self"]


def check_keys(
    option: str, conf: object, function: Callable, exclude: Collection[str] = ()
) -> None:
    """Refuses keys that ``function`` does not know, and values of another kind.

    Args:
        option: Name of the option, for the message.
        conf: Its value, which must be a mapping.
        function: Class or function that will get the configuration.
        exclude: Arguments that the program sets itself.

    Raises:
        ConfigError: Naming the first such key, and the allowed ones.
    """
    if not isinstance(conf, Mapping):
        raise ConfigError(f"{option} must be a mapping of options, got {conf!r}")
    allowed = allowed_keys(function, exclude)
    if allowed is None:
        return
    parameters = inspect.signature(function).parameters
    for key, value in conf.items():
        if key not in allowed:
            close = difflib.get_close_matches(str(key), allowed, 1)
            hint = f", did you mean {close[0]}?" if close else ""
            raise ConfigError(
                f"{option}: unknown key '{key}'{hint} (allowed: {', '.join(allowed)})"
            )
        _check_kind(f"{option}: {key}", value, parameters[key].default)


def _check_kind(name: str, value: object, default: object) -> None:
    """Refuses a value that cannot stand where the default stands."""
    kinds = {
        bool: (bool, "true or false"),
        int: (int, "a whole number"),
        float: ((int, float), "a number"),
        str: (str, "a text"),
        tuple: ((list, tuple), "a list"),
    }
    kind, meaning = kinds.get(type(default), (object, ""))
    # Python counts truth values as numbers.
    fits = isinstance(value, kind) and (
        kind is object or (isinstance(value, bool) == isinstance(default, bool))
    )
    if not fits:
        raise ConfigError(f"{name} must be {meaning}, got {value!r}")


def build(option: str, function: Callable, **kwargs):
    """Calls ``function``; what it says of its arguments becomes a ConfigError."""
    try:
        return function(**kwargs)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{option}: {error}") from error


def check_file(option: str, path: str | Path, hint: str = "") -> None:
    """Refuses a file that is not there.

    Raises:
        ConfigError: Naming the option and the file.
    """
    if not Path(path).is_file():
        raise ConfigError(f"{option}: no such file: {path}{hint and f' ({hint})'}")


def read_labels(
    labels: str | Sequence[str] | None, source_dir: str | None
) -> list[str]:
    """The class names, in the order of their indices.

    Args:
        labels: The list itself, the path of a file with one name a line, or None for
            the sorted names that occur in ``source_dir/labels``.
        source_dir: Data directory of the training clips.

    Returns:
        The list.

    Raises:
        ConfigError: If there is none, or names are empty or repeated.
    """
    if labels is None and source_dir is not None:
        path = Path(source_dir, "labels")
        check_file("labels", path, "stage 3 makes it")
        found: set[str] = set()
        with path.open(encoding="utf-8") as file:
            for line in file:
                found.update(line.split()[1:])
        labels = sorted(found)
    elif isinstance(labels, str):
        check_file("labels", labels)
        lines = Path(labels).read_text(encoding="utf-8").splitlines()
        labels = [line.split()[0] for line in lines if line.strip()]
    if not labels:
        raise ConfigError(
            "labels: give the list of class names, a file with one name a line, or "
            "preprocessor_conf.source_dir with a file 'labels'"
        )
    labels = [str(label) for label in labels]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ConfigError(f"labels: {twice} comes twice")
    return labels


def check_labels(path: str | Path, labels: Sequence[str]) -> None:
    """Refuses a file of lines ``uid label ...`` that names a class not in the list.

    Raises:
        ConfigError: Naming the file, the line and the class.
    """
    known = set(labels)
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            for label in line.split()[1:]:
                if label not in known:
                    raise ConfigError(
                        f"{path}:{number}: class '{label}' is not in the list of "
                        f"{len(labels)} labels"
                    )
