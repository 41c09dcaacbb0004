"""Figures of how scores tell classes apart: histograms with the cut, ROC and PR curves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from monitor.offline.report import canvas
from monitor.offline.report.canvas import picture, wide

BINS = 60
Values = NDArray[np.floating]


class Curve(NamedTuple):
    """What is ranked: scores `(N,)` and whether each is anomalous, with the areas to be told."""

    name: str
    anomalous: NDArray[np.bool_]
    scores: Values
    auroc: float
    auprc: float


class Confusion(NamedTuple):
    """Counts at a cut: anomalous ones over it and not, normal ones over it and not."""

    found: int
    missed: int
    false: int
    right: int

    @property
    def precision(self) -> float | None:
        return self.found / (self.found + self.false) if self.found + self.false else None

    @property
    def recall(self) -> float | None:
        return self.found / (self.found + self.missed) if self.found + self.missed else None

    @property
    def f1(self) -> float | None:
        whole = 2 * self.found + self.missed + self.false
        return 2 * self.found / whole if whole else None


def confusion(anomalous: NDArray[np.bool_], scores: Values, cut: float) -> Confusion:
    """Over the cut is anomalous; a score that is NaN is over no cut."""
    over = scores > cut
    pairs = (anomalous & over, anomalous & ~over, ~anomalous & over, ~anomalous & ~over)
    return Confusion(*(int(each.sum()) for each in pairs))


def histogram(scores: Mapping[str, Values], cut: float | None, normal: Collection[str]) -> bytes:
    """The share of each class's scores by bin, and the cut; those that are not finite are left
    out. A logarithmic axis where scores span too much for another.
    """
    finite = {name: own[np.isfinite(own)].astype(np.float64) for name, own in scores.items()}
    every = np.concatenate([*finite.values(), np.empty(0)])
    log = wide(every)
    bins = _bins(every, cut, log=log)
    colours = _colours(list(finite), normal)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for (name, own), colour in zip(finite.items(), colours, strict=True):
            counts, _ = np.histogram(np.clip(own, bins[0], bins[-1]), bins)
            share, alpha = 100 * counts / max(len(own), 1), 0.35 if len(finite) < 4 else 0.15
            axes.stairs(share, bins, fill=True, color=colour, alpha=alpha)
            axes.stairs(share, bins, color=colour, label=f"{name} ({len(own):,})")
        if cut is not None:
            axes.axvline(cut, color=canvas.CUT, ls="--", lw=1.5, label=f"cut {cut:.4g}")
        axes.set(xlabel="score", ylabel="% of the class")
        if log:
            canvas.logarithmic(axes, along="x")
        axes.legend(ncols=1 if len(finite) < 6 else 2, fontsize=8)

    return picture(7.2, 3.2, draw)


def curves(ranked: Sequence[Curve]) -> bytes:
    """ROC and precision-recall curves side by side, with the areas under them."""

    def draw(figure: Figure) -> None:
        roc, pr = figure.subplots(1, 2)
        for each in ranked:
            scores = np.nan_to_num(each.scores.astype(np.float64))
            false, true, _ = roc_curve(each.anomalous, scores)
            roc.plot(false, true, label=f"{each.name} {each.auroc:.4f}")
            precision, recall, _ = precision_recall_curve(each.anomalous, scores)
            pr.step(recall, precision, where="post", label=f"{each.name} {each.auprc:.4f}")
        roc.plot([0, 1], [0, 1], color=canvas.INK, lw=0.8, ls=":")
        share = float(np.mean(ranked[0].anomalous))
        pr.axhline(share, color=canvas.INK, lw=0.8, ls=":")
        roc.set(title="ROC: area", xlabel="normal ones over the cut", ylabel="anomalous ones found")
        pr.set(title="precision and recall: area", xlabel="recall", ylabel="precision")
        for axes in (roc, pr):
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
            axes.legend(fontsize=8, loc="lower right" if axes is roc else "lower left")

    return picture(7.2, 3.4, draw)


def _bins(values: Values, cut: float | None, *, log: bool) -> NDArray[np.float64]:
    marks = values if cut is None else np.append(values, cut)
    if not len(marks):
        return np.linspace(0, 1, BINS + 1)
    low, high = float(marks.min()), float(marks.max())
    if log:
        low = max(float(marks[marks > 0].min()), high * 1e-6)
        return np.geomspace(low, high * 1.01, BINS + 1)
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def _colours(names: Sequence[str], normal: Collection[str]) -> list[str]:
    """Blue for the normal class and orange for the other where there are two; else a series."""
    if len(names) <= 2 and len([name for name in names if name in normal]) <= 1:
        return [canvas.NORMAL if name in normal else canvas.ANOMALOUS for name in names]
    return [canvas.SERIES[place % len(canvas.SERIES)] for place in range(len(names))]
