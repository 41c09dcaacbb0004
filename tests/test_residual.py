"""The one-step residual: right predictions, robust, on any scale, safe from bad states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from monitor.detect import build, learns_online, view_of
from monitor.detect.online.residual import Residual
from monitor.errors import ConfigError, ModelError, StateError
from monitor.protocols import Online
from monitor.testing import check_online, same_state
from monitor.types import Array

T = 16
Floats = NDArray[np.float64]


def residual(channels: int = 1, samples: int = T, **params: Any) -> Residual:
    return Residual((channels, samples), **params)


def windows(signal: Floats, samples: int = T, hop: int = 1) -> Array:
    """All windows of a signal `(n,)` or `(C, n)`: `(N, C, T)`."""
    found = np.lib.stride_tricks.sliding_window_view(np.atleast_2d(signal), samples, axis=1)
    return np.ascontiguousarray(found[:, ::hop].swapaxes(0, 1), np.float32)


def feed(model: Residual, signal: Floats, hop: int = 1, cut: float = np.inf) -> Array:
    """The scores of all windows of a signal, in slot 0."""
    one, limit = np.zeros(1, np.int64), np.full(1, cut, np.float32)
    rows = windows(signal, model.shape[1], hop)
    return np.array([model.score_learn(one, row[None], limit)[0] for row in rows], np.float32)


def autoregression(count: int, seed: int = 0) -> Floats:
    """x(t) = 1.6 x(t-1) - 0.8 x(t-2) + noise: a resonance."""
    noise = np.random.default_rng(seed).normal(size=count)
    signal = np.zeros(count)
    for t in range(2, count):
        signal[t] = 1.6 * signal[t - 1] - 0.8 * signal[t - 2] + noise[t]
    return signal


def test_it_is_an_online_detector_in_the_table() -> None:
    model = build("residual", (3, 64), order=2)
    assert isinstance(model, Online)
    assert learns_online("residual")
    assert view_of("residual", {}) == "window"


@pytest.mark.parametrize("params", [{"hop": 5, "join": "max"}, {"order": 0, "span": 1}])
def test_it_keeps_the_promises_of_the_protocol_with_any_parameters(params: dict[str, Any]) -> None:
    check_online(lambda: residual(2, **params))


def test_the_weights_are_those_of_least_squares() -> None:
    signal = autoregression(3000)
    model = residual(order=3, memory=100_000)
    feed(model, signal)
    past = np.column_stack([signal[2 - k : -1 - k] for k in range(3)] + [np.ones(2997)])
    expected = np.linalg.lstsq(past, signal[3:], rcond=None)[0]
    assert model.state()["weights"][0, 0, :3] == pytest.approx(expected[:3], abs=0.02)


def test_an_error_is_told_in_units_of_the_usual_one() -> None:
    model = residual(order=2, span=1)
    assert np.median(feed(model, autoregression(2000))[1000:]) == pytest.approx(0.85, abs=0.08)
    broken = autoregression(2000)[-T:]
    broken[-1] += 8
    assert feed(model, broken, cut=-np.inf)[0] == pytest.approx(10, abs=2)


def test_what_breaks_the_rhythm_is_found_though_its_size_is_usual() -> None:
    """The same values in another order: the distribution is what it was."""
    signal = np.sin(np.arange(2000) * 0.5) + np.random.default_rng(0).normal(0, 0.01, 2000)
    model = residual()
    usual = feed(model, signal)
    shuffled = np.random.default_rng(1).permutation(signal[-T:])
    assert feed(model, shuffled, cut=-np.inf)[0] > 10 * np.median(usual[1000:])


def test_level_and_unit_of_the_samples_change_nothing() -> None:
    signal = autoregression(500)
    plain, other = feed(residual(), signal), feed(residual(), 1e-3 * signal + 2)
    assert other[100:] == pytest.approx(plain[100:], rel=1e-2)


def test_steps_of_several_samples_teach_the_same() -> None:
    signal = autoregression(1500)
    one, eight = residual(), residual(hop=8)
    feed(one, signal)
    feed(eight, signal, hop=8)
    first, second = one.state(), eight.state()
    assert second["weights"] == pytest.approx(first["weights"], abs=0.02)
    assert 0 <= first["learned"][0] - second["learned"][0] < 8


def test_the_span_decides_which_samples_count() -> None:
    signal = np.random.default_rng(0).normal(size=400)
    short, long = residual(span=2), residual(span=8)
    feed(short, signal)
    feed(long, signal)
    late = signal[-T:].copy()
    late[-5] += 100
    seen = feed(short, late, cut=-np.inf)[0], feed(long, late, cut=-np.inf)[0]
    assert seen[1] > 10
    late[-5] = signal[-5]
    late[-1] += 100
    assert feed(short, late, cut=-np.inf)[0] > feed(long, late, cut=-np.inf)[0] > 10


def test_outliers_that_are_learned_do_not_deafen_it() -> None:
    signal = autoregression(3000)
    clean, spoilt = residual(order=2), residual(order=2)
    feed(clean, signal)
    feed(spoilt, signal + 60 * (np.random.default_rng(2).random(3000) < 0.02))
    before, after = (state["error"] * state["scale"] for state in (clean.state(), spoilt.state()))
    assert after < 1.6 * before


def test_a_channel_at_rest_scores_nothing_and_its_first_move_much() -> None:
    model = residual()
    assert (feed(model, np.full(100, 7.0))[50:] == 0).all()
    moved = np.full(T, 7.0)
    moved[-1] += 0.1
    assert feed(model, moved)[0] > 1000
    after = feed(model, 7 + 5 * autoregression(600))
    assert np.median(after[300:]) == pytest.approx(1.25, abs=0.2)


def test_no_excitation_for_long_does_not_wind_it_up() -> None:
    """The factors end where they started, so the first sample that moves is no explosion."""
    model = residual(memory=20)
    feed(model, np.concatenate([autoregression(300), np.zeros(3000)]))
    state = model.state()
    assert np.isfinite(state["factor"]).all()
    after = feed(model, autoregression(300))
    assert np.isfinite(after).all()
    assert np.median(after[200:]) < 2


def test_the_channel_that_breaks_has_the_largest_share() -> None:
    random = np.random.default_rng(0)
    model = residual(3)
    zero = np.zeros(1, np.int64)
    assert not model.contributions(zero, np.ones((1, 3, T), np.float32)).any()
    feed(model, random.normal(size=(3, 300)))
    window = random.normal(size=(1, 3, T)).astype(np.float32)
    window[0, 1, -1] = 30
    shares = model.contributions(zero, window)
    assert shares.shape == (1, 3)
    assert shares.sum() == pytest.approx(1)
    assert shares[0, 1] > 0.9


def test_a_window_that_is_not_finite_has_no_score_and_teaches_nothing() -> None:
    model = residual()
    feed(model, autoregression(200))
    before = model.state()
    window = np.zeros((1, 1, T), np.float32)
    window[0, 0, 0] = np.nan
    assert np.isnan(model.score_learn(np.zeros(1, np.int64), window, np.full(1, np.inf)))
    assert same_state(before, model.state())


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (30, 1, 1, T), elements=st.floats(width=32, allow_nan=False)))
def test_any_samples_leave_it_sound(rows: Array) -> None:
    model, again = residual(order=2, memory=10), residual(order=2, memory=10)
    one, always = np.zeros(1, np.int64), np.full(1, np.inf, np.float32)
    for row in rows:
        score = model.score_learn(one, row, always)[0]
        assert np.isnan(score) or 0 <= score < np.inf
    again.restore(model.state())
    feed(model, np.zeros(T))
    feed(again, np.zeros(T))
    assert same_state(model.state(), again.state())


BAD = [
    ({"order": 16}, r"order is 16; valid for windows of 16 samples: 0 to 15"),
    ({"order": True}, r"order is True; valid"),
    ({"memory": 5}, r"memory is 5; .*: 10 to 10000000"),
    ({"hop": 17}, r"hop is 17; .*: 1 to 16"),
    ({"span": 0}, r"span is 0; .*: 1 to 1000000"),
    ({"join": "sum"}, r"join is 'sum'; valid: rms, max"),
]


@pytest.mark.parametrize(("params", "told"), BAD)
def test_wrong_parameters_are_told_with_the_valid_ones(params: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        residual(**params)
    with pytest.raises(ConfigError, match=r"needs windows \(channels, samples\), not \(4,\)"):
        Residual((4,))


def test_rows_that_do_not_fit_are_told() -> None:
    model, one, always = residual(), np.zeros(1, np.int64), np.full(1, np.inf, np.float32)
    with pytest.raises(ModelError, match=r"for N examples they are \(N,\) and \(N, 1, 16\)"):
        model.score_learn(one, np.zeros((1, 1, 5), np.float32), always)
    with pytest.raises(ModelError, match="slot -1 is negative"):
        model.score_learn(one - 1, np.zeros((1, 1, T), np.float32), always)
    with pytest.raises(ModelError, match=r"cut has shape \(3,\); one for each row is \(1,\)"):
        model.score_learn(one, np.zeros((1, 1, T), np.float32), np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("factor", -1.0, "factor has a diagonal outside of 0 to 100"),
        ("scale", -1.0, "scale holds -1.0; valid is finite, from 0"),
        ("weights", np.nan, "weights holds nan; valid is finite"),
        ("learned", -1, "learned holds -1; valid is finite, from 0"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(name: str, value: float, told: str) -> None:
    model = residual()
    feed(model, autoregression(100))
    before = model.state()
    damaged = model.state()
    damaged[name].flat[0] = value
    with pytest.raises(StateError, match=told):
        model.restore(damaged)
    assert same_state(before, model.state())


def test_the_state_of_other_parameters_is_refused() -> None:
    with pytest.raises(StateError, match=r"made with channels, order, memory, hop = .*; this one"):
        residual().restore(residual(memory=500).state())
