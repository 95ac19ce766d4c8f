"""Log-mel pictures of a separation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from espnet2_caresep.data.files import write_whole
from espnet2_caresep.network.stft import STFT

RANGE_DB = 70  # below the loudest point of a picture everything is equally dark
BANDS = 96
COLUMNS = 1200  # of a picture of long audio
PIECE = 2**20  # samples whose spectrogram is computed at once
HOP = 320  # samples of an STFT frame


def log_mel(audio: np.ndarray, sample_rate: int, bands: int = BANDS) -> np.ndarray:
    """Log-mel spectrogram: triangles on the HTK mel scale from 0 Hz to Nyquist.

    Args:
        audio: (samples,) float32.
        sample_rate: Hz.
        bands: Number of triangles.

    Returns:
        (bands, frames) in dB; 0 dB is the density of white noise of unit power.
    """
    spectrum = STFT()(torch.from_numpy(audio)[None])[0]
    power = spectrum.abs().square().numpy()
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    hertz = np.linspace(0, sample_rate / 2, power.shape[1])
    width = sample_rate / 2 / (power.shape[1] - 1)
    low, mid, high = (edges[i : i + bands, None] for i in range(3))
    # Triangles narrower than a bin are widened to one, so that no band is empty.
    rising = (hertz - low) / np.maximum(mid - low, width)
    falling = (high - hertz) / np.maximum(high - mid, width)
    weights = np.maximum(0, np.minimum(rising, falling))
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-12)
    return 10 * np.log10(np.maximum(power @ weights.T, 1e-12)).T


def log_mel_columns(
    blocks: Iterable[np.ndarray], frames: int, sample_rate: int
) -> np.ndarray:
    """Log-mel spectrogram of audio of any length, at most some 1,200 columns wide.

    Args:
        blocks: (channels, n) float32 one after the other; the channels' mean is seen.
        frames: Samples of a channel in all.
        sample_rate: Hz.

    Returns:
        (bands, columns) in dB as :func:`log_mel`; a column is the mean of its power.
    """
    pool = max(1, frames // HOP // COLUMNS)  # STFT frames of a column
    size = max(1, PIECE // (HOP * pool)) * HOP * pool
    columns = []
    for piece in _pieces(blocks, size):
        power = 10 ** (log_mel(piece, sample_rate) / 10)
        count = max(1, power.shape[1] // pool)
        columns += [part.mean(1) for part in np.array_split(power, count, axis=1)]
    return 10 * np.log10(np.stack(columns, 1))


def _pieces(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Mono pieces (size,); the last one may be shorter."""
    held, count = [], 0
    for block in blocks:
        held.append(block.mean(0))
        count += len(held[-1])
        while count >= size:
            whole = np.concatenate(held)
            yield whole[:size]
            held, count = [whole[size:]], count - size
    if count:
        yield np.concatenate(held)


def draw_separation(
    path: str | Path,
    panels: Mapping[str, np.ndarray],
    title: str,
    sample_rate: int,
    marks: Mapping[str, tuple[float, float]] | None = None,
    width: float = 4.0,
) -> None:
    """Draws waveforms as log-mel panels side by side into a PNG.

    All panels but the first, the query with its own level, share one colour scale.

    Args:
        path: File to write, whole or not at all.
        panels: Title of a panel to its waveform (samples,), float32.
        title: Title of the picture; none if empty.
        sample_rate: Hz.
        marks: Title of a panel to the seconds, from and to, that are marked on it.
        width: Of a panel, in inches.
    """
    from matplotlib.figure import Figure  # no window system, no global state

    figure = Figure(figsize=(width * len(panels), 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    mels = [
        log_mel_columns([audio[None]], len(audio), sample_rate)
        for audio in panels.values()
    ]
    shared = max(mel.max() for mel in mels[1:]) if len(mels) > 1 else mels[0].max()
    for i, (axis, name, mel) in enumerate(zip(axes, panels, mels)):
        top = shared if i else mel.max()
        seconds = len(panels[name]) / sample_rate
        image = axis.imshow(
            mel,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=top - RANGE_DB,
            vmax=top,
            extent=(0, seconds, 0, len(mel)),
        )
        for second in (marks or {}).get(name, ()):
            axis.axvline(second, color="cyan", linewidth=1.5)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("seconds")
        _mel_ticks(axis, sample_rate, len(mel))
        figure.colorbar(image, ax=axis, label="dB")
    axes[0].set_ylabel("kHz (mel scale)")
    if title:
        figure.suptitle(title, fontsize=11)
    with write_whole(path) as part:
        figure.savefig(part, dpi=100)


def _mel_ticks(axis, sample_rate: int, bands: int) -> None:
    hertz = np.array([0, 500, 1000, 2000, 4000, 8000, 16000])
    hertz = hertz[hertz <= sample_rate / 2]
    mel = np.log10(1 + hertz / 700) / np.log10(1 + sample_rate / 2 / 700)
    axis.set_yticks(mel * bands, [f"{h / 1000:g}" for h in hertz])
