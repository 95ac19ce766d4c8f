"""Training under ESPnet3: its data set class, and draws without ESPnet2's iterators.

ESPnet3 builds the model from ``task: espnet2_caresep.task.CaRESepTask`` and trains it
with Lightning. ``conf/espnet3.yaml`` is a whole configuration.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
from espnet3.components.data.base_dataset import BaseDataset
from espnet3.contract import Field
from torch.utils.data import get_worker_info

from espnet2_caresep.data.files import read_table
from espnet2_caresep.data.preprocessor import PairMixingPreprocessor

MIXTURE_FILES = {
    "wav.scp": "speech_mix",
    **{f"spk{n}.scp": f"speech_ref{n}" for n in (1, 2)},
    **{f"enroll_spk{n}.scp": f"enroll_ref{n}" for n in (1, 2)},
    **{f"other_spk{n}.scp": f"other_ref{n}" for n in (1, 2)},
    **{f"label_spk{n}": f"label{n}" for n in (1, 2)},
}


class Dataset(BaseDataset):
    """A data directory of the recipes: clips to mix from, or fixed mixtures.

    Examples go by their names, which ESPnet3 finds out by :meth:`keys`.

    Args:
        data_dir: With ``wav.scp``; a directory that also has ``spk1.scp`` holds fixed
            mixtures.

    Raises:
        ValueError: If a list cannot be read.
    """

    def __init__(self, data_dir: str | Path):
        files = [name for name in MIXTURE_FILES if Path(data_dir, name).exists()]
        if "spk1.scp" in files:
            tables = {MIXTURE_FILES[n]: read_table(Path(data_dir, n)) for n in files}
        else:
            # Clips are given as paths: the preprocessor reads and mixes them.
            tables = {"speech_ref1": read_table(Path(data_dir, "wav.scp"))}
        self.tables = tables
        self.mixtures = len(tables) > 1
        self.fields = tuple(
            Field(name, "audio" if self._is_audio(name) else "text") for name in tables
        )
        self.uids = list(next(iter(tables.values())))

    def keys(self) -> list[str]:
        """The names of the examples."""
        return self.uids

    def __len__(self) -> int:
        return len(self.uids)

    def __getitem__(self, uid: str) -> Mapping[str, np.ndarray | str]:
        """Waveforms (samples,) float32, and paths and labels as text, by data name."""
        if not isinstance(uid, str):
            raise TypeError(f"examples go by name, got {uid!r}")
        item = {name: table[uid] for name, table in self.tables.items()}
        for name in filter(self._is_audio, item):
            item[name] = soundfile.read(item[name], dtype="float32")[0]
        return item

    def _is_audio(self, name: str) -> bool:
        return self.mixtures and not name.startswith("label")


class PairMixing(PairMixingPreprocessor):
    """The preprocessor, where nobody says which epoch and which rank it works for.

    Args: see :class:`PairMixingPreprocessor`; ``rank`` is found out. With data-loading
    processes each epoch has its own draws because PyTorch seeds them anew; without, the
    draws go on from where the last epoch ended.
    """

    def _generator(self, uid: str) -> np.random.Generator:
        self.rank = _rank()
        worker = get_worker_info()
        if worker is not None:
            self.epoch = worker.seed
        return super()._generator(uid)


def _rank() -> int:
    """Of this process among those that Lightning or a scheduler started."""
    if "RANK" in os.environ:
        return int(os.environ["RANK"])
    node, local = (os.environ.get(k, "0") for k in ("NODE_RANK", "LOCAL_RANK"))
    return 1000 * int(node) + int(local)
