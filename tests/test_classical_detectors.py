"""What the detectors that learn from drawn, trimmed rows have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detect import build
from monitor.detect.classical.crosswise import BLOCKS, crosswise
from monitor.errors import ConfigError, ModelError
from monitor.testing import check_detector
from monitor.types import Array, State
from tests.classical import SHAPE, TRAINED, WHITENED, correlated, fitted, two_modes

each = pytest.mark.parametrize("name", TRAINED)
QUICK: dict[str, dict[str, Any]] = {"gmm": {"components": 2}, "iforest": {"trees": 50}}


def quick(name: str, x: Array, **params: Any) -> Any:
    return fitted(name, x, **QUICK.get(name, {}), **params)


@each
def test_it_keeps_the_promises_for_any_shape(name: str) -> None:
    params = QUICK.get(name, {})
    check_detector(lambda: build(name, (1,), **params))
    check_detector(lambda: build(name, (2, 3, 2), **params))


@each
def test_a_normal_example_that_was_not_learned_scores_about_one(name: str) -> None:
    scores = quick(name, correlated(600)).score(correlated(300, seed=1))
    assert np.median(scores) == pytest.approx(1, abs=0.1)


@each
def test_labelled_anomalies_are_left_out(name: str) -> None:
    x = np.concatenate([correlated(200), correlated(200, seed=1) + 100])
    y = np.repeat(np.array([0, 1], np.float32), 200)
    made = build(name, SHAPE, **QUICK.get(name, {}))
    made.fit(x, y)
    assert np.array_equal(made.score(x), quick(name, x[:200]).score(x))


@each
def test_a_long_anomaly_among_the_examples_is_not_learned(name: str) -> None:
    x, unlike = correlated(600), correlated(100, seed=3) * [[[1], [-1]]]
    x[300:324] = unlike[:24]
    found = quick(name, x.astype(np.float32))
    scores = found.score(unlike[24:].astype(np.float32))
    assert np.median(scores) > np.quantile(found.score(correlated(300, seed=4)), 0.95)


@pytest.mark.parametrize("name", ["knn", "lof", "kde"])
def test_what_is_trimmed_is_not_kept(name: str) -> None:
    x = correlated(600)
    x[300:330] += 50
    kept = quick(name, x).state()["memory"]
    assert kept.shape == (8, 570)
    assert np.abs(kept).max() < 10


@each
def test_the_channel_that_is_off_has_the_larger_share(name: str) -> None:
    x = np.random.default_rng(1).normal(size=(400, *SHAPE)).astype(np.float32)
    made = quick(name, x)
    for channel in (0, 1):
        off = x[:50].copy()
        off[:, channel] += 8
        assert np.median(made.contributions(off)[:, channel]) > 0.6


@each
def test_no_examples_have_no_scores_and_no_shares(name: str) -> None:
    made = quick(name, correlated(100))
    assert made.score(correlated(0)).shape == (0,)
    assert made.contributions(correlated(0)).shape == (0, 2)


@each
def test_wild_values_have_large_finite_scores(name: str) -> None:
    made = quick(name, correlated(200))
    x = correlated(20, seed=5)
    wild = np.full((2, *SHAPE), np.float32(3e38))
    wild[1] *= np.resize([1, -1], SHAPE).astype(np.float32)
    assert np.isfinite(made.score(wild)).all()
    assert made.score(wild).min() >= made.score(x).max()
    assert np.allclose(made.contributions(wild).sum(axis=1), 1, atol=1e-3)


@each
@pytest.mark.parametrize("value", [0.0, 7.0, -1e30])
def test_examples_that_never_change_can_be_learned(name: str, value: float) -> None:
    x = np.full((60, *SHAPE), value, np.float32)
    made = quick(name, x)
    assert np.isfinite(made.score(x)).all()
    assert np.isfinite(made.score(x + 1)).all()


@each
def test_of_many_examples_only_so_many_are_learned_in_the_same_way(name: str) -> None:
    x = correlated(900)
    one, same = quick(name, x, most=100, seed=3), quick(name, x, most=100, seed=3)
    other = quick(name, x, most=100, seed=4)
    assert np.array_equal(one.score(x), same.score(x))
    assert not np.array_equal(one.score(x), other.score(x))
    if "memory" in one.state():
        assert one.state()["memory"].shape[1] <= 100


@pytest.mark.parametrize("name", ["knn", "kde", "gmm", "lof"])
def test_what_lies_between_two_modes_is_found(name: str) -> None:
    x = two_modes(600)
    between = np.random.default_rng(7).normal(0, 0.3, (50, *SHAPE)).astype(np.float32)
    made = fitted(name, x)
    assert made.score(between).min() > np.quantile(made.score(two_modes(300, seed=1)), 0.99)
    blind = fitted("mahalanobis", x)
    assert np.median(blind.score(between)) < np.median(blind.score(x))


@pytest.mark.parametrize("name", WHITENED)
def test_a_broken_relation_counts_although_each_value_is_ordinary(name: str) -> None:
    base = np.random.default_rng(2).normal(size=(500, 1, 1))
    x = (base + np.random.default_rng(3).normal(0, 0.1, (500, *SHAPE))).astype(np.float32)
    odd = np.array([[[1, 1, 1, 1], [-1, -1, -1, -1]]], np.float32)
    made = quick(name, x)
    assert made.score(odd)[0] > np.quantile(made.score(x), 0.98)


# --- crosswise ----------------------------------------------------------------------------------


@given(count=st.integers(16, 80), seed=st.integers(0, 99))
def test_a_row_is_scored_by_what_is_learned_from_the_other_blocks(count: int, seed: int) -> None:
    z = np.random.default_rng(seed).permutation(count)[:, None].astype(np.float64)

    def unknown(known: State, rows: Array) -> Array:
        return np.asarray(~np.isin(rows[:, 0], known["rows"]), np.float32)

    def learned(rows: Any) -> State:
        assert count - len(rows) in (count // BLOCKS, count // BLOCKS + 1)
        return {"rows": rows[:, 0]}

    assert crosswise(z, learned, unknown).tolist() == [1.0] * count


# --- what cannot be used ------------------------------------------------------------------------


@each
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"trim": 0.5}, "trim is 0.5; numbers from 0 to under 0.5"),
        ({"most": 3}, "most is 3; whole numbers from 64 on"),
        ({"most": True}, "most is True; whole numbers"),
        ({"seed": -1}, "seed is -1; whole numbers from 0 on"),
        ({"seed": 1.5}, "seed is 1.5; whole numbers"),
        ({"nothing": 1}, "nothing"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    name: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, SHAPE, **params)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("gmm", {"components": -1}),
        ("gmm", {"covariance": "round"}),
        ("iforest", {"trees": 0}),
        ("iforest", {"sample": 3}),
        ("kde", {"bandwidth": 0}),
        ("kde", {"bandwidth": "wide"}),
        ("knn", {"neighbours": 0}),
        ("lof", {"neighbours": 0}),
        ("ocsvm", {"nu": 0}),
        ("ocsvm", {"nu": 1.0}),
        ("ocsvm", {"gamma": -1}),
        ("pca", {"variance": 1.0}),
        ("pca", {"variance": "all"}),
        ("pca", {"components": 0}),
    ],
)
def test_own_parameters_that_make_no_sense_are_refused(name: str, params: dict[str, Any]) -> None:
    (key, value) = next(iter(params.items()))
    with pytest.raises(ConfigError, match=f"{key} is {value!r}; .*valid"):
        build(name, SHAPE, **params)


@each
def test_examples_that_cannot_be_used_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="15 examples are not anomalies; at least 16"):
        quick(name, correlated(15))
    with pytest.raises(ModelError, match="NaN"):
        quick(name, np.full((20, *SHAPE), np.nan, np.float32))
    with pytest.raises(ModelError, match="call fit or restore"):
        build(name, SHAPE).score(correlated(2))
    with pytest.raises(ModelError, match=r"shape \(3, 4\); valid is \(2, 4\)"):
        quick(name, correlated(60)).score(np.zeros((1, 3, 4), np.float32))


STATES: dict[str, State] = {}


def state_of(name: str) -> State:
    if name not in STATES:
        STATES[name] = quick(name, correlated(64)).state()
    return dict(STATES[name])


@each
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_state_is_refused_or_scores_all_the_same(name: str, data: st.DataObject) -> None:
    state = state_of(name)
    key = data.draw(st.sampled_from(sorted(state)))
    damage = data.draw(st.sampled_from(["gone", "shorter", "longer", "flat", "type", "value"]))
    array = np.array(state[key])
    if damage == "gone":
        del state[key]
    elif damage == "shorter":
        state[key] = array[: len(array) - 1]
    elif damage == "longer":
        state[key] = np.concatenate([array, array])
    elif damage == "flat":
        state[key] = array.reshape(-1) if array.ndim > 1 else array.reshape(1, -1, 1)
    elif damage == "type":
        state[key] = array.astype(data.draw(st.sampled_from(["f8", "i4", "U3", "bool"])))
    else:
        place = data.draw(st.integers(0, array.size - 1))
        wild = st.sampled_from([0.0, -1.0, 0.5, 1e3, np.nan, np.inf])
        array.reshape(-1)[place] = data.draw(wild)
        state[key] = array
    made = build(name, SHAPE, **QUICK.get(name, {}))
    try:
        made.restore(state)
    except ModelError:
        assert damage != "value" or not np.array_equal(state[key], STATES[name][key])
    else:
        assert damage == "value" or key in ("height", "centre")
        assert made.score(correlated(3)).shape == (3,)
        assert made.contributions(correlated(3)).shape == (3, 2)


@each
def test_a_scale_or_a_level_of_zero_is_refused(name: str) -> None:
    for key in {"scale", "level", "spread", "density"} & state_of(name).keys():
        broken = state_of(name)
        broken[key] = broken[key].copy()
        broken[key][0] = 0
        with pytest.raises(ModelError, match=f"'{key}' .*not over 0"):
            build(name, SHAPE, **QUICK.get(name, {})).restore(broken)
