"""Deep SAD: what a few labels teach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitor.detect.deep.deep_sad import DeepSAD
from monitor.detect.deep.deep_svdd import DeepSVDD
from monitor.errors import ConfigError
from monitor.testing import normal_examples
from monitor.types import Array

SHAPE = (2, 16)


def shifted(count: int, seed: int) -> Array:
    """Anomalies that look normal but for a small shift."""
    return normal_examples(SHAPE, count, seed) + np.float32(0.4)


def taught(eta: float, labels: tuple[float, float]) -> DeepSAD:
    """With 20 anomalies behind 300 other examples, labelled by (others, anomalies)."""
    made = DeepSAD(SHAPE, eta=eta, epochs=5, latent=8, batch=32)
    x = np.concatenate([normal_examples(SHAPE, 300), shifted(20, 8)])
    made.fit(x, np.repeat(np.array(labels, np.float32), [300, 20]))
    return made


def contrast(detector: DeepSAD) -> float:
    fresh = normal_examples(SHAPE, 100, seed=9)
    return float(np.median(detector.score(shifted(60, 10))) / np.median(detector.score(fresh)))


def test_the_more_labels_count_the_farther_away_is_what_is_like_them() -> None:
    unlabelled, once, often = taught(1, (-1, -1)), taught(1, (-1, 1)), taught(10, (-1, 1))
    assert contrast(once) > 1.2 * contrast(unlabelled)
    assert contrast(often) > 1.2 * contrast(once)


def test_anomalies_at_the_end_of_the_data_are_not_lost_with_what_is_held_out() -> None:
    """The same examples in another order: labels in the last 15 % teach as others do."""
    made = DeepSAD(SHAPE, eta=10, epochs=5, latent=8, batch=32)
    x = np.concatenate([shifted(20, 8), normal_examples(SHAPE, 300)])
    made.fit(x, np.repeat(np.array([1, -1], np.float32), [20, 300]))
    assert np.array_equal(made.score(x), taught(10, (-1, 1)).score(x))


def test_without_labels_it_is_deep_svdd() -> None:
    x = normal_examples(SHAPE, 100)
    plan: dict[str, Any] = {"epochs": 2, "latent": 8, "seed": 3}
    plain, semi = DeepSVDD(SHAPE, **plan), DeepSAD(SHAPE, eta=5, **plan)
    plain.fit(x)
    semi.fit(x)
    assert np.array_equal(plain.score(x), semi.score(x))


def test_known_normal_examples_count_eta_times() -> None:
    x = normal_examples(SHAPE, 100)
    y = np.zeros(100, np.float32)
    once, often = DeepSAD(SHAPE, eta=1, epochs=2), DeepSAD(SHAPE, eta=20, epochs=2)
    once.fit(x, y)
    often.fit(x, y)
    assert not np.array_equal(once.score(x), often.score(x))


@pytest.mark.parametrize("eta", [0, -1, True, "much", float("nan"), 1e9])
def test_an_eta_that_makes_no_sense_is_named(eta: Any) -> None:
    with pytest.raises(ConfigError, match=r"eta is .*; numbers over 0 and up to 1000 are valid"):
        DeepSAD(SHAPE, eta=eta)
