"""The files of ``espnet2_caresep.bin.fuzz``, each made from a seed."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
TINY = {
    "segment_frames": 128,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "decoder_depths": [1, 1, 1],
    "heads": [1, 2, 4, 8],
    "num_classes": 2,
}
SUFFIXES = ("wav", "flac", "ogg", "mp3", "aiff", "au", "w64", "caf")
KINDS = (
    *("bytes", "header", "samples", "noise", "shape", "bytes", "cut", "header"),
    *("query", "model", "config", "bank"),
)
HEADER = 64  # bytes in which WAV and its like keep their numbers


@dataclass(frozen=True)
class Seeds:
    """Whole files, to be damaged.

    Attributes:
        audio: One file of each suffix.
        model: A zip of an untrained network.
        bank: A query bank of it.
    """

    audio: tuple[Path, ...]
    model: Path
    bank: Path

    @classmethod
    def of(cls, folder: Path) -> Seeds:
        """The files in a folder that :meth:`make` has filled."""
        audio = tuple(folder / f"whole.{suffix}" for suffix in SUFFIXES)
        return cls(audio, folder / "model.zip", folder / "bank.safetensors")

    @classmethod
    def make(cls, folder: Path) -> Seeds:
        """Makes them."""
        import torch
        import yaml

        from espnet2_caresep.inference import CaRESeparator
        from espnet2_caresep.inference.banks.clips import embed_clip, extend_bank
        from espnet2_caresep.inference.banks.files import save_bank
        from espnet2_caresep.network import CaRESep

        seeds = cls.of(folder)
        rng = np.random.default_rng(0)
        tone = 0.3 * np.sin(np.arange(RATE // 2) / 7) + 0.1 * rng.standard_normal(
            RATE // 2
        )
        for path in seeds.audio:
            soundfile.write(path, np.stack([tone, tone[::-1]], 1), RATE)
        torch.manual_seed(0)
        state = CaRESep(**TINY).state_dict()
        state = {f"extractor.network.{name}": value for name, value in state.items()}
        torch.save(state, folder / "weights.pth")
        config = {"extractor": "caresep", "extractor_conf": TINY, "labels": ["a", "b"]}
        meta = {"files": {"model_file": "w.pth"}, "yaml_files": {"train_config": "c"}}
        with zipfile.ZipFile(seeds.model, "w") as archive:
            archive.writestr("meta.yaml", yaml.safe_dump(meta))
            archive.writestr("c", yaml.safe_dump(config))
            archive.write(folder / "weights.pth", "w.pth")
        separator = CaRESeparator.from_pretrained(seeds.model, "cpu")
        clip = embed_clip(separator, seeds.audio[0])
        save_bank(seeds.bank, extend_bank("bank", separator, [clip]))
        return seeds


def make_file(seed: int, seeds: Seeds, folder: Path) -> list[str]:
    """Makes the file of a seed.

    Args:
        seed: Decides the kind of damage and the damage.
        seeds: Whole files.
        folder: Where to write.

    Returns:
        Arguments of ``caresep separate`` that use it.
    """
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    whole = seeds.audio[rng.integers(len(seeds.audio))]
    mixture, query, model = seeds.audio[0], str(seeds.audio[1]), seeds.model
    if kind == "model":
        model = folder / "model.zip"
        model.write_bytes(_damaged(seeds.model.read_bytes(), rng))
    elif kind == "config":
        model = folder / "model.zip"
        _write_odd_model(seeds.model, model, rng)
    elif kind == "bank":
        path = folder / "bank.safetensors"
        path.write_bytes(_damaged(seeds.bank.read_bytes(), rng))
        query = f"@{path}"
    else:
        path = folder / f"odd{whole.suffix}"
        _write_odd_audio(kind, whole, path, rng)
        if kind == "query":
            query = str(path)
        else:
            mixture = path
    return [str(mixture), "--query", f"q={query}", "--model", str(model)]


def _write_odd_audio(
    kind: str, whole: Path, path: Path, rng: np.random.Generator
) -> None:
    content = whole.read_bytes()
    if kind == "cut":
        path.write_bytes(content[: rng.integers(len(content))])
    elif kind == "header":
        data = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(0, HEADER - 4))
            value = rng.choice([0, 1, 0xFFFFFFFF, 0x7FFFFFFF, int(rng.integers(2**32))])
            size = int(rng.choice([1, 2, 4]))
            data[place : place + size] = int(value).to_bytes(4, "little")[:size]
        path.write_bytes(data)
    elif kind == "noise":
        magic = rng.choice([b"RIFF", b"fLaC", b"OggS", b"ID3\x03", b"FORM", b""])
        path.write_bytes(bytes(magic) + rng.bytes(int(rng.integers(0, 5000))))
    elif kind == "samples":
        audio = rng.standard_normal((int(rng.integers(0, 9000)), 1)) * 10.0 ** int(
            rng.integers(-40, 39)
        )
        if len(audio) and rng.random() < 0.5:
            audio[rng.integers(len(audio))] = rng.choice([np.nan, np.inf, -np.inf])
        soundfile.write(path.with_suffix(".wav"), audio, RATE, "DOUBLE")
        path.with_suffix(".wav").replace(path)
    elif kind == "shape":
        channels = int(rng.choice([1, 2, 3, 8, 17, 300]))
        rate = int(rng.choice([1, 999, 1000, 7999, 32000, 192000, 384000, 2**31 - 1]))
        length = int(rng.choice([0, 1, 2, 100, rng.integers(1, 20000)]))
        audio = rng.uniform(-1, 1, (min(length, 300000 // channels), channels))
        soundfile.write(path.with_suffix(".wav"), audio, rate)
        path.with_suffix(".wav").replace(path)
    else:
        path.write_bytes(_damaged(content, rng))


def _damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Flips, cuts, doubles and overwrites."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        if not data:
            break
        place = int(rng.integers(len(data)))
        if rng.random() < 0.5:  # most that decides lies at the beginning
            place %= 512
        size = int(rng.integers(1, 64))
        choice = rng.integers(4)
        if choice == 0:
            data[place % len(data)] ^= 1 << int(rng.integers(8))
        elif choice == 1:
            data[place : place + size] = rng.bytes(size)
        elif choice == 2:
            del data[place : place + size]
        else:
            data[place:place] = data[place : place + size]
    return bytes(data)


def _write_odd_model(whole: Path, path: Path, rng: np.random.Generator) -> None:
    """A whole zip with a configuration that asks for something else."""
    import yaml

    odd = [-1, 0, 1, 3, 2**40, 1e300, "many", None, [], [1], [[1]], {}, True, "\0"]
    keys = ["embed_dim", "depths", "heads", "segment_frames", "sample_rate", "n_fft"]
    keys += ["hop_length", "num_bands", "window", "mask_dim", "drop_path", "pieces"]
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        config = yaml.safe_load(source.read("c"))
        place = rng.integers(4)
        value = odd[rng.integers(len(odd))]
        if place == 0:
            key = ["extractor", "extractor_conf", "labels", "presence"][rng.integers(4)]
            config[key] = value
        elif place == 1:
            config["presence"] = {"threshold": value}
        else:
            config["extractor_conf"][keys[rng.integers(len(keys))]] = value
        target.writestr("meta.yaml", source.read("meta.yaml"))
        target.writestr("c", yaml.safe_dump(config))
        target.writestr("w.pth", source.read("w.pth"))
