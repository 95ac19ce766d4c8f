"""Models by name: ESPnet's model zoo and Hugging Face."""

from __future__ import annotations

import re
from pathlib import Path

from espnet2_caresep.inference.package import ModelError

NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?|https?://\S+")


def fetch_model(name: str) -> Path:
    """Downloads a model once; later calls find it in the cache.

    Args:
        name: ``owner/model`` of the zoo's table or of Hugging Face, with ``@revision``
            if wanted, or the address of a zip.

    Returns:
        A zip or a folder with ``meta.yaml``. Nothing in it has been run or unpacked.

    Raises:
        ModelError: If it is no such name or cannot be fetched.
    """
    if not NAME.fullmatch(name):
        raise ModelError(f"{name}: no such model folder or zip")
    try:
        # This imports ESPnet, which takes seconds.
        from espnet_model_zoo.downloader import ModelDownloader

        return Path(ModelDownloader().download(name, quiet=True))
    except Exception as error:  # the downloader raises what its many libraries raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(
            f"{name}: no such model folder or zip here, and no model of that name "
            f"could be fetched ({reason})"
        ) from error
