"""The files of a model: an experiment folder, a packed folder, or a zip.

What was downloaded is data from a stranger. A zip is read member by member and never
unpacked, names cannot lead out of it, and every member is read up to a limit only.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

CONFIG_LIMIT = 2**20  # bytes; configurations are some kilobytes
WEIGHTS_LIMIT = 8 * 2**30  # bytes; the 2048-d model has about 1.2 GB
QUERIES_LIMIT = 64 * 2**20  # bytes; 527 queries of the 2048-d model have 5 MB
QUERIES_NAME = "class_queries.safetensors"

# Weights of an experiment folder, best first.
WEIGHTS_PATTERNS = (
    "valid.mixture_sdr_other.best.pth",
    "valid.mixture_sdr.best.pth",
    "valid.*.ave.pth",
    "latest.pth",
)


class ModelError(ValueError):
    """A model that cannot be used, with a one-line reason."""


@dataclass(frozen=True)
class Package:
    """What a model consists of.

    Attributes:
        config: The training configuration.
        read_weights: Reads the weights, of at most so many bytes.
        class_queries: A safetensors file of one query per class; None if it has none.
        name: Where it came from.
    """

    config: dict
    read_weights: Callable[[int], bytes]
    class_queries: bytes | None
    name: str


def open_package(source: Path) -> Package:
    """Finds the files of a model.

    Args:
        source: ESPnet experiment folder (with ``config.yaml``), a zip made by
            ``espnet2.bin.pack enh``, or such a zip's content (with ``meta.yaml``).

    Raises:
        ModelError: If it is none of these or damaged.
    """
    if source.is_dir():
        if (source / "config.yaml").exists() or not (source / "meta.yaml").exists():
            return open_files(source / "config.yaml", _choose_weights(source))
        return _packed(_FolderMembers(source), str(source))
    if not zipfile.is_zipfile(source) or source.suffix == ".pth":
        raise ModelError(
            f"{source}: is neither a model folder nor a model-zoo zip (for a .pth file "
            "give the folder it is in)"
        )
    return _packed(_ZipMembers(source), str(source))


def open_files(config_file: Path, model_file: Path) -> Package:
    """The model of a training configuration and a weights file.

    Raises:
        ModelError: If one cannot be read.
    """
    if not model_file.is_file():
        raise ModelError(f"{model_file}: cannot be read (no such file)")
    beside = config_file.parent / QUERIES_NAME
    return Package(
        parse_yaml(_read(config_file, CONFIG_LIMIT), config_file),
        lambda limit: _read(model_file, limit),
        _read(beside, QUERIES_LIMIT) if beside.is_file() else None,
        str(model_file),
    )


def parse_yaml(content: bytes, name: object) -> dict:
    """Parses a YAML mapping.

    Raises:
        ModelError: If it is not one.
    """
    try:
        config = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{name}: its YAML cannot be read ({reason})") from error
    if not isinstance(config, dict):
        raise ModelError(f"{name}: its YAML holds no settings")
    return config


def _packed(members: _FolderMembers | _ZipMembers, name: str) -> Package:
    meta = parse_yaml(members.read("meta.yaml", CONFIG_LIMIT), name)
    tables = meta.get("yaml_files"), meta.get("files")
    if not all(isinstance(table, dict) for table in tables):
        raise ModelError(f"{name}: meta.yaml names no files")
    # ESPnet stores absolute paths without their leading slash.
    config, weights = (
        str(table.get(key)).lstrip("/")
        for table, key in zip(tables, ("train_config", "model_file"))
    )
    members.check(config)
    members.check(weights)
    beside = str(PurePosixPath(config).with_name(QUERIES_NAME))
    return Package(
        parse_yaml(members.read(config, CONFIG_LIMIT), name),
        lambda limit: members.read(weights, limit),
        members.read(beside, QUERIES_LIMIT) if members.has(beside) else None,
        name,
    )


class _ZipMembers:
    def __init__(self, path: Path):
        self.path = path
        self.names = set(self._run(lambda archive: archive.namelist()))

    def has(self, entry: str) -> bool:
        return entry in self.names

    def check(self, entry: str) -> None:
        if not self.has(entry):
            raise ModelError(f"{self.path}: holds no {entry}")

    def read(self, entry: str, limit: int) -> bytes:
        self.check(entry)
        return self._run(lambda archive: self._read(archive, entry, limit))

    def _read(self, archive: zipfile.ZipFile, entry: str, limit: int) -> bytes:
        # The size that an archive states is a claim: more than that is never read.
        if archive.getinfo(entry).file_size > limit:
            raise _too_large(f"{self.path}: {entry}", limit)
        return archive.read(entry)

    def _run(self, work: Callable[[zipfile.ZipFile], object]):
        try:
            with zipfile.ZipFile(self.path) as archive:
                return work(archive)
        except ModelError:
            raise
        except Exception as error:  # zipfile and zlib raise whatever damage leads to
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ModelError(f"{self.path}: is damaged ({reason})") from error


class _FolderMembers:
    def __init__(self, root: Path):
        self.root = root

    def has(self, entry: str) -> bool:
        return ".." not in Path(entry).parts and (self.root / entry).is_file()

    def check(self, entry: str) -> None:
        if not self.has(entry):
            raise ModelError(f"{self.root}: holds no {entry}")

    def read(self, entry: str, limit: int) -> bytes:
        self.check(entry)
        return _read(self.root / entry, limit)


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise _too_large(path, limit)
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error


def _too_large(name: object, limit: int) -> ModelError:
    return ModelError(f"{name}: is larger than {limit} bytes, which fits no such model")


def _choose_weights(folder: Path) -> Path:
    for pattern in WEIGHTS_PATTERNS:
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    raise ModelError(f"{folder}: holds no weights ({', '.join(WEIGHTS_PATTERNS)})")
