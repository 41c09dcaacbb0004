"""Names of sensors <-> slots: looked up once for each message, integers from there on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from monitor.errors import StateError
from monitor.types import State


class SensorTable:
    """Numbers sensors in the order of their first message."""

    def __init__(self) -> None:
        self.slots: dict[str, int] = {}
        self._names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.slots)

    def __iter__(self) -> Iterator[str]:
        return iter(self.slots)

    def add(self, sensor: str) -> int:
        """The slot of a new sensor."""
        slot = self.slots[sensor] = len(self.slots)
        return slot

    @property
    def names(self) -> tuple[str, ...]:
        """All names, by slot; the same object until a sensor is added."""
        if len(self._names) != len(self.slots):
            self._names = tuple(self.slots)
        return self._names

    def state(self) -> State:
        """The names as UTF-8 JSON in an array of bytes."""
        return {"names": np.frombuffer(json.dumps(self.names).encode(), np.uint8).copy()}

    def restore(self, state: State) -> None:
        """Take over what `state` gave. Raises StateError for anything else."""
        try:
            names = json.loads(bytes(state["names"]))
        except (KeyError, ValueError) as error:
            raise StateError(f"names of sensors cannot be read: {error}") from error
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise StateError("names of sensors are not a list of strings")
        self.slots = {name: slot for slot, name in enumerate(names)}
        if len(self.slots) != len(names):
            raise StateError("names of sensors hold one twice")
        self._names = ()
