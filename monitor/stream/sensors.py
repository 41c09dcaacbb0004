"""Names of sensors <-> slots: looked up once for each message, integers from there on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.stream.columns import TIMES, Column, Columns
from monitor.types import Slots, State

FREE = ""  # in place of a name; no sensor is called so


class SensorTable:
    """Gives each sensor a slot, the lowest that is free, and knows when each was last heard.

    `heard` is two numbers for a sensor: the offset of its last message, and the partition's clock
    with it. Offsets put all sensors of a partition in one order, whatever their clocks say.
    """

    def __init__(self) -> None:
        self.slots: dict[str, int] = {}
        self._names: list[str] = []
        self._free: list[int] = []  # the lowest last
        self._heard = Columns(offset=Column("i8", (), -1), clock=Column("f8", (), -np.inf, TIMES))
        self._shown: tuple[Slots, tuple[str, ...]] | None = None

    def __len__(self) -> int:
        return len(self.slots)

    def __iter__(self) -> Iterator[str]:
        return iter(self.slots)

    def add(self, sensor: str) -> int:
        """The slot of a new sensor."""
        self._shown = None
        if self._free:
            slot = self._free.pop()
            self._names[slot] = sensor
        else:
            slot = len(self._names)
            self._names.append(sensor)
        self.slots[sensor] = slot
        self._heard.reach(slot + 1)
        return slot

    def hear(self, slots: Slots, offsets: Slots, clock: NDArray[np.float64]) -> None:
        """Note messages, in order."""
        self._heard["offset"][slots] = offsets
        self._heard["clock"][slots] = clock

    def remove(self, slots: Slots) -> Slots:
        """Let sensors go; returns all slots that hold nothing now: these, and with them any at the
        end.
        """
        self._shown = None
        for slot in slots.tolist():
            del self.slots[self._names[slot]]
            self._names[slot] = FREE
        rows = len(self._names)
        while self._names and self._names[-1] == FREE:
            self._names.pop()
        cleared = np.union1d(slots, np.arange(len(self._names), rows))
        self._heard.clear(cleared)
        self._find_free()
        return cleared

    @property
    def names(self) -> Sequence[str]:
        """Names by slot."""
        return self._names

    @property
    def live(self) -> tuple[Slots, tuple[str, ...]]:
        """Slots in use, ascending, and their names; the same objects until a sensor comes or
        goes.
        """
        if self._shown is None:
            slots = np.array(sorted(self.slots.values()), np.int64)
            self._shown = slots, tuple(self._names[slot] for slot in slots.tolist())
        return self._shown

    @property
    def heard(self) -> tuple[Slots, NDArray[np.float64]]:
        """For each slot in use, as in `live`: the offset of the last message, and the clock then;
        -1 and minus infinity before the first is noted.
        """
        slots = self.live[0]
        return self._heard["offset"][slots], self._heard["clock"][slots]

    def state(self) -> State:
        """The names by slot as UTF-8 JSON in an array of bytes, and when they were heard."""
        names = np.frombuffer(json.dumps(self._names).encode(), np.uint8).copy()
        return {"names": names} | self._heard.state()

    def restore(self, state: State) -> None:
        """Take over what `state` gave. Raises StateError for anything else, and changes nothing."""
        names = _names_in(state)
        slots = {name: slot for slot, name in enumerate(names) if name != FREE}
        if len(slots) != len(names) - names.count(FREE):
            raise StateError("names of sensors hold one twice")
        heard = {name: array for name, array in state.items() if name != "names"}
        if any(len(array) != len(names) for array in heard.values() if array.ndim):
            raise StateError(f"when sensors were heard does not fit {len(names)} names")
        self._heard.restore(heard)
        self.slots, self._names, self._shown = slots, names, None
        self._find_free()

    def _find_free(self) -> None:
        free = (slot for slot, name in enumerate(self._names) if name == FREE)
        self._free = sorted(free, reverse=True)


def _names_in(state: State) -> list[str]:
    try:
        names = json.loads(bytes(state["names"]))
        json.dumps(names, ensure_ascii=False).encode()  # half a surrogate pair could not be told
    except (KeyError, ValueError, RecursionError) as error:
        raise StateError(f"names of sensors cannot be read: {error}") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise StateError("names of sensors are not a list of strings")
    return names
