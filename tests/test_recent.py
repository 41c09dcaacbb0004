"""The last windows of each sensor, for the page."""

from __future__ import annotations

import numpy as np

from monitor.stream.recent import KEPT, Recent


def put(recent: Recent, slot: int, number: float) -> None:
    row = np.array([[number, -number]], np.float32)
    recent.put(np.array([slot]), np.array([number]), row, row + 100)


def test_the_newest_window_comes_last_and_unknown_ones_are_nan() -> None:
    recent = Recent(2)
    put(recent, 0, 1.0)
    put(recent, 0, 2.0)
    times, raw, cuts = recent.get(np.array([0]))
    assert times[0, -2:].tolist() == [1, 2]
    assert raw[0, -1].tolist() == [2, -2]
    assert cuts[0, -1].tolist() == [102, 98]
    assert np.isnan(times[0, :-2]).all()
    assert np.isnan(raw[0, :-2]).all()


def test_the_oldest_windows_are_forgotten() -> None:
    recent = Recent(2)
    for number in range(KEPT + 9):
        put(recent, 1, float(number))
    times, _, _ = recent.get(np.arange(2))
    assert times[1].tolist() == list(range(9, KEPT + 9))
    assert np.isnan(times[0]).all()


def test_sensors_without_a_window_have_rows_too() -> None:
    times, raw, cuts = Recent(3).get(np.arange(4))
    assert (times.shape, raw.shape, cuts.shape) == ((4, KEPT), (4, KEPT, 3), (4, KEPT, 3))


def test_what_is_given_out_is_a_copy() -> None:
    recent = Recent(2)
    put(recent, 0, 1.0)
    recent.get(np.array([0]))[0][:] = 9
    assert recent.get(np.array([0]))[0][0, -1] == 1


def test_a_forgotten_sensor_has_no_windows() -> None:
    recent = Recent(2)
    put(recent, 0, 1.0)
    put(recent, 1, 2.0)
    recent.forget(np.array([0, 99]))
    put(recent, 0, 3.0)
    times, _, _ = recent.get(np.array([1, 0]))
    assert times[:, -1].tolist() == [2, 3]
    assert np.isnan(times[:, :-1]).all()
