"""The Gaussian mixture, against that of scikit-learn, and how it chooses its form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture as Mixture

from monitor.detect import build
from monitor.errors import ModelError
from monitor.types import Array, State
from tests.classical import SHAPE, correlated, fitted, two_modes, whitened


def log_density(state: State, rows: Array) -> Any:
    """That of a mixture from its arrays, up to a constant: `(N, d) -> (N,)`."""
    parts = []
    for height, centre, factor in zip(
        state["height"], state["centre"], state["factor"], strict=True
    ):
        root = np.diag(factor) if factor.ndim == 1 else factor
        covariance = np.linalg.inv(root.astype(np.float64) @ root)
        peak = multivariate_normal.logpdf(centre, centre, covariance)
        parts.append(multivariate_normal.logpdf(rows, centre, covariance) - peak + height)
    return logsumexp(parts, axis=0)


@pytest.mark.parametrize("covariance", ["full", "diag"])
@pytest.mark.parametrize("components", [1, 3])
def test_the_score_is_the_root_of_the_surprise_at_the_density(
    covariance: str, components: int
) -> None:
    made = fitted("gmm", correlated(300), components=components, covariance=covariance)
    state, new = made.state(), correlated(40, seed=1)
    assert state["height"].shape == (components,)
    assert state["factor"].ndim == (3 if covariance == "full" else 2)
    expected = np.sqrt(-2 * log_density(state, whitened(made, new)) / 2)
    np.testing.assert_allclose(made.score(new) * state["level"], expected, rtol=1e-3)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_the_surprise_is_that_of_scikit_learn_but_for_a_constant(covariance: str) -> None:
    x, new = correlated(300), correlated(60, seed=1)
    x[::3, 0] *= 0.2
    made = fitted("gmm", x, components=3, covariance=covariance, trim=0.0)
    peer = Mixture(3, covariance_type=covariance, reg_covar=1e-2, random_state=0, max_iter=100)
    peer.fit(whitened(made, x).astype(np.float64))
    surprise = (made.score(new) * made.state()["level"]) ** 2
    rest = surprise + peer.score_samples(whitened(made, new).astype(np.float64))
    np.testing.assert_allclose(rest, rest[0], atol=1e-2)


def test_a_component_is_found_for_each_mode() -> None:
    state = fitted("gmm", two_modes(600)).state()
    assert state["height"].shape == (2,)
    assert fitted("gmm", correlated(600)).state()["height"].shape == (1,)


def test_a_single_gaussian_puts_examples_into_the_order_of_the_mahalanobis_distance() -> None:
    x, new = correlated(2000), correlated(200, seed=1)
    one = fitted("gmm", x, components=1, covariance="full", trim=0.0).score(new)
    other = fitted("mahalanobis", x, trim=0.0).score(new)
    assert np.corrcoef(one, other)[0, 1] > 0.99


def test_with_few_examples_a_small_form_is_taken() -> None:
    made = fitted("gmm", correlated(16))
    assert made.state()["factor"].ndim == 2
    assert fitted("gmm", correlated(18), components=50).state()["height"].shape[0] <= 9


def test_a_factor_of_too_many_sides_is_refused() -> None:
    state = fitted("gmm", correlated(60), components=1).state()
    state["factor"] = np.ones((1, 8, 8, 8), np.float32)
    with pytest.raises(ModelError, match="'factor' is float32"):
        build("gmm", SHAPE).restore(state)
