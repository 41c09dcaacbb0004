"""The one-class support vector machine, against the decision function of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import OneClassSVM

from tests.classical import correlated, fitted, whitened


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_examples_stand_in_the_order_of_the_decision_function(gamma: float) -> None:
    x, new = correlated(300), correlated(200, seed=1)
    made = fitted("ocsvm", x, gamma=gamma, nu=0.1, trim=0.0)
    machine = OneClassSVM(gamma=gamma / 8, nu=0.1).fit(whitened(made, x).astype(np.float64))
    reach = machine.score_samples(whitened(made, new).astype(np.float64)) / machine.dual_coef_.sum()
    expected = np.sqrt(-np.log(reach))
    np.testing.assert_allclose(made.score(new) * made.state()["level"], expected, rtol=1e-3)


def test_it_tells_far_from_farther_where_the_decision_function_is_flat() -> None:
    made = fitted("ocsvm", correlated(300))
    far = np.stack([np.full((2, 4), value, np.float32) for value in (100, 200, 400)])
    scores = made.score(far)
    assert (np.diff(scores) > 0).all()


def test_a_larger_share_outside_keeps_more_support_vectors() -> None:
    x = correlated(400)
    few, many = fitted("ocsvm", x, nu=0.02), fitted("ocsvm", x, nu=0.3)
    assert few.state()["memory"].shape[1] < many.state()["memory"].shape[1]
    assert np.exp(few.state()["log_weight"]).sum() == pytest.approx(1, rel=1e-5)
