"""Names <-> slots, and when each was last heard."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.stream.sensors import SensorTable
from monitor.testing import same_state
from monitor.types import Slots

NAMES = st.text(min_size=1)


def slots(*numbers: int) -> Slots:
    return np.array(numbers, np.int64)


def table(*names: str) -> SensorTable:
    made = SensorTable()
    for name in names:
        made.add(name)
    return made


def restored(made: SensorTable) -> SensorTable:
    other = SensorTable()
    other.restore(made.state())
    return other


@given(st.lists(NAMES, unique=True))
def test_names_keep_their_slots_through_a_restart(names: list[str]) -> None:
    made = SensorTable()
    assert [made.add(name) for name in names] == list(range(len(names)))
    other = restored(made)
    assert list(other.names) == list(made.names) == names
    assert other.slots == made.slots
    assert other.add("a name that is new" + "".join(names)) == len(names)


def test_what_is_live_is_not_made_anew_until_a_sensor_comes_or_goes() -> None:
    made = table("pump")
    assert made.live is made.live
    made.add("fan")
    assert made.live[1] == ("pump", "fan")
    made.remove(slots(0))
    assert list(made.live[1]) == ["fan"]
    assert made.live[0].tolist() == [1]
    assert list(made) == ["fan"]
    assert len(made) == 1


def test_the_lowest_free_slot_is_taken_first() -> None:
    made = table("a", "b", "c", "d", "e")
    made.remove(slots(3, 1))
    made.remove(slots(0))
    assert [made.add(name) for name in "vwxyz"] == [0, 1, 3, 5, 6]
    assert made.live[1] == ("v", "w", "c", "x", "e", "y", "z")


def test_slots_at_the_end_are_given_up_also_those_that_were_free_before() -> None:
    made = table("a", "b", "c", "d")
    assert made.remove(slots(2)).tolist() == [2]
    assert made.remove(slots(3)).tolist() == [2, 3]
    assert list(made.names) == ["a", "b"]
    assert made.state()["offset"].shape == (2,)


def test_the_last_message_of_each_counts_also_where_several_came_together() -> None:
    made = table("a", "b", "c")
    made.hear(slots(1, 0, 1), slots(4, 5, 6), np.array([1.0, 2.0, 2.0]))
    offsets, clocks = made.heard
    assert offsets.tolist() == [5, 6, -1]
    assert clocks.tolist() == [2, 2, -np.inf]


def test_who_gets_a_slot_was_never_heard() -> None:
    made = table("a", "b")
    made.hear(slots(0, 1), slots(4, 5), np.array([1.0, 2.0]))
    made.remove(slots(0))
    made.add("c")
    assert made.heard[0].tolist() == [-1, 5]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40))
def test_a_restored_table_goes_on_like_the_first(moves: Sequence[tuple[int, bool]]) -> None:
    made, other = SensorTable(), SensorTable()
    for offset, (number, goes) in enumerate(moves):
        other = restored(other)
        for each in (made, other):
            change(each, str(number), offset, goes=goes)
        assert same_state(made.state(), other.state())
        assert made.live[1] == other.live[1]
        assert made.slots == {name: slot for slot, name in enumerate(made.names) if name}
        assert len(made.names) <= 10


def change(table: SensorTable, name: str, offset: int, *, goes: bool) -> None:
    known = table.slots.get(name)
    if not goes:
        slot = table.add(name) if known is None else known
        table.hear(slots(slot), slots(offset), np.array([float(offset)]))
    elif known is not None:
        table.remove(slots(known))


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (b"[", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"a": 1}', "not a list of strings"),
        (b"[1, 2]", "not a list of strings"),
        (json.dumps(["a", "", "a"]).encode(), "one twice"),
        (b'["a"]', "does not fit 1 names"),
    ],
)
def test_damaged_names_are_refused(names: bytes, told: str) -> None:
    state = table("a", "b").state() | {"names": np.frombuffer(names, np.uint8)}
    with pytest.raises(StateError, match=told):
        SensorTable().restore(state)


def test_a_state_that_lacks_something_is_refused_and_changes_nothing() -> None:
    made, state = table("pump"), table("fan", "press").state()
    for name in state:
        lacking = {key: array for key, array in state.items() if key != name}
        with pytest.raises(StateError, match=r"cannot be read|expected"):
            made.restore(lacking)
    assert list(made.names) == ["pump"]
