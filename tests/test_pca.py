"""Principal components: Q and T2, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detect.classical.rows import standardised
from monitor.types import Array
from tests.classical import SHAPE, correlated, fitted

RANDOM = np.random.default_rng(12)
PLANE = np.linalg.qr(RANDOM.normal(size=(8, 8)))[0]


def on_a_plane(count: int, seed: int = 0) -> Array:
    """Examples that move in three directions, and a little noise in all."""
    random = np.random.default_rng(seed)
    moves = random.normal(size=(count, 3)) * [3.0, 2.0, 1.0] @ PLANE[:3]
    x = moves + random.normal(0, 0.05, (count, 8))
    return np.asarray(x.reshape(count, *SHAPE), np.float32)


def test_the_score_is_made_of_q_and_t2_in_units_of_their_levels() -> None:
    x, new = on_a_plane(400), on_a_plane(50, seed=1) * np.float32(1.5)
    made = fitted("pca", x, variance=0.95, trim=0.0)
    state = made.state()
    z, learned = (standardised(rows.reshape(-1, 8), state) for rows in (new, x))
    centred = learned - learned.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    kept = state["components"].shape[1]
    share = np.cumsum(sizes**2) / (sizes**2).sum()
    assert share[kept - 1] >= 0.95
    assert kept == 1 or share[kept - 2] < 0.95
    off = z - learned.mean(axis=0)
    along = off @ directions[:kept].T
    q = ((off - along @ directions[:kept]) ** 2).sum(axis=1)
    t2 = (along**2 / (sizes[:kept] ** 2 / len(x))).sum(axis=1)
    expected = np.sqrt((q / state["level"][0] + t2 / state["level"][1]) / 2)
    np.testing.assert_allclose(made.score(new), expected, rtol=1e-3)


def test_what_leaves_the_plane_counts_more_than_what_moves_in_it() -> None:
    made = fitted("pca", on_a_plane(600), variance=0.9)
    within = (3 * PLANE[0]).reshape(1, *SHAPE).astype(np.float32)
    out = (3 * PLANE[5]).reshape(1, *SHAPE).astype(np.float32)
    assert made.score(out)[0] > 5 * made.score(within)[0]


def test_what_goes_too_far_in_the_plane_is_found_by_t2() -> None:
    made = fitted("pca", on_a_plane(600), variance=0.9)
    far = (20 * PLANE[1]).reshape(1, *SHAPE).astype(np.float32)
    assert made.score(far)[0] > made.score(on_a_plane(200, seed=1)).max()


def test_channels_share_the_squared_score() -> None:
    made = fitted("pca", on_a_plane(400))
    x = on_a_plane(20, seed=1)
    assert np.allclose(made.contributions(x).sum(axis=1), 1, atol=1e-5)
    x[:, 1, 2] += 30
    assert (made.contributions(x)[:, 1] > made.contributions(x)[:, 0]).all()


@pytest.mark.parametrize(("count", "side"), [(40, 100), (100, 40), (60, 60)])
def test_fewer_examples_than_dimensions_are_enough(count: int, side: int) -> None:
    random = np.random.default_rng(0)
    x = (random.normal(size=(count, 4)) @ random.normal(size=(4, side))).astype(np.float32)
    x += random.normal(0, 0.01, x.shape).astype(np.float32)
    made = fitted("pca", x)
    directions = made.state()["components"]
    assert directions.shape == (side, 4)
    np.testing.assert_allclose(directions.T @ directions, np.eye(4), atol=1e-4)


def test_no_more_components_are_kept_than_asked_for() -> None:
    made = fitted("pca", correlated(300), components=2)
    assert made.state()["components"].shape == (8, 2)
