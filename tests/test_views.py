"""What detectors are shown of a window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from monitor.detect import build, view_of
from monitor.errors import ConfigError
from monitor.features import VIEWS, seen, seen_shape
from monitor.features.level import LEVELS, level
from monitor.features.shape import shape
from monitor.features.spectrum import spectrum
from monitor.types import Array

FLOATS = st.floats(-100, 100, width=32)


def _noise(n: int, c: int, t: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(n, c, t)).astype(np.float32)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(VIEWS)),
    arrays(
        np.float32, array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=40), elements=FLOATS
    ),
)
def test_a_view_has_the_shape_it_says_is_finite_and_sees_each_window_alone(
    view: str, x: Array
) -> None:
    found = seen(view, x)
    assert found.shape == (len(x), *seen_shape(view, x.shape[1:]))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    alone = np.concatenate([seen(view, x[i : i + 1]) for i in range(len(x))])
    assert np.array_equal(found, alone), "to the last bit"


@pytest.mark.parametrize("view", sorted(VIEWS))
def test_the_wildest_samples_overflow_no_view(view: str) -> None:
    x = np.zeros((1, 1, 24), np.float32)
    x[0, 0, ::2], x[0, 0, 1::2] = 3.4e38, -3.4e38
    assert np.isfinite(seen(view, x)).all()


def test_a_level_is_that_of_the_last_quarter_the_last_half_and_the_whole() -> None:
    x = _noise(1, 1, 40)
    found = dict(zip(LEVELS, level(x)[0, 0].tolist(), strict=True))
    for name, samples in (("4", 10), ("2", 20), ("1", 40)):
        part = x[0, 0, -samples:].astype(np.float64)
        line = np.polyfit(np.arange(samples), part, 1)
        about = part - np.polyval(line, np.arange(samples))
        assert found[f"mean_{name}"] == pytest.approx(part.mean(), abs=1e-5)
        assert found[f"slope_{name}"] == pytest.approx(line[0] * (samples - 1), rel=1e-4, abs=1e-4)
        assert found[f"spread_{name}"] == pytest.approx(np.log(about.std()), abs=1e-4)
        steps = np.sqrt(np.mean(np.diff(part) ** 2))
        assert found[f"roughness_{name}"] == pytest.approx(np.log(steps), abs=1e-4)


def test_means_and_moments_are_parts_of_the_level() -> None:
    x = _noise(3, 2, 40)
    assert np.allclose(seen("means", x), level(x)[:, :, ::4], atol=1e-6)
    found = seen("moments", x)
    assert np.allclose(found[:, :, 0], x.mean(axis=2), atol=1e-6)
    assert np.allclose(found[:, :, 1], x.std(axis=2), atol=1e-6)


def test_a_trend_is_no_spread() -> None:
    rising = np.linspace(0, 5, 32, dtype=np.float32)[None, None]
    found = dict(zip(LEVELS, level(rising)[0, 0].tolist(), strict=True))
    assert found["slope_1"] == pytest.approx(5, rel=1e-4)
    assert found["spread_1"] < np.log(0.01)


@settings(deadline=None)
@given(st.floats(0.5, 20), st.floats(-50, 50))
def test_a_shape_does_not_depend_on_level_and_size(size: float, centre: float) -> None:
    x = np.sin(np.arange(32, dtype=np.float32))[None, None]
    moved = (x * size + centre).astype(np.float32)
    assert np.allclose(shape(x), shape(moved), atol=0.02)


def test_a_sensor_at_rest_has_no_shape() -> None:
    assert np.abs(shape(_noise(1, 1, 32) * np.float32(1e-4))).max() < 0.01


def test_a_tone_stands_out_in_its_own_band_of_the_spectrum() -> None:
    t = np.arange(256)
    quiet = _noise(1, 1, 256) * np.float32(0.1)
    bands = [
        int(np.argmax((spectrum(_tone(t, f) + quiet) - spectrum(quiet))[0, 0]))
        for f in (2, 9, 40, 110)
    ]
    assert bands == sorted(set(bands)), "higher tones, higher bands"


def _tone(t: np.ndarray[tuple[int], np.dtype[np.int64]], cycles: int) -> Array:
    wave: Array = np.sin(2 * np.pi * cycles * t / 256).astype(np.float32)[None, None]
    return wave


def test_the_parameter_view_overrides_what_a_class_asks_for() -> None:
    assert view_of("mahalanobis", {}) == "statistics"
    assert view_of("mahalanobis", {"view": "mean"}) == "mean"
    assert build("mahalanobis", (3, 1), view="mean", trim=0.1).trim == 0.1


def test_an_unknown_view_is_told_with_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match=r"view is 'fourier'; valid are window, shape, "):
        seen_shape("fourier", (1, 32))


def test_a_change_is_the_step_from_what_was_before_whatever_the_level() -> None:
    x = _noise(2, 3, 40)
    x[:, :, 30:] += 5
    wanted = x[:, :, 30:].mean(axis=2) - x[:, :, :30].mean(axis=2)
    assert np.allclose(seen("change", x)[:, :, 0], wanted, atol=1e-5)
    assert np.allclose(seen("change", x + 100), seen("change", x), atol=1e-4)
