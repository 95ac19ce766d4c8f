"""Models of the ESPnet model zoo for ESPnet's own classes: zip, URL or tag -> arguments.

Our own models are read where they lie (:mod:`espnet2_caresep.inference.package`); a
recogniser's class wants its files unpacked, and their names in its configuration.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import yaml


def fetch(source: str | Path, cachedir: str | Path | None = None) -> dict[str, str]:
    """Downloads a model of any ESPnet task if need be, and unpacks it into the cache.

    Args:
        source: A zip file, the URL of one, or a tag: ``user/name`` on Hugging Face
            (``user/name@revision``) or a name in the zoo's table.
        cachedir: Where to keep it; by default the zoo's own cache.

    Returns:
        File paths by the names of the inference class's arguments, such as
        ``train_config`` and ``model_file``.

    Raises:
        ValueError: If there is none, with a one-line reason.
    """
    from espnet_model_zoo.downloader import ModelDownloader

    # A path that does not exist would be looked up as a tag, on the network.
    is_path = str(source).endswith(".zip") and "://" not in str(source)
    if is_path and not Path(source).is_file():
        raise ValueError(f"{source}: no such file")
    downloader = ModelDownloader(None if cachedir is None else str(cachedir))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the cache goes by the zip's path
            return downloader.download_and_unpack(str(source))
    except (OSError, RuntimeError, ValueError, KeyError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{source}: is no model of the zoo ({reason})") from error
