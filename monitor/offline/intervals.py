"""How sure a figure is: intervals by drawing whole stretches of time again, with replacement.

Windows that follow each other are alike, so single windows cannot be drawn: an interval would be
far too narrow. What is drawn are recordings, or long blocks of them where they are few (Kuensch,
"The jackknife and the bootstrap for general stationary observations", Annals of Statistics 17,
1989).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.offline.volume import Series

DRAWS = 200
CONFIDENCE = 0.95
ENOUGH = 20  # blocks
FEWEST = 5


def auroc_interval(
    series: Sequence[Series], shortest: int = 1, seed: int = 0
) -> tuple[float, float] | None:
    """Between which values the AUROC of all series together lies in 95 % of the draws.

    A block has at least `shortest` windows. None where there are fewer than FEWEST blocks, or
    draws rarely hold both kinds of windows.
    """
    if not series:
        return None
    block = _blocks(series, shortest)
    truth = np.concatenate([each.truth for each in series])
    scores = np.concatenate([np.asarray(each.scores, np.float64) for each in series])
    usable = (truth >= 0) & ~np.isnan(scores)
    block, truth, scores = block[usable], truth[usable] == 1, scores[usable]
    names, block = np.unique(block, return_inverse=True)
    if len(names) < FEWEST:
        return None
    random = np.random.default_rng(seed)
    order = np.argsort(scores, kind="stable")
    block, truth, scores = block[order], truth[order], scores[order]
    starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    found = []
    for _ in range(DRAWS):
        drawn = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names))
        area = _weighted_auroc(truth, drawn[block].astype(np.float64), starts)
        if area is not None:
            found.append(area)
    if len(found) < DRAWS / 2:
        return None
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _blocks(series: Sequence[Series], shortest: int) -> NDArray[np.int64]:
    """The block of each window: its recording, or a part of it where those are fewer than
    ENOUGH.
    """
    found, number = [], 0
    total = sum(len(each.truth) for each in series)
    for each in series:
        size = len(each.truth)
        wanted = 1 if len(series) >= ENOUGH else round(ENOUGH * size / max(total, 1))
        parts = min(max(wanted, 1), max(size // max(shortest, 1), 1))
        found.append(number + np.arange(size) * parts // max(size, 1))
        number += parts
    return np.concatenate(found)


def _weighted_auroc(
    truth: NDArray[np.bool_], weights: NDArray[np.float64], starts: NDArray[np.int64]
) -> float | None:
    """Of windows in the order of their scores, equal ones together from `starts` on."""
    anomalous = np.add.reduceat(weights * truth, starts)
    normal = np.add.reduceat(weights * ~truth, starts)
    pairs = anomalous.sum() * normal.sum()
    if not pairs:
        return None
    below = np.cumsum(normal) - normal / 2
    return float((anomalous * below).sum() / pairs)
