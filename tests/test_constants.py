"""Scaling constants: of the model, of the group, or of a sensor's own first windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.features.scaling import fit_scaling
from monitor.stream.constants import Constants
from monitor.types import Array, Slots
from tests.core.detectors import Energy

SHAPE = (2, 8)


def constants(warm_up: int, *sensors: str, trained: Sequence[str] = ()) -> Constants:
    made = Constants([Energy(SHAPE, trained=tuple(trained))], SHAPE[0], warm_up)
    for slot, sensor in enumerate(sensors):
        made.add(slot, sensor)
    return made


def slots(*numbers: int) -> Slots:
    return np.array(numbers, np.int64)


def noise(windows: int, seed: int = 0, centre: float = 0.0, scale: float = 1.0) -> Array:
    random = np.random.default_rng(seed)
    return random.normal(centre, scale, (windows, *SHAPE)).astype(np.float32)


def test_a_trained_sensor_has_its_own_and_another_those_of_the_group() -> None:
    made = constants(0, "pump", "stranger", trained=["pump"])
    assert made.of(slots(0), 0).tolist() == [[[0, 0], [2, 2]]]
    assert made.of(slots(1), 0).tolist() == [[[0, 0], [1, 1]]]
    assert made.learn(slots(0, 1), noise(2)).all(), "nobody has to warm up"


def test_known_sensors_are_those_that_every_model_knows() -> None:
    both = Constants([Energy(SHAPE, trained=("a", "b")), Energy(SHAPE, trained=("b",))], 2, 0)
    assert both.known("b")
    assert not both.known("a")
    assert Constants([], 2, 0).known("anyone")


def test_a_sensor_is_ready_after_its_warm_up_and_scaled_by_its_own_windows() -> None:
    made, data = constants(3, "stranger"), noise(5, centre=50, scale=4)
    assert made.learn(slots(0, 0, 0, 0, 0), data).tolist() == [False] * 3 + [True] * 2
    np.testing.assert_array_equal(made.of(slots(0), 0)[0], fit_scaling(data[:3]))


def test_a_small_deviation_around_a_large_mean_is_not_lost() -> None:
    made = constants(50, "hot")
    made.learn(slots(*[0] * 50), noise(50, centre=1e5, scale=50))
    np.testing.assert_allclose(made.of(slots(0), 0)[0, 1], 50, rtol=0.2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_window_that_is_not_finite_teaches_nothing(bad: float) -> None:
    made, other = constants(2, "a"), constants(2, "a")
    data = noise(2)
    broken = data[:1].copy()
    broken[0, 0, 0] = bad
    assert made.learn(slots(0, 0, 0), np.concatenate([broken, data])).tolist() == [False] * 3
    other.learn(slots(0, 0), data)
    assert np.array_equal(made.of(slots(0), 0), other.of(slots(0), 0))


def test_a_trained_sensor_need_not_warm_up() -> None:
    made = constants(3, "pump", "stranger", trained=["pump"])
    assert made.learn(slots(0, 1), noise(2)).tolist() == [True, False]
    np.testing.assert_allclose(made.progress(slots(0, 1)), [1, 1 / 3])


def test_progress_is_full_where_nobody_warms_up() -> None:
    assert constants(0, "a", "b").progress(slots(0, 1)).tolist() == [1, 1]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(0, 30))
def test_neither_grouping_nor_a_restart_matters(order: list[int], cut: int) -> None:
    data, turns = noise(len(order)), slots(*order)
    names = ("a", "b", "c")
    whole, first, second = (constants(4, *names) for _ in range(3))
    expected = whole.learn(turns, data)
    ready = [first.learn(turns[:cut], data[:cut])]
    second.restore(first.state())
    ready.append(second.learn(turns[cut:], data[cut:]))
    assert np.array_equal(np.concatenate(ready), expected)
    everyone = slots(0, 1, 2)
    assert np.array_equal(second.of(everyone, 0), whole.of(everyone, 0))


def test_a_state_with_fewer_sensors_than_are_known_is_filled_up() -> None:
    made = constants(4, "a", "b", "c")
    made.restore(constants(4, "a").state())
    assert made.learn(slots(2), noise(1)).tolist() == [False]


def test_a_state_whose_windows_do_not_fit_is_refused_and_changes_nothing() -> None:
    made, other = constants(4, "a"), constants(4, "a")
    other.learn(slots(0, 0), noise(2))
    broken = other.state() | {"shown": noise(1)}
    with pytest.raises(StateError, match="1 windows of sensors that warm up do not fit"):
        made.restore(broken)
    assert made.progress(slots(0)).tolist() == [0]


def test_who_gets_a_forgotten_slot_warms_up_from_its_own_windows() -> None:
    made, fresh = constants(3, "stranger", "other"), constants(3, "newcomer")
    made.learn(slots(0, 0, 1, 1, 1), noise(5))
    made.forget(slots(0, 900))
    made.add(0, "newcomer")
    assert made.progress(slots(0, 1)).tolist() == [0, 1]
    for each in (made, fresh):
        assert each.learn(slots(0, 0, 0, 0), noise(4, seed=1)).tolist() == [False] * 3 + [True]
    np.testing.assert_array_equal(made.of(slots(0), 0), fresh.of(slots(0), 0))


def test_windows_shown_by_a_forgotten_sensor_are_not_in_the_state() -> None:
    made = constants(4, "a", "b")
    made.learn(slots(0, 1), noise(2))
    made.forget(slots(0))
    other = constants(4)
    other.add(1, "b")
    other.restore(made.state())
    assert len(made.state()["shown"]) == 1
    assert other.progress(slots(1)).tolist() == [0.25]
