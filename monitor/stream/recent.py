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

    def forget(self, slots: Slots) -> None:
        """Others will have these slots."""
        self._rows.clear(slots)

    def get(self, slots: Slots) -> tuple[NDArray[np.float64], Array, Array]:
        """Copies for these sensors, oldest first, the newest window last."""
        self._rows.reach(int(slots.max(initial=-1)) + 1)
        row = slots[:, None]
        order = (self._rows["count"][row] + np.arange(KEPT)) % KEPT
        times, raw, cuts = (self._rows[name][row, order] for name in ("times", "raw", "cuts"))
        return times, raw, cuts
