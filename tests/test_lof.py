"""The local outlier factor, against that of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import LocalOutlierFactor

from monitor.detect import build
from monitor.errors import ModelError
from tests.classical import SHAPE, correlated, fitted, whitened


@pytest.mark.parametrize("neighbours", [3, 20])
def test_the_factor_is_that_of_scikit_learn(neighbours: int) -> None:
    x, new = correlated(300), correlated(80, seed=1) * np.float32(1.3)
    made = fitted("lof", x, neighbours=neighbours)
    state = made.state()
    peer = LocalOutlierFactor(n_neighbors=neighbours, novelty=True).fit(state["memory"].T)
    expected = -peer.score_samples(whitened(made, new))
    np.testing.assert_allclose(made.score(new) * state["level"], expected, rtol=1e-4)


def test_a_small_deviation_counts_more_in_a_tight_mode() -> None:
    random = np.random.default_rng(0)
    wide = np.arange(800) // 25 % 2
    spread = np.where(wide, 1.0, 0.05)[:, None, None]
    x = random.normal(0, 1, (800, *SHAPE)) * spread + 20 * wide[:, None, None]
    made = fitted("lof", x.astype(np.float32))
    near_wide = np.full((1, *SHAPE), 20.0, np.float32)
    near_tight = np.zeros((1, *SHAPE), np.float32)
    for odd in (near_wide, near_tight):
        odd[0, :, 0] += 0.5
    assert made.score(near_tight)[0] > 2 * made.score(near_wide)[0]


def test_copies_of_one_example_are_no_neighbours_of_themselves() -> None:
    x = correlated(100)
    x[10:60] = x[10]
    scores = fitted("lof", x, neighbours=5).score(correlated(50, seed=1))
    assert np.isfinite(scores).all()


def test_a_distance_below_zero_is_refused() -> None:
    state = fitted("lof", correlated(60)).state()
    state["reach"][3] = -1
    with pytest.raises(ModelError, match="'reach' holds distances below 0"):
        build("lof", SHAPE).restore(state)
