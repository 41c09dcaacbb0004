"""Names <-> slots."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.stream.sensors import SensorTable


@given(st.lists(st.text(), unique=True))
def test_names_keep_their_slots_through_a_restart(names: list[str]) -> None:
    table, other = SensorTable(), SensorTable()
    assert [table.add(name) for name in names] == list(range(len(names)))
    other.restore(table.state())
    assert other.names == table.names == tuple(names)
    assert other.slots == table.slots
    assert other.add("a name that is new" + "".join(names)) == len(names)


def test_names_are_not_made_anew_until_one_is_added() -> None:
    table = SensorTable()
    table.add("pump")
    assert table.names is table.names
    table.add("fan")
    assert table.names == ("pump", "fan")
    assert list(table) == ["pump", "fan"]
    assert len(table) == 2


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (b"[", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"a": 1}', "not a list of strings"),
        (b"[1, 2]", "not a list of strings"),
        (json.dumps(["a", "a"]).encode(), "one twice"),
    ],
)
def test_damaged_names_are_refused(names: bytes, told: str) -> None:
    with pytest.raises(StateError, match=told):
        SensorTable().restore({"names": np.frombuffer(names, np.uint8)})


def test_a_state_without_names_is_refused() -> None:
    with pytest.raises(StateError, match="cannot be read"):
        SensorTable().restore({})
