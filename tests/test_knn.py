"""Nearest neighbours: the kernel, and the distance to a memory of training examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detect import build
from monitor.detect.classical.neighbours import nearest_in, surprise
from monitor.detect.classical.whitened import LARGEST
from monitor.errors import ConfigError, ModelError
from monitor.types import Array
from tests.classical import SHAPE, correlated, fitted, whitened


def drawn(rows: int, size: int, memory: int, seed: int) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    z = random.integers(-3, 4, (rows, size)).astype(np.float32)
    return z, random.integers(-3, 4, (size, memory)).astype(np.float32)


@settings(deadline=None)
@given(
    rows=st.integers(0, 70),
    size=st.integers(1, 9),
    memory=st.sampled_from([1, 2, 40, 511, 513]),
    k=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_the_nearest_are_those_of_a_plain_sort(
    rows: int, size: int, memory: int, k: int, seed: int
) -> None:
    z, kept = drawn(rows, size, memory, seed)
    k = min(k, memory)
    squares, places = nearest_in(z, kept, k)
    plain = ((z[:, :, None] - kept) ** 2).sum(axis=1)
    expected = np.argsort(plain, axis=1, kind="stable")[:, :k]
    assert np.array_equal(places, expected), "the first of equal ones first"
    assert np.array_equal(squares, np.take_along_axis(plain, expected, axis=1))


@settings(deadline=None)
@given(rows=st.integers(1, 70), memory=st.integers(1, 600), seed=st.integers(0, 99))
def test_a_row_has_the_same_neighbours_to_the_bit_at_any_place(
    rows: int, memory: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    z = random.normal(size=(rows, 5)).astype(np.float32)
    kept = random.normal(size=(5, memory)).astype(np.float32)
    weight = np.full(memory, -np.log(memory), np.float32)
    each = [z[n : n + 1] for n in range(rows)]
    alone = np.concatenate([nearest_in(row, kept, 1)[0] for row in each])
    assert np.array_equal(nearest_in(z, kept, 1)[0], alone)
    alone = np.concatenate([surprise(row, kept, weight, 0.5) for row in each])
    assert np.array_equal(surprise(z, kept, weight, 0.5), alone)


@pytest.mark.parametrize("neighbours", [1, 5, 300])
def test_the_score_is_the_mean_distance_to_the_nearest(neighbours: int) -> None:
    x = correlated(200)
    made = fitted("knn", x, neighbours=neighbours, trim=0.0)
    rows, memory = whitened(made, correlated(30, seed=1)), whitened(made, x)
    distance = np.sort(np.sqrt(((rows[:, None] - memory) ** 2).sum(axis=2)), axis=1)
    expected = distance[:, :neighbours].mean(axis=1)
    ratio = made.score(correlated(30, seed=1)) / expected
    np.testing.assert_allclose(ratio, 1 / made.state()["level"][0], rtol=1e-4)


def test_a_tight_and_a_wide_dimension_weigh_the_same() -> None:
    random = np.random.default_rng(5)
    size = np.array([[1, 100, 1, 1], [1, 1, 0.01, 1]])
    x = (random.normal(size=(800, *SHAPE)) * size).astype(np.float32)
    made = fitted("knn", x)
    wide, tight = np.zeros((2, 1, *SHAPE), np.float32)
    wide[0, 0, 1], tight[0, 1, 2] = 600, 0.06
    assert made.score(wide)[0] == pytest.approx(made.score(tight)[0], rel=0.15)


def test_a_window_of_too_many_numbers_is_refused_with_what_to_do() -> None:
    build("knn", (1, LARGEST))
    with pytest.raises(
        ConfigError, match=f"{LARGEST + 1} numbers; at most {LARGEST} are valid: use the"
    ):
        build("knn", (1, LARGEST + 1))


def test_a_memory_of_nothing_is_refused() -> None:
    state = fitted("knn", correlated(60)).state()
    state["memory"] = state["memory"][:, :0]
    with pytest.raises(ModelError, match="'memory' is float32"):
        build("knn", SHAPE).restore(state)
