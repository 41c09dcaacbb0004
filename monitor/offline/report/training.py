"""Figures of a model: how its training went, and where it puts examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from monitor.offline.report import canvas
from monitor.offline.report.canvas import picture
from monitor.types import Array, Curve

Projection = Literal["pca", "tsne"]
PROJECTIONS: tuple[Projection, ...] = ("pca", "tsne")
_MOST_NETS = 8
_FEWEST_NEIGHBOURS = 5
_WIDE = 20  # the largest over the smallest loss from which on only a logarithm shows both
CLASSES = ((0, "normal", canvas.NORMAL), (-1, "not labelled", canvas.UNKNOWN),
           (1, "anomalous", canvas.ANOMALOUS))  # fmt: skip


def draw_losses(history: Sequence[Curve]) -> bytes:
    """The loss of each net after each epoch, on what it learns from and on what is held out."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, curve in enumerate(history[:_MOST_NETS]):
            name = f"net {place + 1}, " if len(history) > 1 else ""
            colour = canvas.SERIES[place % len(canvas.SERIES)]
            epochs = np.arange(1, len(curve.training) + 1)
            for losses, style, what in (
                (curve.training, "-", "training"),
                (curve.held_out, "--", "held out"),
            ):
                shown = np.array([np.nan if loss is None else loss for loss in losses])
                if len(shown):
                    label = name + what
                    axes.plot(epochs, shown, style, color=colour, lw=1.2, label=label, marker=".")
        every = [x for c in history for x in (*c.training, *c.held_out) if x is not None]
        if every and 0 < _WIDE * min(every) < max(every):
            canvas.logarithmic(axes, along="y")
        axes.set(xlabel="epoch", ylabel="loss")
        axes.legend(fontsize=8)

    return picture(7.2, 2.8, draw)


def projected(places: Array, how: Projection, seed: int = 0) -> NDArray[np.float64]:
    """Points `(N, D)` on a plane `(N, 2)`: their two widest directions, or neighbours kept close.

    t-SNE: van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008.
    """
    values = np.nan_to_num(places.astype(np.float64))
    values -= values.mean(axis=0)
    count = min(2, *values.shape)
    if not values.any():
        return np.zeros((len(values), 2))
    if how == "pca" or len(values) < _FEWEST_NEIGHBOURS:
        flat = PCA(count, svd_solver="full").fit_transform(values)
        return np.pad(flat, ((0, 0), (0, 2 - count)))
    perplexity = min(30.0, (len(values) - 1) / 3)
    close = TSNE(2, perplexity=perplexity, init="random", random_state=seed, n_jobs=1)
    found: NDArray[np.float64] = close.fit_transform(values)
    return found


def draw_scatter(points: NDArray[np.float64], truth: NDArray[np.int8]) -> bytes:
    """Points `(N, 2)`, anomalous ones last, so that none is hidden."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for value, name, colour in CLASSES:
            own = points[truth == value]
            if len(own):
                label = f"{name} ({len(own):,})"
                axes.scatter(own[:, 0], own[:, 1], s=9, color=colour, alpha=0.6, lw=0, label=label)
        axes.legend(fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])

    return picture(5.0, 4.0, draw)
