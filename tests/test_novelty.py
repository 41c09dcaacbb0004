"""Novelty: distances from known values, a memory that thins out, and what a cut lets in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detect.online.novelty import RIPE, Novelty
from monitor.errors import ConfigError, ModelError, StateError
from monitor.types import Array

ALWAYS = np.full(1, np.inf, np.float32)
NEVER = np.full(1, -np.inf, np.float32)
SLOT = np.zeros(1, np.int64)


def row(*newest: float, samples: int = 4) -> Array:
    """One window whose newest samples are these, one for each channel; zeros before."""
    window = np.zeros((1, len(newest), samples), np.float32)
    window[0, :, -1] = newest
    return window


def fed(detector: Novelty, values: list[float]) -> list[float]:
    return [float(detector.score_learn(SLOT, row(value), ALWAYS)[0]) for value in values]


def known(detector: Novelty, channel: int = 0) -> list[float]:
    state = detector.state()
    values: list[float] = state["values"][0, channel, : state["known"][0, channel]].tolist()
    return values


def ripe(low: float = 0.0, high: float = 1.0, **params: int) -> Novelty:
    """Has learned evenly spaced values between two."""
    detector = Novelty((1, 4), **params)
    fed(detector, np.linspace(low, high, RIPE).tolist())
    return detector


def test_a_score_is_the_distance_from_the_nearest_known_value() -> None:
    detector = ripe(0.0, 15.0)
    found = [float(detector.score_learn(SLOT, row(v), NEVER)[0]) for v in (3.25, 17.5, -2.0, 7.0)]
    assert found == pytest.approx([0.25, 2.5, 2.0, 0.0])


def test_a_value_in_a_gap_of_the_range_is_new() -> None:
    detector = Novelty((1, 4))
    fed(detector, [0.0, 10.0] * RIPE)
    assert detector.score_learn(SLOT, row(5.0), NEVER)[0] == 5.0


def test_there_is_no_score_before_enough_is_learned() -> None:
    found = fed(Novelty((1, 4)), list(range(RIPE + 1)))
    assert np.isnan(found[:RIPE]).all()
    assert found[RIPE] == 1.0


def test_what_is_over_the_cut_stays_new() -> None:
    detector = ripe()
    cut = np.ones(1, np.float32)
    assert detector.score_learn(SLOT, row(9.0), cut)[0] == 8.0
    assert detector.score_learn(SLOT, row(9.0), ALWAYS)[0] == 8.0
    assert detector.score_learn(SLOT, row(9.0), cut)[0] == 0.0


def test_the_mean_of_the_newest_samples_counts() -> None:
    detector = ripe(length=2)
    window = np.array([[[9.0, 9.0, 2.0, 4.0]]], np.float32)
    assert detector.score_learn(SLOT, window, NEVER)[0] == pytest.approx(3.0 - 0.5)


def test_channels_count_on_the_scale_of_the_widest() -> None:
    detector = Novelty((2, 4))
    for value in range(RIPE):
        detector.score_learn(SLOT, row(float(value), 1000.0 * value), ALWAYS)
    assert detector.score_learn(SLOT, row(17.0, 0.0), NEVER)[0] == pytest.approx(2000.0)
    assert detector.contributions(SLOT, row(17.0, 0.0))[0].tolist() == [1.0, 0.0]
    assert detector.contributions(SLOT, row(17.0, 17000.0))[0] == pytest.approx([0.5, 0.5])
    assert detector.contributions(SLOT, row(3.0, 3000.0))[0].tolist() == [0.0, 0.0]


def test_a_full_memory_loses_what_its_neighbours_stand_for() -> None:
    detector = Novelty((1, 4), memory=16)
    fed(detector, [10.0 * k for k in range(15)] + [71.0, 300.0])
    assert known(detector) == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 300]


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=120))
def test_the_memory_holds_known_values_in_order_and_the_ends(values: list[int]) -> None:
    detector = Novelty((1, 4), memory=16)
    fed(detector, [float(value) for value in values])
    kept = known(detector)
    assert kept == sorted(set(kept)), "not ascending"
    assert set(kept) <= set(values)
    assert len(kept) == min(len(set(values)), 16) or len(set(values)) > 16
    assert (kept[0], kept[-1]) == (min(values), max(values)), "an end of the range is forgotten"


def test_a_sensor_is_judged_by_its_own_past() -> None:
    detector = Novelty((1, 4))
    slots = np.array([0, 1])
    for value in np.linspace(0, 1, RIPE):
        x = np.concatenate([row(value), row(100 * value)])
        detector.score_learn(slots, x, np.full(2, np.inf, np.float32))
    x = np.concatenate([row(50.0), row(50.0)])
    far, near = detector.score_learn(slots, x, np.full(2, -np.inf, np.float32))
    assert far == 49.0
    assert near < 4


def test_a_window_that_is_not_finite_has_no_score_and_teaches_nothing() -> None:
    detector = ripe()
    before = known(detector)
    assert np.isnan(detector.score_learn(SLOT, row(np.nan), ALWAYS)[0])
    assert known(detector) == before


def test_a_forgotten_sensor_starts_anew() -> None:
    detector = ripe()
    detector.forget(SLOT)
    assert np.isnan(detector.score_learn(SLOT, row(9.0), NEVER)[0])


def test_values_out_of_order_are_refused_and_change_nothing() -> None:
    detector = ripe()
    before, damaged = known(detector), detector.state()
    damaged["values"][0, 0, :2] = damaged["values"][0, 0, :2][::-1].copy()
    with pytest.raises(StateError, match="ascending"):
        detector.restore(damaged)
    assert known(detector) == before


@pytest.mark.parametrize(
    ("shape", "params", "message"),
    [
        ((1, 4), {"length": 5}, r"length is 5; valid: 1 to 4"),
        ((1, 4), {"memory": 15}, r"memory is 15; valid: 16"),
        ((1, 4), {"memory": True}, r"memory is True"),
        ((4,), {}, r"needs windows"),
    ],
)
def test_a_wrong_parameter_is_named(
    shape: tuple[int, ...], params: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Novelty(shape, **params)


def test_rows_of_another_shape_are_refused() -> None:
    with pytest.raises(ModelError, match="do not fit"):
        Novelty((1, 4)).score_learn(SLOT, row(1.0, 2.0), ALWAYS)
