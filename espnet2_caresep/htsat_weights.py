"""Weights of the public HTS-AT [15] -> weights of CaRE-SEP's encoder and head.

[15] lays frequency along the height of its image and time along the width, CaRE-SEP
the other way round, so kernels, position biases and merged patches are transposed; then
both give the same tokens for the same picture.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from espnet2_caresep.network.htsat import HTSAT

SOURCE = "sed_model."  # where the training code of [15] keeps the network
TARGET = "extractor.network."  # where a trained model of ours keeps it

# What stays behind, by the beginning or part of its name.
LEFT_OUT = (
    ("spectrogram_extractor.", "the network has its own STFT"),
    ("logmel_extractor.", "the band split stands where the mel filters were"),
    ("bn0.running_", "statistics of decibels in mel bands, not of our bands"),
    ("bn0.num_batches_tracked", "belongs to these statistics"),
    ("head.", "a layer that the tags never pass in [15] either"),
    (".relative_position_index", "follows from the window"),
    (".attn_mask", "follows from window and shift"),
)

# Name in the checkpoint -> ours, and how the tensor changes.
RENAMED = (
    (r"patch_embed\.proj\.weight", "encoder.embed.proj.weight", "transpose"),
    (r"patch_embed\.(proj\.bias|norm\.\w+)", r"encoder.embed.\1", None),
    (
        r"layers\.(\d)\.blocks\.(\d+)\.attn\.relative_position_bias_table",
        r"encoder.groups.\1.blocks.\2.attn.position_bias",
        "offsets",
    ),
    (
        r"layers\.(\d)\.blocks\.(\d+)\.((?:attn\.(?:qkv|proj)|norm[12])\.\w+)",
        r"encoder.groups.\1.blocks.\2.\3",
        None,
    ),
    (
        r"layers\.(\d)\.blocks\.(\d+)\.mlp\.fc1\.(\w+)",
        r"encoder.groups.\1.blocks.\2.mlp.0.\3",
        None,
    ),
    (
        r"layers\.(\d)\.blocks\.(\d+)\.mlp\.fc2\.(\w+)",
        r"encoder.groups.\1.blocks.\2.mlp.2.\3",
        None,
    ),
    (
        r"layers\.(\d)\.downsample\.(norm\.\w+|reduction\.weight)",
        r"encoder.merges.\1.\2",
        "neighbours",
    ),
    (r"norm\.(weight|bias)", r"encoder.norm.\1", None),
    (r"tscam_conv\.(weight|bias)", r"head.conv.\1", None),
    (r"bn0\.(weight|bias)", r"norm.\1", None),
)

# Ours that nothing in the checkpoint can fill.
KEPT = (
    ("split.", "the band split has no counterpart; it starts as means over bands"),
    ("norm.running_", "a training finds the statistics of our bands"),
    ("norm.num_batches_tracked", "belongs to these statistics"),
)


class Conversion(NamedTuple):
    """Converted weights and an account of them."""

    weights: dict  # by name in a trained model
    options: dict  # of extractor_conf that fit
    copied: list[tuple[str, str]]  # name in the checkpoint, ours
    left_out: list[tuple[str, str]]  # name in the checkpoint, reason
    kept: list[tuple[str, str]]  # our name, reason


def load_htsat(path: str) -> dict:
    """The network's weights in a checkpoint, without the prefix.

    Raises:
        ValueError: If the file is no checkpoint of that layout.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail in any way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: cannot be read as weights ({reason})") from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    state = {
        name.removeprefix(SOURCE): value
        for name, value in (state.items() if isinstance(state, dict) else ())
        if str(name).startswith(SOURCE) and isinstance(value, Tensor)
    }
    if not state:
        raise ValueError(
            f"{path}: has no 'state_dict' with weights named {SOURCE}*, as checkpoints "
            "of HTS-AT have"
        )
    return state


def convert_htsat(state: dict, name: str = "checkpoint") -> Conversion:
    """Renames and transposes the weights of HTS-AT.

    Args:
        state: Weights by their names in [15].
        name: What to call the checkpoint in messages.

    Raises:
        ValueError: If a weight is unknown, missing or of another shape.
    """
    weights, copied, left_out = {}, [], []
    for key, value in state.items():
        reason = _reason(key, LEFT_OUT)
        if reason is not None:
            left_out.append((key, reason))
            continue
        ours, change = _rename(key)
        if ours is None:
            raise ValueError(f"{name}: {SOURCE}{key} is no weight of HTS-AT")
        weights[ours] = _change(value, change, f"{name}: {SOURCE}{key}")
        copied.append((key, ours))
    options = _options(state, name)
    kept = _check_coverage(weights, options, name)
    weights = {f"{TARGET}{key}": value for key, value in weights.items()}
    return Conversion(weights, options, copied, left_out, kept)


def _reason(key: str, table: tuple[tuple[str, str], ...]) -> str | None:
    for part, reason in table:
        if key.startswith(part) or (part.startswith(".") and key.endswith(part)):
            return reason
    return None


def _rename(key: str) -> tuple[str | None, str | None]:
    for pattern, ours, change in RENAMED:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(ours), change
    return None, None


def _change(value: Tensor, change: str | None, name: str) -> Tensor:
    """Exchanges the two axes of the image."""
    if change == "transpose":  # kernel (C', C, frequency, time)
        value = value.transpose(-1, -2)
    elif change == "offsets":  # (offsets in frequency * offsets in time, heads)
        side = _root(len(value), name)
        value = value.unflatten(0, (side, side)).transpose(0, 1).flatten(0, 1)
    elif change == "neighbours":  # last axis: 4 neighbours, (0, 0), (1, 0), (0, 1), ...
        if value.shape[-1] % 4:
            raise ValueError(f"{name} does not merge four neighbours")
        value = value.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :].flatten(-2)
    return value.contiguous().clone()


def _root(number: int, name: str) -> int:
    side = round(number**0.5)
    if side**2 != number or side % 2 == 0:
        raise ValueError(f"{name} is not the table of a square window")
    return side


def _options(state: dict, name: str) -> dict:
    """The sizes that the weights were made with."""
    depths, heads = [], []
    try:
        for group in range(4):
            table = f"layers.{group}.blocks.{{}}.attn.relative_position_bias_table"
            blocks = 0
            while table.format(blocks) in state:
                blocks += 1
            depths.append(blocks)
            heads.append(state[table.format(0)].shape[1])
        side = _root(len(state[table.format(0)]), name)
        bands = len(state["bn0.weight"])
        embed_dim = len(state["patch_embed.proj.weight"])
        num_classes = len(state["tscam_conv.bias"])
    except KeyError as error:
        key = error.args[0]
        raise ValueError(f"{name}: lacks {SOURCE}{key}, a weight of HTS-AT") from None
    return {
        "num_bands": bands,
        "embed_dim": embed_dim,
        "depths": depths,
        "heads": heads,
        "window": (side + 1) // 2,
        "num_classes": num_classes,
    }


def _check_coverage(weights: dict, options: dict, name: str) -> list[tuple[str, str]]:
    """Refuses weights that do not fill the network; returns what they cannot fill."""
    # A segment whose final map is a window, so that no window shrinks.
    unit, bands = 32 * options["window"], options["num_bands"]
    pieces = max(1, unit // bands)
    try:
        with torch.device("meta"):
            network = HTSAT(
                sample_rate=32000,
                n_fft=1024,
                hop_length=320,
                band_channels=1,
                segment_frames=pieces * unit,
                pieces=pieces,
                drop_path=0.0,
                **options,
            )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    wanted, kept = network.state_dict(), []
    for key, value in wanted.items():
        reason = _reason(key, KEPT)
        if reason is not None:
            kept.append((key, reason))
        elif key not in weights:
            raise ValueError(f"{name}: has nothing for {key}")
        elif weights[key].shape != value.shape:
            raise ValueError(
                f"{name}: {key} has shape {tuple(weights[key].shape)}, not "
                f"{tuple(value.shape)}"
            )
    unknown = [key for key in weights if key not in wanted]
    if unknown:
        raise ValueError(f"{name}: the network has no place for {unknown[0]}")
    return kept
