"""Training a model, and scoring raw windows with it."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detect.classical.mahalanobis import Mahalanobis
from monitor.errors import ConfigError, ModelError
from monitor.model import Model, restored
from monitor.recipe import FEWEST_WINDOWS, QUANTILES, train
from monitor.types import Array
from tests.fleet import QUICK, SHAPE, fleet, recipe, windows

DETECTORS = sorted(QUICK)


@cache
def trained(detector: str = "mahalanobis") -> Model:
    return train(recipe(detector), fleet(), clock=lambda: 5.0)


def served(model: Model, chunk: int, backend: str = "auto") -> Model:
    """The same model, as loaded with other settings."""
    detector = model.manifest.detector
    return restored(model.manifest, model.state(), detector, chunk=chunk, backend=backend)


def of(model: Model, sensor: str, count: int) -> Array:
    """The sensor's constants for so many windows."""
    found = model.constants(sensor)
    constants = model.group if found is None else found
    return np.repeat(constants[None], count, axis=0)


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_sensor_is_judged_by_its_own_level(detector: str) -> None:
    model = trained(detector)
    x = windows(50, 200.0, seed=9)
    own = model.score(x, of(model, "pump-2", 50))
    other = model.score(x, of(model, "pump-0", 50))
    assert np.median(own) <= model.calibration[-30]
    assert other.min() > model.calibration[-1]


@pytest.mark.parametrize("backend", ["torch", "onnx"])
@pytest.mark.parametrize("detector", DETECTORS)
@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    seed=st.integers(0, 99),
    chunk=st.sampled_from([1, 8, 64]),
)
def test_scores_are_equal_to_the_bit_however_windows_are_grouped(
    detector: str, backend: str, sizes: list[int], seed: int, chunk: int
) -> None:
    model = grouped(detector, backend, chunk)
    x = windows(sum(sizes), seed=seed)
    order = np.random.default_rng(seed).permutation(len(x))
    together = model.score(x, of(model, "pump-0", len(x)))
    parts = np.split(x[order], np.cumsum(sizes)[:-1])
    apart = np.concatenate([model.score(part, of(model, "pump-0", len(part))) for part in parts])
    assert apart.dtype == np.float32
    assert np.array_equal(apart, together[order])


@cache
def grouped(detector: str, backend: str, chunk: int) -> Model:
    return served(trained(detector), chunk, backend)


@pytest.mark.parametrize("detector", DETECTORS)
def test_contributions_sum_to_one_or_are_all_zero(detector: str) -> None:
    model = trained(detector)
    shares = model.contributions(windows(70), of(model, "pump-0", 70))
    assert shares.shape == (70, 2)
    expected = 0 if detector == "deep_svdd" else 1
    assert np.allclose(shares.sum(axis=1), expected, atol=1e-4)


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf])
def test_a_window_that_is_not_finite_has_a_nan_score_and_spoils_no_other(wild: float) -> None:
    for detector in DETECTORS:
        model, x = trained(detector), windows(5)
        expected = model.score(x, of(model, "pump-0", 5))
        x[2, 1, 7] = wild
        scores = model.score(x, of(model, "pump-0", 5))
        assert np.isnan(scores[2])
        assert np.array_equal(np.delete(scores, 2), np.delete(expected, 2))
        assert not model.contributions(x, of(model, "pump-0", 5))[2].any()


def test_windows_that_leave_the_range_of_the_training_data_are_told() -> None:
    model, known = trained(), fleet()["pump-2"]
    assert not model.beyond(known, of(model, "pump-2", len(known))).any()
    x = windows(3, 200.0)
    x[1, 0, 2] = known[:, 0].max() * 1.5
    x[2, 1, 0] = np.nan
    assert model.beyond(x, of(model, "pump-2", 3)).tolist()[1]
    assert model.beyond(x[1:2], of(model, "pump-0", 1)).all(), "another sensor's level is no excuse"


def test_no_windows_have_no_scores() -> None:
    for detector in DETECTORS:
        model = trained(detector)
        assert model.score(windows(0), of(model, "pump-0", 0)).shape == (0,)
        assert model.contributions(windows(0), of(model, "pump-0", 0)).shape == (0, 2)


def test_windows_of_another_shape_are_named() -> None:
    model = trained()
    wrong = np.zeros((3, 2, 31), np.float32)
    with pytest.raises(ModelError, match=r"windows \(3, 2, 31\).*valid are \(N, \*\(2, 32\)\)"):
        model.score(wrong, of(model, "pump-0", 3))
    with pytest.raises(ModelError, match=r"constants \(2, 2, 2\)"):
        model.score(windows(3), of(model, "pump-0", 2))


def test_a_sensor_that_was_not_trained_on_has_no_constants() -> None:
    model = trained()
    assert model.constants("pump-9") is None
    assert model.group.shape == (2, 2)


def test_the_calibration_is_of_held_out_windows() -> None:
    """The last 20 % are wild here: only a calibration on them can be."""
    x = fleet()
    for rows in x.values():
        rows[48:] += 40
    calm, wild = trained().calibration, train(recipe(), x).calibration
    assert len(calm) == QUANTILES
    assert (np.diff(calm) >= 0).all()
    assert wild[0] > calm[-1]


class FittedOnce(Mahalanobis):
    refits = False


ONCE = f"{__name__}:FittedOnce"


def test_who_is_cheap_to_fit_learns_the_held_out_windows_too_but_is_calibrated_before() -> None:
    x = fleet()
    for rows in x.values():
        rows[48:] += 40
    once, twice = train(recipe(ONCE), x), train(recipe(), x)
    assert np.array_equal(once.calibration, twice.calibration)
    late = next(iter(x.values()))[50:]
    sensor = next(iter(x))
    assert (twice.score(late, of(twice, sensor, 10)) < once.score(late, of(once, sensor, 10))).all()


def test_the_gap_keeps_windows_from_both_parts() -> None:
    """The windows of the gap are wild and leave no trace in constants or calibration."""
    x = fleet()
    wide = train(recipe(ONCE, gap=6), x)
    for rows in x.values():
        rows[42:48] += 1000
    gapped = train(recipe(ONCE, gap=6), x)
    assert np.array_equal(wide.group, gapped.group)
    assert np.array_equal(wide.calibration, gapped.calibration)


def test_known_anomalies_enter_neither_constants_nor_calibration() -> None:
    x = fleet()
    clean = train(recipe(), {name: np.delete(rows, [5, 6], axis=0) for name, rows in x.items()})
    labels = {name: np.zeros(len(rows), np.float32) for name, rows in x.items()}
    for name, rows in x.items():
        rows[[5, 55]] += 500
        labels[name][[5, 55]] = 1
    taught = train(recipe(), x, labels)
    assert np.allclose(taught.group, clean.group, rtol=0.05)
    assert taught.calibration[-1] < 3 * trained().calibration[-1]


def test_training_again_gives_the_same_model() -> None:
    for detector in DETECTORS:
        again = train(recipe(detector), fleet(), clock=lambda: 6.0)
        assert again.manifest.fingerprint == trained(detector).manifest.fingerprint
        assert again.manifest.trained_at != trained(detector).manifest.trained_at


def test_the_fingerprint_tells_models_chunks_and_backends_apart() -> None:
    model = trained("conv_ae")
    found = {served(model, 8, b).fingerprint for b in ("torch", "onnx")}
    found |= {model.fingerprint, trained("deep_svdd").fingerprint, trained().fingerprint}
    assert len(found) == 5
    assert served(model, 64).fingerprint == model.fingerprint


def test_the_manifest_says_what_was_trained_on_what() -> None:
    manifest = asdict(trained("conv_ae").manifest)
    assert manifest["sensors"] == ("pump-0", "pump-1", "pump-2")
    assert manifest["params"] == QUICK["conv_ae"]
    assert {"loss", "epochs", "seconds", "windows"} <= manifest["metrics"].keys()
    assert manifest["metrics"]["windows"] == 3 * 47


def test_broken_windows_and_short_sensors_are_left_out_and_counted() -> None:
    x = fleet()
    x["pump-0"][3, 0, 0] = np.nan
    x["new"] = windows(4)
    model = train(recipe(), x)
    assert model.constants("new") is None
    assert model.manifest.metrics["sensors_left_out"] == 1
    assert model.manifest.metrics["windows_left_out"] == 5


@pytest.mark.parametrize("count", [0, 4, 16])
def test_too_little_data_is_refused_with_the_numbers(count: int) -> None:
    told = f"needs at least {FEWEST_WINDOWS} usable windows.* {3 * count} windows of 3 sensors"
    with pytest.raises(ModelError, match=told):
        train(recipe(), fleet(count))


def test_no_sensor_at_all_is_refused() -> None:
    with pytest.raises(ModelError, match="0 windows of 0 sensors"):
        train(recipe(), {})


def test_training_windows_of_another_shape_are_named() -> None:
    with pytest.raises(ModelError, match=r"sensor 'b': windows \(60, 2, 9\)"):
        train(recipe(), {"b": np.zeros((60, 2, 9), np.float32)})


def test_a_detector_that_learns_in_the_stream_is_not_trained() -> None:
    with pytest.raises(ConfigError, match="'online_iforest' learns in the stream"):
        train(recipe("online_iforest"), fleet())


def test_parameters_that_a_detector_does_not_take_are_told() -> None:
    with pytest.raises(ConfigError, match=r"does not take .*'depth'"):
        train(recipe("conv_ae", params={"depth": 3}), fleet())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"group": np.zeros((2, 3), np.float32)}, "'group' is not float32"),
        ({"span": np.zeros((2, 3), np.float32)}, "'span' is no range of each channel"),
        ({"span": np.array([[1, 1], [0, 0]], np.float32)}, "'span' is no range of each channel"),
        ({"constants": np.zeros((1, 2, 2), np.float32)}, "'constants' is not float32"),
        ({"detector/mean": np.zeros(3, np.float32)}, "'mean' is float32"),
    ],
)
def test_arrays_that_do_not_fit_the_manifest_are_refused(changes: Any, told: str) -> None:
    model = trained()
    with pytest.raises(ModelError, match=told):
        restored(model.manifest, {**model.state(), **changes}, "mahalanobis")


def test_a_model_of_another_detector_is_refused() -> None:
    model = trained()
    foreign = replace(model.manifest, detector="os:system")
    with pytest.raises(ModelError, match="trained as 'os:system', not as 'mahalanobis'"):
        restored(foreign, model.state(), "mahalanobis")


class Loudness:
    """What a user may write: no state, no training file, no other base."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def fit(self, x: Array, y: Array | None = None) -> None:
        assert x.shape[1:] == self.shape

    def score(self, x: Array) -> Array:
        assert np.isfinite(x).all()
        loudest: Array = np.abs(x).max(axis=(1, 2))
        return loudest

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        assert not state


def test_a_class_of_the_users_own_can_be_trained_and_served() -> None:
    model = train(recipe("tests.test_model:Loudness"), fleet())
    again = served(model, 8)
    assert (again.label, again.backend) == ("Loudness", "numpy")
    x = windows(20)
    x[3, 0, 0] = np.nan  # never shown to a detector
    constants = of(model, "pump-0", 20)
    expected = model.score(x, constants)
    assert np.isnan(expected).nonzero()[0].tolist() == [3]
    assert np.array_equal(again.score(x, constants), expected, equal_nan=True)
    assert not model.contributions(x, constants).any()


def test_shape_of_the_fleet_is_that_of_the_model() -> None:
    assert trained().shape == SHAPE
