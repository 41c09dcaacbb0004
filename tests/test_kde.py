"""The kernel density estimate, against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from tests.classical import correlated, fitted, whitened


@pytest.mark.parametrize("bandwidth", [0.5, 1.0, 3.0])
def test_the_score_is_the_root_of_the_surprise_at_the_density(bandwidth: float) -> None:
    x, new = correlated(200), correlated(40, seed=1)
    made = fitted("kde", x, bandwidth=bandwidth)
    state = made.state()
    squares = ((whitened(made, new)[:, :, None] - state["memory"]) ** 2).sum(axis=1)
    log_ratio = logsumexp(-0.5 * squares / bandwidth**2, axis=1) - np.log(state["memory"].shape[1])
    np.testing.assert_allclose(made.score(new) * state["level"], np.sqrt(-log_ratio), rtol=1e-4)


def test_far_away_the_score_grows_as_the_distance() -> None:
    made = fitted("kde", correlated(200))
    far = np.full((2, 2, 4), 1000, np.float32)
    far[1] = 2000
    near, twice = made.score(far)
    assert twice / near == pytest.approx(2, rel=0.02)


def test_narrow_kernels_see_each_training_example_and_wide_ones_their_middle() -> None:
    x = correlated(300)
    middle = x.mean(axis=0, keepdims=True)
    narrow, wide = fitted("kde", x, bandwidth=0.05), fitted("kde", x, bandwidth=20.0)
    assert narrow.score(middle)[0] > np.median(narrow.score(x))
    assert wide.score(middle)[0] < np.median(wide.score(x))


def test_a_channel_has_the_share_that_the_kernels_near_the_example_give_it() -> None:
    x, new = correlated(200), correlated(40, seed=1)
    made = fitted("kde", x)
    squares = (whitened(made, new)[:, :, None] - made.state()["memory"]) ** 2
    weight = np.exp(-0.5 * squares.sum(axis=1))
    off = (squares * weight[:, None]).sum(axis=2).reshape(40, 2, 4).sum(axis=2)
    expected = off / off.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(made.contributions(new), expected, rtol=1e-3, atol=1e-5)
