"""The nearest-neighbour discord: right distances, a bounded past, safe from bad states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from monitor.detect import build, learns_online, view_of
from monitor.detect.online.neighbours import Neighbours
from monitor.errors import ConfigError, ModelError, StateError
from monitor.protocols import Online
from monitor.testing import check_online, same_state
from monitor.types import Array

T = 12
ONE = np.zeros(1, np.int64)
Floats = NDArray[np.float64]


def neighbours(channels: int = 1, samples: int = T, **params: Any) -> Neighbours:
    chosen: dict[str, Any] = {"lengths": [3, 8], "past": 200, **params}
    return Neighbours((channels, samples), **chosen)


def feed(model: Neighbours, signal: Floats, hop: int = 1, cut: float = np.inf) -> Array:
    """The scores of all windows of a signal `(n,)` or `(C, n)`, in slot 0."""
    found = np.lib.stride_tricks.sliding_window_view(np.atleast_2d(signal), model.shape[1], axis=1)[
        :, ::hop
    ]
    rows = np.ascontiguousarray(found.swapaxes(0, 1), np.float32)
    limit = np.full(1, cut, np.float32)
    return np.array([model.score_learn(ONE, row[None], limit)[0] for row in rows], np.float32)


def noisy(count: int, channels: int = 1, seed: int = 0) -> Floats:
    """A wave of 25 samples with noise."""
    noise = np.random.default_rng(seed).normal(0, 0.1, (channels, count))
    wave: Floats = np.sin(np.arange(count) * 2 * np.pi / 25) + noise
    return wave


def by_hand(past: Floats, window: Floats, length: int, *, shape: bool) -> float:
    """The distance of the newest samples from the nearest stretch that does not overlap them."""
    scale = past.std(axis=1, keepdims=True)
    newest, best = window[:, -length:], np.inf
    for start in range(past.shape[1] - length + 1 - (length - 1)):
        stretch = past[:, start : start + length]
        one, other = newest, stretch
        if shape:
            one, other = (
                (x - x.mean(axis=1, keepdims=True))
                / np.sqrt(x.var(axis=1, keepdims=True) + (0.05 * scale) ** 2)
                for x in (newest, stretch)
            )
        else:
            one, other = newest / scale, stretch / scale
        best = min(best, float(np.sqrt(((one - other) ** 2).mean())))
    return best


def test_it_is_an_online_detector_in_the_table() -> None:
    model = build("neighbours", (3, 64), lengths=[5])
    assert isinstance(model, Online)
    assert learns_online("neighbours")
    assert view_of("neighbours", {}) == "window"


@pytest.mark.parametrize("params", [{"hop": 5, "kind": "both"}, {"lengths": [1, 12], "past": 80}])
def test_it_keeps_the_promises_of_the_protocol_with_any_parameters(params: dict[str, Any]) -> None:
    check_online(lambda: neighbours(2, **params))


@pytest.mark.parametrize("kind", ["level", "shape"])
@pytest.mark.parametrize("channels", [1, 2])
def test_distances_are_those_worked_out_by_hand(kind: Any, channels: int) -> None:
    """Before and after the ring is full: it holds the last 60 samples. The signal rises, so
    stretches that overlap the newest samples would be nearest.
    """
    signal = (noisy(150, channels) + np.arange(150) / 4).astype(np.float32).astype(np.float64)
    model = neighbours(channels, lengths=[3, 8], past=60, kind=kind)
    for end in range(T, 151):
        window = signal[:, end - T : end]
        usual = model.state()["usual"][0] if end > T else np.zeros(4)
        score = model.score_learn(ONE, window[None].astype(np.float32), np.full(1, np.inf))[0]
        if end in (70, 71, 110, 150):
            past = signal[:, max(end - 1 - 60, 0) : end - 1]
            shape = kind == "shape"
            each = [
                by_hand(past, window, length, shape=shape) / usual[2 * k + shape]
                for k, length in enumerate([3, 8])
            ]
            assert score == pytest.approx(max(each), rel=1e-4)


def test_what_was_never_there_scores_high_and_what_was_is_usual() -> None:
    model = neighbours()
    usual = feed(model, noisy(800)[0])
    assert np.median(usual[400:]) == pytest.approx(1.2, abs=0.4)
    faster = np.sin(np.arange(T) * 2 * np.pi / 6)
    assert feed(model, faster, cut=-np.inf)[0] > 5
    assert feed(model, noisy(T, seed=3)[0], cut=-np.inf)[0] < 3


def test_a_shape_is_the_same_at_any_level_and_size() -> None:
    by_level, by_shape = neighbours(kind="level"), neighbours(kind="shape")
    lifted = 40 + 3 * noisy(T, seed=3)[0]
    for model in (by_level, by_shape):
        feed(model, noisy(500)[0])
    assert feed(by_level, lifted, cut=-np.inf)[0] > 50
    assert feed(by_shape, lifted, cut=-np.inf)[0] < 5


def test_level_and_unit_of_the_samples_change_nothing() -> None:
    plain, other = feed(neighbours(), noisy(300)[0]), feed(neighbours(), noisy(300)[0] * 64 + 128)
    assert other[100:] == pytest.approx(plain[100:], rel=1e-2)


def test_a_gap_is_no_stretch_of_the_past() -> None:
    """Two pieces with a gap between: what would only be across the gap is not there."""
    low, high = np.zeros(60) + noisy(60)[0] / 100, 5 + noisy(60)[0] / 100
    model = neighbours(lengths=[8])
    feed(model, low)
    feed(model, high)
    assert np.isnan(model.state()["ring"]).sum() == 1
    step = np.concatenate([low[-8:], high[:4]])
    apart = feed(model, step, cut=-np.inf)[0]
    feed(model, np.concatenate([low, high]))
    assert apart > 5 > 5 * feed(model, step, cut=-np.inf)[0]


def test_a_stream_that_goes_on_leaves_no_gap() -> None:
    signal = noisy(140)[0]
    for hop in (1, 4):
        model = neighbours(hop=hop)
        feed(model, signal, hop=hop)
        assert np.array_equal(model.state()["ring"][0, 0, :140], signal.astype(np.float32))


def test_what_is_longer_ago_than_its_past_is_new_again() -> None:
    burst = 3 * np.sin(np.arange(T) * 2 * np.pi / 6)
    model = neighbours(past=120)
    feed(model, np.concatenate([noisy(75)[0], burst, noisy(25)[0]]))
    assert feed(model, burst, cut=-np.inf)[0] < 2
    feed(model, noisy(140, seed=5)[0])
    assert feed(model, burst, cut=-np.inf)[0] > 5


def test_a_sensor_at_rest_scores_nothing_and_its_first_move_much() -> None:
    model = neighbours()
    assert (feed(model, np.full(100, 7.0))[60:] == 0).all()
    moved = np.full(T, 7.0)
    moved[-1] += 0.1
    assert feed(model, moved, cut=-np.inf)[0] > 1000


def test_a_window_that_is_not_finite_has_no_score_and_teaches_nothing() -> None:
    model = neighbours()
    feed(model, noisy(100)[0])
    before = model.state()
    window = np.full((1, 1, T), np.inf, np.float32)
    assert np.isnan(model.score_learn(ONE, window, np.full(1, np.inf)))
    assert same_state(before, model.state())


@settings(max_examples=25, deadline=None)
@given(arrays(np.float32, (60, 1, 1, T), elements=st.floats(width=32, allow_nan=False)))
def test_any_samples_leave_it_sound(rows: Array) -> None:
    model, again = neighbours(lengths=[2], past=40), neighbours(lengths=[2], past=40)
    for row in rows:
        score = model.score_learn(ONE, row, np.full(1, np.inf, np.float32))[0]
        assert np.isnan(score) or 0 <= score < np.inf
    again.restore(model.state())
    feed(model, np.zeros(T))
    feed(again, np.zeros(T))
    assert same_state(model.state(), again.state())


BAD = [
    (
        {"lengths": []},
        r"lengths is \[\]; valid for windows of 12 samples: a list of numbers from 1",
    ),
    ({"lengths": [3, 13]}, r"lengths is \[3, 13\]; valid"),
    ({"lengths": [True]}, r"lengths is \[True\]; valid"),
    ({"lengths": 5}, r"lengths is 5; valid"),
    ({"past": 47}, r"past is 47; valid: 48 to 1000000"),
    ({"memory": 0}, r"memory is 0; valid: 10 to"),
    ({"hop": 13}, r"hop is 13; valid: 1 to 12"),
    ({"kind": "size"}, r"kind is 'size'; valid: both, level, shape"),
]


@pytest.mark.parametrize(("params", "told"), BAD)
def test_wrong_parameters_are_told_with_the_valid_ones(params: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        neighbours(**params)
    with pytest.raises(ConfigError, match=r"needs windows \(channels, samples\), not \(4,\)"):
        Neighbours((4,))


def test_the_lengths_follow_the_window_where_it_is_short() -> None:
    assert Neighbours((1, 20)).state()["parameters"].tolist()[-2:] == [3, 20]
    assert Neighbours((1, 256)).state()["parameters"].tolist()[-2:] == [3, 48]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ring", np.inf, "ring holds inf; valid is finite"),
        ("usual", -1.0, "usual holds -1.0; valid is finite, from 0"),
        ("written", -1, "written holds -1; valid is finite, from 0"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(name: str, value: float, told: str) -> None:
    model = neighbours()
    feed(model, noisy(100)[0])
    before, damaged = model.state(), model.state()
    damaged[name].flat[0] = value
    with pytest.raises(StateError, match=told):
        model.restore(damaged)
    assert same_state(before, model.state())
    with pytest.raises(ModelError, match="do not fit"):
        model.score_learn(ONE, np.zeros((2, 1, T), np.float32), np.zeros(1, np.float32))
