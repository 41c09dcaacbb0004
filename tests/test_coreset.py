"""The few rows that stand for many."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detect.patches.coreset import coreset, projected
from monitor.types import Array


def rows_of(count: int, size: int, seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def radius(rows: Array, chosen: Array) -> float:
    """The largest distance of any row from the nearest of the chosen ones."""
    distances = np.linalg.norm(rows[:, None] - chosen[None], axis=2)
    return float(distances.min(axis=1).max())


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(1, 5), st.integers(0, 1000))
def test_it_covers_at_most_twice_as_badly_as_the_best_choice(
    count: int, most: int, size: int, seed: int
) -> None:
    rows = rows_of(count, size, seed)
    most = min(most, count)
    best = min(radius(rows, rows[list(places)]) for places in combinations(range(count), most))
    assert radius(rows, rows[coreset(rows, most)]) <= 2 * best + 1e-5


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 80), st.integers(1, 50), st.integers(0, 1000))
def test_places_are_distinct_and_within_the_rows(
    count: int, most: int, size: int, seed: int
) -> None:
    places = coreset(rows_of(count, size, seed), most)
    assert len(places) == min(most, count)
    assert (np.diff(places) > 0).all()
    assert places[0] >= 0
    assert places[-1] < count


def test_rows_that_are_the_same_are_chosen_once() -> None:
    rows = np.repeat(rows_of(5, 3, 0), 20, axis=0)
    places = coreset(rows, 50)
    assert len(places) == 5
    assert len(np.unique(rows[places], axis=0)) == 5


def test_a_small_far_cluster_is_not_forgotten() -> None:
    rows = np.concatenate([rows_of(1000, 4, 0), rows_of(3, 4, 1) + 30])
    assert (coreset(rows, 10) >= 1000).any()


def test_of_no_rows_there_are_none() -> None:
    assert len(coreset(np.empty((0, 3), np.float32), 5)) == 0


def test_a_coreset_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="coreset of 0 rows"):
        coreset(rows_of(3, 2, 0), 0)


def test_a_projection_keeps_distances_roughly() -> None:
    rows = rows_of(60, 500, 3)
    before = np.linalg.norm(rows[:, None] - rows[None], axis=2)[np.triu_indices(60, 1)]
    fewer = projected(rows, 128)
    after = np.linalg.norm(fewer[:, None] - fewer[None], axis=2)[np.triu_indices(60, 1)]
    assert fewer.shape == (60, 128)
    assert np.median(after / before) == pytest.approx(1, abs=0.05)
    assert np.abs(after / before - 1).max() < 0.35


def test_the_projection_follows_the_seed_alone() -> None:
    rows = rows_of(20, 100, 4)
    assert np.array_equal(projected(rows, 8, 1), projected(rows, 8, 1))
    assert not np.array_equal(projected(rows, 8, 1), projected(rows, 8, 2))


def test_rows_of_few_dimensions_are_not_projected() -> None:
    rows = rows_of(20, 8, 5)
    assert projected(rows, 8) is rows
