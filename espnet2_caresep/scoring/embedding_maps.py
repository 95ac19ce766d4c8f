"""Maps of embeddings in the plane (t-SNE), as in figure 3 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from espnet2_caresep.data.files import write_whole

MAX_PERPLEXITY = 30.0  # scikit-learn's default
STYLES = (("#0072b2", "o"), ("#d55e00", "^"))  # told apart without colours, too


class Panel(NamedTuple):
    """One map.

    Attributes:
        title: What is drawn.
        points: For each class the places of its clips, (n, 2).
    """

    title: str
    points: Sequence[np.ndarray]


def perplexity(count: int) -> float:
    """Perplexity of a map of ``count`` points: few points have few neighbours."""
    return min(MAX_PERPLEXITY, (count - 1) / 3)


def tsne_map(points: np.ndarray, seed: int) -> np.ndarray:
    """Points (n, E) -> places in the plane (n, 2), scikit-learn's t-SNE."""
    from sklearn.manifold import TSNE

    tsne = TSNE(perplexity=perplexity(len(points)), init="pca", random_state=seed)
    return tsne.fit_transform(points.astype(np.float64))


def draw_maps(
    path: str | Path, title: str, classes: Sequence[str], panels: Sequence[Panel]
) -> None:
    """Draws maps of the same clips side by side, two in a row, into a PNG.

    Args:
        path: File to write, whole or not at all.
        title: Title of the picture.
        classes: Names of the classes.
        panels: The maps, row by row.
    """
    from matplotlib.figure import Figure  # no window system, no global state

    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(9, 4.3 * rows + 0.9), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False).flat
    for axis, panel in zip(axes, panels):
        for name, places, (colour, marker) in zip(classes, panel.points, STYLES):
            axis.scatter(
                *places.T, s=28, c=colour, marker=marker, alpha=0.75, lw=0, label=name
            )
        axis.set_title(panel.title, fontsize=10)
        # Only neighbourhoods mean something on such a map, numbers do not.
        axis.set_xticks([])
        axis.set_yticks([])
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title, fontsize=11)
    with write_whole(path) as part:
        figure.savefig(part, dpi=150)
