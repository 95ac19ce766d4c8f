"""Models at hand: installed along with the package, or in a cache of downloads.

A model zip describes itself: its training configuration holds the labels and, where it
is known, the ``licence``, which may also be in the model card (README.md); a RESULTS.json
of the recipe's scoring, if packed along, holds what was measured. Nothing here needs
torch.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import yaml

SYSTEMS = ("caresep", "st_sed_sep", "pann_sep")  # extractors that this package trains
TEXT_LIMIT = 64 * 2**20  # bytes of a configuration or of results
FIGURES = {  # table entry of RESULTS.json -> what people call it
    "mixture_own/sdr": "mixture SDR, own clip",
    "mixture_other/sdr": "mixture SDR, other clip",
    "clean_own/sdr": "clean SDR, own clip",
    "silence_own/silence_sdr": "silence SDR, own clip",
}


@dataclass(frozen=True)
class ModelInfo:
    """What a model says of itself.

    Attributes:
        name: File name, or the tag under which it was downloaded.
        path: What to give to ``--model``.
        origin: "shipped" or "cached".
        system: caresep, st_sed_sep or pann_sep; None if unreadable.
        labels: Class names; empty if unnamed.
        licence: Licence of the weights; None if not stated.
        data: What it was trained and scored on; None if not stated.
        parameters: Their number; None if not stated.
        scores: Figure to its value, mean SDR in dB or mAP; empty if not stated.
        problem: Why it cannot be used; None if nothing is known against it.
    """

    name: str
    path: Path
    origin: str
    system: str | None = None
    labels: tuple[str, ...] = ()
    licence: str | None = None
    data: str | None = None
    parameters: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    problem: str | None = None


def shipped_models() -> list[Path]:
    """Model zips that were installed along with the package, by name."""
    return sorted(Path(__file__).parents[1].joinpath("assets").glob("*.zip"))


def cache_folders() -> tuple[Path, Path]:
    """Where espnet_model_zoo and huggingface_hub keep what they download."""
    home = Path.home() / ".cache"
    hub = Path(os.environ.get("HF_HOME", home / "huggingface")) / "hub"
    return home / "espnet_model_zoo", Path(os.environ.get("HF_HUB_CACHE", hub))


def find_models() -> list[ModelInfo]:
    """All models of this package that are at hand."""
    zoo, hub = cache_folders()
    places = [(path, "shipped", path.name) for path in shipped_models()]
    for meta in zoo.glob("*/meta.yaml"):
        # The zoo unpacks a zip beside it, into a folder that is named by a hash.
        named = next(iter(sorted(meta.parent.glob("*.zip"))), meta.parent)
        places.append((meta.parent, "cached", named.name))
    for meta in hub.glob("models--*/snapshots/*/meta.yaml"):
        tag = meta.parts[-4].removeprefix("models--").replace("--", "/")
        places.append((meta.parent, "cached", tag))
    found = [describe_model(*place) for place in sorted(places, key=_shipped_first)]
    return [info for info in found if info is not None]


def describe_model(path: Path, origin: str, name: str) -> ModelInfo | None:
    """Reads what a model zip, or an unpacked one, says of itself.

    Args:
        path: Zip, or a folder that holds ``meta.yaml``.
        origin: "shipped" or "cached".
        name: What to call it.

    Returns:
        The description; None for a model of another package or task.
    """
    use = path
    try:
        # zipfile.Path reads members as pathlib.Path reads files.
        root = path if path.is_dir() else zipfile.Path(path)
        meta = _mapping(_read(root / "meta.yaml"))
        entry = (meta.get("yaml_files") or {}).get("train_config")
        if not isinstance(entry, str):
            return None
        config_file = _locate(root, entry)
        config = _mapping(_read(config_file))
        if config.get("extractor") not in SYSTEMS:
            return None
        results = {}
        for file in root.rglob("RESULTS.json"):
            results = json.loads(_read(file))
            break
        if path.is_dir():
            use = next(iter(sorted(path.glob("*.zip"))), config_file.parent)
        licence = config.get("licence") or _card(root).get("license")
        return _info(name, use, origin, config, results, licence)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        return ModelInfo(name, use, origin, problem=f"cannot be read ({reason})")


def _info(
    name: str, path: Path, origin: str, config: dict, results: dict, licence: object
) -> ModelInfo:
    about = results.get("about") or {}
    entries = (results.get("systems") or {}).get("model") or {}
    scores = {
        figure: float(entries[key]["mean"])
        for key, figure in FIGURES.items()
        if key in entries
    }
    if "map" in (results.get("tagging") or {}):
        scores["mAP"] = float(results["tagging"]["map"])
    return ModelInfo(
        name,
        path,
        origin,
        config["extractor"],
        tuple(map(str, config.get("labels") or ())),
        str(licence) if licence else None,
        about.get("data"),
        about.get("parameters"),
        scores,
    )


def _card(root) -> dict:
    """The settings at the head of a model card, as Hugging Face has them."""
    file = next(iter(root.rglob("README.md")), None)
    if file is None:
        return {}
    parts = _read(file).split(b"---\n")
    return _mapping(parts[1]) if len(parts) > 2 and not parts[0].strip() else {}


def _locate(root, entry: str):
    """The file that meta.yaml names: the zoo makes the name absolute on unpacking."""
    inside = root / entry.lstrip("/")
    return inside if inside.is_file() or not os.path.isabs(entry) else Path(entry)


def _read(file) -> bytes:
    with file.open("rb") as stream:
        content = stream.read(TEXT_LIMIT + 1)
    if len(content) > TEXT_LIMIT:
        raise ValueError(f"{file.name} is too large")
    return content


def _mapping(content: bytes) -> dict:
    try:
        settings = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError("its settings cannot be read") from error
    return settings if isinstance(settings, dict) else {}


def _shipped_first(place: tuple[Path, str, str]) -> tuple[bool, str]:
    return place[1] != "shipped", place[2]
