"""Simulated machines: the same in any pieces, steady in good order, and faults that show."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from monitor.errors import ConfigError
from simulators.faults import Fault
from simulators.fleet import Fleet, Plan
from simulators.noise import ringing, uniform, white
from simulators.signals import MACHINES, RotatingMachine

RATE = 100
ROTOR_FAULTS = ("spike", "drift", "stuck", "dropout", "bearing_impacts", "imbalance")
EVERY_FAULT = [("rotor", kind) for kind in ROTOR_FAULTS]
EVERY_FAULT += [("pump", kind) for kind in ("spike", "drift", "stuck", "dropout")]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(sorted(MACHINES)),
    cuts=st.lists(st.floats(1000.0, 1070.0), max_size=5),
)
def test_any_pieces_make_the_same_whole(seed: int, kind: str, cuts: list[float]) -> None:
    fleet = Fleet(seed, 1, kind, 128.0, start=990.0)
    fleet = fleet.with_faults(1000.0, 1070.0)
    edges = [1000.0, *sorted(cuts), 1070.0]
    pieces = [fleet.chunk(f"{kind}-1", a, b).data for a, b in itertools.pairwise(edges)]
    whole = fleet.chunk(f"{kind}-1", 1000.0, 1070.0)
    np.testing.assert_array_equal(np.hstack(pieces), whole.data)
    assert whole.data.shape == (4, 70 * 128)


def test_seeds_and_numbers_make_different_machines() -> None:
    every = [
        Fleet(seed, 2).chunk(f"rotor-{number}", 0.0, 1.0).data
        for seed in (0, 1)
        for number in (1, 2)
    ]
    again = Fleet(1, 2).chunk("rotor-2", 0.0, 1.0).data
    np.testing.assert_array_equal(again, every[3])
    for i, one in enumerate(every):
        assert all(not np.allclose(one, other, atol=0.1) for other in every[i + 1 :])


@pytest.mark.parametrize("kind", MACHINES)
def test_the_stated_spread_is_that_of_good_order(kind: str) -> None:
    fleet = Fleet(3, 6, kind)
    spread = np.mean([fleet.chunk(s, 0.0, 120.0).data.std(axis=1) for s in fleet.sensors], axis=0)
    scale = fleet.machines[fleet.sensors[0]].scale
    np.testing.assert_allclose(spread, scale, rtol=0.3)


@pytest.mark.parametrize(("kind", "fault"), EVERY_FAULT)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_fault_can_be_told_from_good_order(kind: str, fault: str, seed: int) -> None:
    plan = Plan(per_machine=2, kinds=(fault,))
    fleet = Fleet(seed, 3, kind, RATE, start=1000.0).with_faults(1090.0, 1250.0, plan)
    for sensor in fleet.sensors:
        normal = _statistics(fleet.chunk(sensor, 1000.0, 1090.0).data)
        later = _statistics(fleet.chunk(sensor, 1090.0, 1250.0).data)
        share = fleet.labels(sensor, 1090.0, 1250.0).reshape(-1, RATE).mean(axis=1)
        clear = (share == 0) | (share == 1)
        distance = _distance(normal, later)
        assert roc_auc_score(share[clear] > 0, distance[clear]) > 0.95


@pytest.mark.parametrize("kind", MACHINES)
def test_good_order_stays_what_it_was(kind: str) -> None:
    fleet = Fleet(5, 4, kind, RATE)
    for sensor in fleet.sensors:
        normal = _statistics(fleet.chunk(sensor, 0.0, 90.0).data)
        later = _distance(normal, _statistics(fleet.chunk(sensor, 600.0, 690.0).data))
        assert np.median(later) < 3 * np.median(_distance(normal, normal))


def _statistics(data: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean, spread, peak and roughness of each channel in windows of a second."""
    windows = data.reshape(len(data), -1, RATE).transpose(1, 0, 2).astype(np.float64)
    mean = windows.mean(axis=2)
    peak = np.abs(windows - mean[:, :, None]).max(axis=2)
    rough = np.diff(windows, axis=2).std(axis=2)
    return np.hstack([mean, windows.std(axis=2), peak, rough])


def _distance(normal: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mahalanobis's, squared; infinitely far (a large number) where something is missing."""
    inverse = np.linalg.inv(np.cov(normal.T) + 1e-6 * np.diag(normal.var(axis=0)))
    off = x - normal.mean(axis=0)
    return np.asarray(np.nan_to_num(np.sum(off @ inverse * off, axis=1), nan=1e12))


@given(seed=st.integers(0, 10_000), count=st.integers(1, 8), per_machine=st.integers(1, 3))
def test_planned_faults_leave_time_to_recover(seed: int, count: int, per_machine: int) -> None:
    plan = Plan(per_machine=per_machine)
    fleet = Fleet(seed, count).with_faults(100.0, 320.0, plan)
    assert len(fleet.faults) == count * per_machine
    for sensor in fleet.sensors:
        mine = sorted(f.start for f in fleet.faults if f.sensor == sensor)
        ends = sorted(f.end for f in fleet.faults if f.sensor == sensor)
        assert mine[0] >= 100.0 + plan.recovery
        assert ends[-1] <= 320.0 - plan.recovery
        assert all(b - a >= plan.recovery for a, b in zip(ends[:-1], mine[1:], strict=True))
    assert fleet == Fleet(seed, count).with_faults(100.0, 320.0, plan)


def test_a_fleet_of_six_has_every_fault() -> None:
    kinds = {fault.kind for fault in Fleet(4, 6).with_faults(0.0, 100.0).faults}
    assert kinds == set(ROTOR_FAULTS)


def test_labels_mark_exactly_the_samples_that_are_changed() -> None:
    fault = Fault("drift", "rotor-1", 10.25, 12.0, ("current",))
    fleet = Fleet(0, 1, faults=(fault,))
    changed = fleet.chunk("rotor-1", 9.0, 13.0).data != Fleet(0, 1).chunk("rotor-1", 9.0, 13.0).data
    marked = fleet.labels("rotor-1", 9.0, 13.0) == 1
    assert (marked.sum(), np.flatnonzero(marked)[0]) == (1.75 * 128, 160)
    assert not changed[:, ~marked].any()
    assert not changed[[0, 1, 3]].any()
    assert changed[2, marked].sum() == marked.sum() - 1


def test_a_stuck_channel_keeps_its_first_value() -> None:
    fault = Fault("stuck", "rotor-1", 2.0, 4.0, ("vibration_x",))
    data = Fleet(0, 1, faults=(fault,)).chunk("rotor-1", 3.0, 5.0).data
    clean = Fleet(0, 1).chunk("rotor-1", 2.0, 5.0).data
    assert set(data[0, :128]) == {clean[0, 0]}
    np.testing.assert_array_equal(data[0, 128:], clean[0, 256:])


def test_where_nothing_is_measured_nothing_is_sent() -> None:
    every = Fleet(0, 1).channels
    parts = _sent(Fault("dropout", "rotor-1", 1.25, 1.75, every))
    assert parts == [(0.0, 128), (1.0, 32), (1.75, 32), (2.0, 128)]
    assert _sent(Fault("dropout", "rotor-1", 1.0, 2.0, every)) == [(0.0, 128), (2.0, 128)]
    assert _sent(Fault("dropout", "rotor-1", 1.0, 2.0, every[:2])) == [
        (0.0, 128),
        (1.0, 128),
        (2.0, 128),
    ]


def _sent(fault: Fault) -> list[tuple[float, int]]:
    fleet = Fleet(0, 1, faults=(fault,))
    return [(s.start, s.data.shape[1]) for s in fleet.samples(0.0, 3.0, seconds=1.0)]


def test_all_machines_send_in_time_order() -> None:
    fleet = Fleet(0, 3)
    found = list(fleet.samples(0.0, 2.2, seconds=0.5))
    assert [s.start for s in found] == sorted(s.start for s in found)
    assert {type(s.start) for s in found} == {float}
    for sensor in fleet.sensors:
        mine = np.hstack([s.data for s in found if s.sensor == sensor])
        np.testing.assert_array_equal(mine, fleet.chunk(sensor, 0.0, 2.2).data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "machines: 0"),
        ({"kind": "fan"}, "'fan': valid are rotor, pump"),
        ({"rate": 10.0}, "rate 10 Hz: the machines need 64 Hz"),
        ({"rate": float("nan")}, "rate nan Hz"),
        ({"faults": (Fault("drift", "x", 0, 1, ("current",)),)}, "valid are rotor-1"),
    ],
)
def test_an_impossible_fleet_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Fleet(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(per_machine=3), "3 faults of 15 to 25 s.* need 195 s.*there are 100"),
        (Plan(kinds=("rust",)), "'rust': a pump can have spike, drift, stuck, dropout"),
        (Plan(shortest=30.0), "30 to 25 s"),
    ],
)
def test_an_impossible_plan_is_refused(plan: Plan, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Fleet(0, 2, "pump").with_faults(0.0, 100.0, plan)


@pytest.mark.parametrize(
    ("kind", "channels", "message"),
    [("rust", ("current",), "'rust': valid are spike"), ("drift", ("x",), "valid are vibration_x")],
)
def test_an_impossible_fault_is_refused(kind: str, channels: Sequence[str], message: str) -> None:
    fault = Fault(kind, "rotor-1", 0.0, 1.0, tuple(channels))
    with pytest.raises(ConfigError, match=message):
        Fleet(0, 1, faults=(fault,)).chunk("rotor-1", 0.0, 1.0)


def test_the_noise_is_as_random_as_it_says() -> None:
    place = np.arange(-50_000, 50_000)
    assert abs(uniform(1, place).mean() - 0.5) < 0.005
    for numbers in (white(1, place), white(2, place), ringing(1, place, 0.3)):
        assert abs(numbers.mean()) < 0.02
        assert abs(numbers.std() - 1.0) < 0.02
    assert abs(np.corrcoef(white(1, place), white(2, place))[0, 1]) < 0.02
    assert abs(np.corrcoef(white(1, place)[1:], white(1, place)[:-1])[0, 1]) < 0.02


def test_a_machine_follows_its_shaft() -> None:
    rotor = RotatingMachine(0, 1, 128.0)
    time = np.arange(0.0, 60.0, 0.01)
    speed = np.diff(rotor.angle(time)) / 0.01 / (2 * np.pi)
    assert 5.9 < speed.min() < speed.max() < 9.1
    assert speed.max() / speed.min() < 1.03
