"""Many detectors' scores -> one value for a window."""

from __future__ import annotations

import numpy as np

from monitor.compiled import compiled
from monitor.types import Array


def fuse(values: Array, votes: int) -> Array:
    """The `votes`-th largest score: `(N, D) -> (N,)`, over 1 exactly where that many detectors are.

    A detector without an opinion (NaN) does not vote; NaN where none has one.
    """
    fused = np.empty(len(values), np.float32)
    _fuse(values, votes, fused)
    return fused


@compiled
def _fuse(values: Array, votes: int, fused: Array) -> None:
    for i in range(len(values)):
        row = np.sort(values[i])  # NaN sorts last
        known = len(row) - int(np.isnan(row).sum())
        if known == 0:
            fused[i] = np.nan
        else:
            fused[i] = row[known - votes] if known >= votes else 0.0
