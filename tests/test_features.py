"""Window statistics and scaling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from monitor.features.scaling import CLIP, fit_scaling, scale, scaling_of
from monitor.features.statistics import STATISTICS, statistics
from monitor.types import Array

FLOATS = st.floats(-100, 100, width=32)
ANY_FLOAT = st.floats(allow_nan=False, allow_infinity=False, width=32)


def windows(elements: st.SearchStrategy[float]) -> st.SearchStrategy[Array]:
    shapes = array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=12)
    return arrays(np.float32, shapes, elements=elements)


def named(x: Array) -> dict[str, float]:
    found = statistics(np.asarray(x, np.float32).reshape(1, 1, -1))[0, 0]
    return dict(zip(STATISTICS, map(float, found), strict=True))


@settings(deadline=None)
@given(windows(FLOATS))
def test_statistics_equal_their_textbook_formulas(x: Array) -> None:
    found = statistics(x)
    exact = x.astype(np.float64)
    mean = exact.mean(axis=2)
    step = np.abs(np.diff(exact, axis=2))
    time = np.arange(x.shape[2])
    slope = np.polynomial.polynomial.polyfit(time, exact.reshape(-1, x.shape[2]).T, 1)[1]
    expected = {
        "mean": mean,
        "std": exact.std(axis=2),
        "min": exact.min(axis=2),
        "max": exact.max(axis=2),
        "rms": np.sqrt((exact**2).mean(axis=2)),
        "mean_step": step.mean(axis=2),
        "max_step": step.max(axis=2),
        "slope": slope.reshape(mean.shape) * x.shape[2],
    }
    for name, value in expected.items():
        assert np.allclose(found[:, :, STATISTICS.index(name)], value, 1e-4, 1e-3), name


def test_shape_statistics_equal_their_textbook_formulas() -> None:
    x = np.random.default_rng(0).gamma(2, size=500).astype(np.float32)
    z = (x - x.mean()) / x.std()
    found = named(x)
    assert found["skewness"] == pytest.approx((z**3).mean(), rel=1e-3)
    assert found["kurtosis"] == pytest.approx((z**4).mean() - 3, rel=1e-3)
    assert found["crest"] == pytest.approx(np.abs(z).max(), rel=1e-3)
    assert found["autocorrelation"] == pytest.approx((z[1:] * z[:-1]).mean(), abs=0.01)
    assert found["crossings"] == pytest.approx((z[1:] * z[:-1] < 0).mean())


def test_bands_tell_high_from_low_tones() -> None:
    time = np.arange(256)
    tones = {"band_1": 0.4, "band_2": 0.2, "band_3": 0.09}
    for name, frequency in tones.items():
        found = named(np.sin(2 * np.pi * frequency * time))
        assert max(tones, key=lambda band: found[band]) == name


@settings(deadline=None)
@given(windows(ANY_FLOAT))
def test_statistics_of_any_numbers_are_finite(x: Array) -> None:
    assert np.isfinite(statistics(x)).all()


@settings(deadline=None)
@given(windows(FLOATS), st.data())
def test_a_row_does_not_depend_on_the_others(x: Array, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(x))))
    assert np.array_equal(statistics(x)[order], statistics(x[order]))
    assert np.array_equal(statistics(x)[:1], statistics(x[:1]))


@settings(deadline=None)
@given(st.integers(2, 50), FLOATS)
def test_a_constant_window_has_no_shape(samples: int, level: float) -> None:
    found = named(np.full(samples, level))
    assert found["mean"] == np.float32(level)
    for name in ("std", "skewness", "kurtosis", "crest", "crossings", "slope", "autocorrelation"):
        assert found[name] == pytest.approx(0, abs=1e-6 * max(1, abs(level))), name


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf])
def test_a_channel_that_is_not_finite_has_nan_statistics(wild: float) -> None:
    x = np.ones((1, 2, 8), np.float32)
    x[0, 1, 3] = wild
    found = statistics(x)
    assert np.isnan(found[0, 1]).all()
    assert np.isfinite(found[0, 0]).all()


def test_scaling_gives_normal_data_centre_zero_and_scale_one() -> None:
    x = np.random.default_rng(1).normal(230, 4, (200, 1, 64)).astype(np.float32)
    centre, divisor = fit_scaling(x)[:, 0]
    assert centre == pytest.approx(230, abs=0.2)
    assert divisor == pytest.approx(4, abs=0.1)
    scaled = scale(x, np.tile(fit_scaling(x), (len(x), 1, 1)))
    assert abs(float(scaled.mean())) < 0.05
    assert float(scaled.std()) == pytest.approx(1, abs=0.05)


def test_a_few_wild_windows_hardly_move_the_scaling() -> None:
    x = np.random.default_rng(1).normal(0, 1, (200, 1, 64)).astype(np.float32)
    clean = fit_scaling(x)
    x[:6] = 8
    assert np.allclose(fit_scaling(x), clean, atol=0.15)


@settings(deadline=None)
@given(windows(st.floats(-1e6, 1e6, width=32)))
def test_scaled_values_are_finite_and_clipped(x: Array) -> None:
    constants = fit_scaling(x)
    assert constants.shape == (2, x.shape[1])
    assert (constants[1] > 0).all()
    wild = scale(x * 1e20, np.tile(constants, (len(x), 1, 1)))
    assert np.isfinite(wild).all()
    assert float(np.abs(wild).max()) <= CLIP


def test_a_constant_channel_is_scaled_to_zero_and_a_change_in_it_shows() -> None:
    x = np.full((10, 1, 4), 230, np.float32)
    constants = fit_scaling(x)[None]
    assert scale(x[:1], constants).tolist() == [[[0, 0, 0, 0]]]
    assert scale(x[:1] + 1, constants)[0, 0, 0] > 10


def test_every_row_is_scaled_by_its_own_constants_and_nan_stays_nan() -> None:
    x = np.array([[[1, np.nan]], [[1, 3]]], np.float32)
    constants = np.array([[[1], [2]], [[-1], [4]]], np.float32)
    expected = np.array([[[0, np.nan]], [[0.5, 1]]], np.float32)
    assert np.array_equal(scale(x, constants), expected, equal_nan=True)


def test_scaling_as_a_whole_keeps_which_channel_is_larger() -> None:
    drawn = np.random.default_rng(0).normal([[0.0], [10.0]], [[1.0], [3.0]], (50, 2, 40))
    x = drawn.astype(np.float32)
    each, whole = scaling_of({})(x), scaling_of({"mel": {"scale": "sound"}})(x)
    np.testing.assert_allclose(each[0], [0, 10], atol=0.5)
    assert (whole[:, 0] == whole[:, 1]).all()
    assert whole[:, 0].tolist() == pytest.approx(fit_scaling(x.reshape(50, 1, -1))[:, 0].tolist())
    np.testing.assert_array_equal(scaling_of({"frame": [1, 40]})(x), [[127, 127], [128, 128]])
