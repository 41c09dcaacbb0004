"""The last windows of each sensor, for the page: shown, never used, so not part of a snapshot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.stream.columns import Column, Columns
from monitor.types import Array, Slots

KEPT = 64


class Recent:
    """Rings of times `(S, KEPT)`, raw scores and thresholds `(S, KEPT, D)`."""

    def __init__(self, detectors: int) -> None:
        self._rows = Columns(
            times=Column("f8", (KEPT,), np.nan),
            raw=Column("f4", (KEPT, detectors), np.nan),
            cuts=Column("f4", (KEPT, detectors), np.nan),
            count=Column("i8"),
        )

    def put(self, slots: Slots, times: NDArray[np.float64], raw: Array, cuts: Array) -> None:
        """Remember one window for each of these sensors, all distinct."""
        rows = self._rows
        rows.reach(int(slots.max(initial=-1)) + 1)
        place = rows["count"][slots] % KEPT
        rows["times"][slots, place] = times
        rows["raw"][slots, place] = raw
        rows["cuts"][slots, place] = cuts
        rows["count"][slots] += 1

    def get(self, sensors: int) -> tuple[NDArray[np.float64], Array, Array]:
        """Copies for the first so many sensors, oldest first, the newest window last."""
        self._rows.reach(sensors)
        order = (self._rows["count"][:sensors, None] + np.arange(KEPT)) % KEPT
        row = np.arange(sensors)[:, None]
        times, raw, cuts = (self._rows[name][row, order] for name in ("times", "raw", "cuts"))
        return times, raw, cuts
