"""Arrays with one row for each slot, which grow together: how all state of many sensors is kept."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.types import Slots, State

# Of samples, with what windows and time-outs add to them; nobody lives to see the last one.
TIMES = (-1e15, 1e15)


class Column(NamedTuple):
    """What one row holds, and what a new row starts with. With `bounds` a restored row holds what
    it started with, or numbers from the first to the second.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    fill: float | int | bool = 0
    bounds: tuple[float, float] | None = None


class Columns:
    """Named arrays `(capacity, *shape)`; `rows` of them are in use. Growth doubles the capacity."""

    def __init__(self, **columns: Column) -> None:
        self.rows = 0
        self._columns = columns
        self._arrays = {name: self._filled(column, 0) for name, column in columns.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def reach(self, rows: int) -> None:
        """Make at least so many rows usable."""
        capacity = len(next(iter(self._arrays.values())))
        if rows > capacity:
            for name, column in self._columns.items():
                grown = self._filled(column, max(rows, 2 * capacity))
                grown[:capacity] = self._arrays[name]
                self._arrays[name] = grown
        self.rows = max(self.rows, rows)

    def clear(self, slots: Slots) -> None:
        """Make rows as if never used; those at the end are no longer in use."""
        known = slots[slots < self.rows]
        for name, column in self._columns.items():
            self._arrays[name][known] = column.fill
        self.rows = rows_left(self.rows, known)

    def state(self) -> State:
        """A copy of the rows in use."""
        return {name: array[: self.rows].copy() for name, array in self._arrays.items()}

    def restored(self, state: State) -> Columns:
        """Others of the same kind with what `state` gave; see `restore`."""
        made = Columns(**self._columns)
        made.restore(state)
        return made

    def restore(self, state: State) -> None:
        """Take over what `state` gave. Raises StateError where names, shapes or types differ, or
        numbers are out of bounds.
        """
        if state.keys() != self._columns.keys():
            raise StateError(f"holds {sorted(state)}, expected {sorted(self._columns)}")
        rows = {len(array) if array.ndim else -1 for array in state.values()}
        if len(rows) != 1:
            raise StateError(f"arrays have {sorted(rows)} rows, expected the same number in each")
        for name, column in self._columns.items():
            _check(name, state[name], column)
        self._arrays = {name: np.array(state[name], copy=True) for name in self._columns}
        self.rows = rows.pop()

    @staticmethod
    def _filled(column: Column, rows: int) -> NDArray[Any]:
        return np.full((rows, *column.shape), column.fill, dtype=column.dtype)


def rows_left(rows: int, cleared: Slots) -> int:
    """Of so many rows, those up to the last one that is not cleared."""
    gone = set(cleared.tolist())
    while rows - 1 in gone:
        rows -= 1
    return rows


def _check(name: str, array: NDArray[Any], column: Column) -> None:
    if array.dtype != np.dtype(column.dtype) or array.shape[1:] != column.shape:
        raise StateError(
            f"{name} is {array.dtype} with rows {array.shape[1:]}, "
            f"expected {np.dtype(column.dtype)} with rows {column.shape}"
        )
    if column.bounds is None:
        return
    low, high = column.bounds
    fresh = np.isnan(array) if column.fill != column.fill else array == column.fill
    odd = array[~(fresh | ((array >= low) & (array <= high)))]
    if len(odd):
        raise StateError(f"{name} holds {odd[0]}; {low} to {high} are valid")
