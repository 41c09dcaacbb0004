"""Arrays that grow together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.stream.columns import Column, Columns


def columns() -> Columns:
    return Columns(name=Column("i8", (2,), -1), level=Column("f4", (), np.nan))


def test_new_rows_hold_what_their_column_says() -> None:
    made = columns()
    made.reach(3)
    assert made["name"][:3].tolist() == [[-1, -1]] * 3
    assert np.isnan(made["level"][:3]).all()


def test_growth_keeps_what_is_there_and_never_shrinks() -> None:
    made = columns()
    made.reach(1)
    made["level"][0] = 7
    made.reach(1000)
    made.reach(5)
    assert made.rows == 1000
    assert made["level"][0] == 7


def test_a_state_is_a_copy_of_the_rows_in_use() -> None:
    made = columns()
    made.reach(2)
    state = made.state()
    made["level"][0] = 7
    assert state["name"].shape == (2, 2)
    assert np.isnan(state["level"]).all()


@given(st.lists(st.integers(0, 40), max_size=5), st.integers(0, 40))
def test_restored_columns_hold_the_same_and_grow_on(steps: list[int], more: int) -> None:
    made, other = columns(), columns()
    for step in steps:
        made.reach(step)
        made["name"][:step] += 1
    state = made.state()
    other.restore(state)
    state["name"] += 5
    other.reach(more)
    for key, value in made.state().items():
        assert np.array_equal(other[key][: made.rows], value, equal_nan=True)
    assert other.rows == max(made.rows, more)


GOOD: dict[str, Any] = {"name": np.zeros((3, 2), np.int64), "level": np.zeros(3, np.float32)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"extra": np.zeros(3)}, "holds .'extra', 'level', 'name'., expected .'level', 'name'."),
        ({"level": np.zeros(2, np.float32)}, r"arrays have \[2, 3\] rows, expected the same"),
        ({"level": np.zeros(3)}, r"level is float64 with rows \(\), expected float32 with rows"),
        ({"name": np.zeros((3, 4), np.int64)}, r"name is int64 with rows \(4,\), expected int64"),
        ({"level": np.float32(1)}, "rows"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(
    change: dict[str, Any], told: str
) -> None:
    made = columns()
    made.reach(1)
    with pytest.raises(StateError, match=told):
        made.restore(GOOD | change)
    assert made.rows == 1
    assert made["name"][0].tolist() == [-1, -1]


def test_cleared_rows_are_as_if_never_used_and_the_others_stay() -> None:
    made = columns()
    made.reach(5)
    made["level"][:5] = 7
    made["name"][:5] = 7
    made.clear(np.array([1, 3, 99]))
    assert np.isnan(made["level"][[1, 3]]).all()
    assert made["name"][1].tolist() == [-1, -1]
    assert made["level"][[0, 2, 4]].tolist() == [7, 7, 7]
    assert made.rows == 5


def test_cleared_rows_at_the_end_are_no_longer_in_use() -> None:
    made = columns()
    made.reach(5)
    made["level"][:5] = 7
    made.clear(np.array([4, 1, 3]))
    assert made.rows == 3
    made.reach(4)
    assert np.isnan(made["level"][3])
    made.clear(np.arange(9))
    assert made.rows == 0
    made.clear(np.array([], np.int64))
    assert made.state()["name"].shape == (0, 2)
