"""The memory of many sensors in named arrays, one row for each slot; they grow together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ModelError, StateError
from monitor.types import Array, Slots, State

Kind = TypeVar("Kind")


class Field(NamedTuple):
    """What a slot's row of an array holds: its type, its shape, and the numbers that are valid.

    A row starts with zeros. `gaps` allows NaN, as the mark of a place without a number.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    low: float = -np.inf
    high: float = np.inf
    gaps: bool = False


class SlotMemory(Generic[Kind]):
    """Keeps `arrays`, a named tuple of arrays `(slots, *shape)` for compiled code.

    `parameters` are what the memory depends on: a state of others is refused. Growth doubles the
    room, so it costs little per slot.
    """

    def __init__(
        self,
        owner: str,
        kind: Callable[..., Kind],
        fields: Mapping[str, Field],
        parameters: Mapping[str, float],
    ) -> None:
        self._owner, self._kind, self._fields = owner, kind, dict(fields)
        self._parameters = dict(parameters)
        self._used = 0
        self._take({name: self._zeros(name, 1) for name in self._fields})

    def reach(self, slots: Slots) -> None:
        """Have a row for each of these slots."""
        self._used = max(self._used, int(slots.max(initial=-1)) + 1)
        room = len(next(iter(self._named.values())))
        if self._used > room:
            grown = {name: self._zeros(name, max(self._used, 2 * room)) for name in self._fields}
            for name, array in grown.items():
                array[:room] = self._named[name]
            self._take(grown)

    def forget(self, slots: Slots) -> None:
        """Make rows as if never used; those at the end are no longer kept."""
        known = slots[slots < self._used]
        for array in self._named.values():
            array[known] = 0
        gone = set(known.tolist())
        while self._used - 1 in gone:
            self._used -= 1

    def state(self) -> State:
        """Copies of the rows in use, and the parameters."""
        kept = {name: array[: self._used].copy() for name, array in self._named.items()}
        return kept | {"parameters": np.array(list(self._parameters.values()), np.float64)}

    def restore(self, state: State) -> None:
        """Go on from a state. Raises StateError where it does not fit; then nothing is changed."""
        used = self._checked(state)
        taken = {name: self._zeros(name, max(used, 1)) for name in self._fields}
        for name, array in taken.items():
            array[:used] = state[name]
        self._take(taken)
        self._used = used

    def _take(self, named: State) -> None:
        self._named, self.arrays = named, self._kind(**named)

    def _zeros(self, name: str, rows: int) -> NDArray[Any]:
        return np.zeros((rows, *self._fields[name].shape), self._fields[name].dtype)

    def _checked(self, state: State) -> int:
        """How many rows a sound state has."""
        wanted = sorted({*self._fields, "parameters"})
        if sorted(state) != wanted:
            raise StateError(f"{self._owner}: arrays {sorted(state)} do not fit; valid: {wanted}")
        mine = np.array(list(self._parameters.values()), np.float64)
        if state["parameters"].dtype != mine.dtype or not np.array_equal(state["parameters"], mine):
            raise StateError(
                f"{self._owner}: the state was made with {', '.join(self._parameters)} = "
                f"{state['parameters'].tolist()}; this one has {mine.tolist()}"
            )
        first = state[next(iter(self._fields))]
        rows = len(first) if first.ndim else 0
        for name, field in self._fields.items():
            self._check(name, field, state[name], rows)
        return rows

    def _check(self, name: str, field: Field, array: NDArray[Any], rows: int) -> None:
        """Raise StateError for an array of another kind or with numbers that are not valid."""
        if array.dtype != np.dtype(field.dtype) or array.shape != (rows, *field.shape):
            raise StateError(
                f"{self._owner}: {name} is {array.dtype} {array.shape}; valid is "
                f"{np.dtype(field.dtype)} {(rows, *field.shape)}"
            )
        sound = (array >= field.low) & (array <= field.high)
        sound &= np.isfinite(array)
        if field.gaps:
            sound |= np.isnan(array)
        if not sound.all():
            raise StateError(
                f"{self._owner}: {name} holds {array[~sound][0]}; valid is finite, from "
                f"{field.low} to {field.high}"
            )


def checked_rows(
    shape: tuple[int, ...], slots: Slots, x: Array, cut: Array
) -> tuple[Slots, Array, Array]:
    """The three as compiled code needs them: `(N,), (N, *shape), (N,)`. Raises ModelError for
    sizes that do not fit each other and for negative slots.
    """
    slots = np.ascontiguousarray(slots, np.int64)
    if slots.ndim != 1 or x.shape != (*slots.shape, *shape):
        raise ModelError(
            f"slots {slots.shape} and rows {x.shape} do not fit; for N examples they are "
            f"(N,) and (N, {', '.join(map(str, shape))})"
        )
    if slots.size and slots.min() < 0:
        raise ModelError(f"slot {slots.min()} is negative; slots count from 0")
    cuts = np.ascontiguousarray(cut, np.float32)
    if cuts.shape != slots.shape:
        raise ModelError(f"cut has shape {cuts.shape}; one for each row is {slots.shape}")
    return slots, np.ascontiguousarray(x, np.float32), cuts
