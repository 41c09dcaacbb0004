"""Deviation networks: a few labelled anomalies."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from monitor.detect.deep.deviation import DeviationNetwork
from monitor.detect.seeded_faults import found_by
from monitor.errors import ConfigError, ModelError
from monitor.testing import check_detector, normal_examples
from monitor.types import Array

SHAPE = (2, 16)


def odd(count: int, seed: int) -> Array:
    """Normal but for two of the numbers of the second channel."""
    x = normal_examples(SHAPE, count, seed)
    x[:, 1, 3:5] += 1.5
    return x


def labelled(count: int = 10) -> tuple[Array, Array]:
    x = np.concatenate([normal_examples(SHAPE, 300), odd(count, 8)])
    return x, np.repeat(np.array([-1, 1], np.float32), [300, count])


@pytest.fixture(scope="module")
def detector() -> DeviationNetwork:
    made = DeviationNetwork(SHAPE)
    made.fit(*labelled())
    return made


def test_ten_labels_are_enough_to_find_their_like(detector: DeviationNetwork) -> None:
    normal = detector.score(normal_examples(SHAPE, 200, seed=5))
    assert found_by(normal, detector.score(odd(100, 6))) > 0.95
    assert detector.metrics["anomalies"] == 10


def test_a_normal_example_scores_about_one_and_a_labelled_one_about_five(
    detector: DeviationNetwork,
) -> None:
    assert np.median(detector.score(labelled()[0][:300])) == pytest.approx(1, abs=0.3)
    assert np.median(detector.score(labelled()[0][300:])) == pytest.approx(5, abs=1)


@pytest.mark.parametrize("label", [None, -1, 0])
def test_without_a_labelled_anomaly_it_asks_for_labels(label: int | None) -> None:
    x = normal_examples(SHAPE, 40)
    y = None if label is None else np.full(40, label, np.float32)
    with pytest.raises(ModelError, match=r"none of the 40 .* give labels, or take deep_svdd"):
        DeviationNetwork(SHAPE).fit(x, y)


@pytest.mark.parametrize("shape", [(1, 16), (3, 5), (1, 6, 4)])
def test_it_keeps_the_promises_of_a_detector(shape: tuple[int, ...]) -> None:
    check_detector(partial(DeviationNetwork, shape, epochs=5))


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_the_compiled_forms_agree(detector: DeviationNetwork, backend: str) -> None:
    x = np.concatenate([normal_examples(SHAPE, 60), 1e6 * odd(4, 3)])
    program = detector.compile(64, backend)
    np.testing.assert_allclose(program(x), detector.score(x), rtol=1e-5)
    assert np.array_equal(program(x[::-1].copy()), program(x)[::-1])


def test_a_scale_of_nothing_is_refused(detector: DeviationNetwork) -> None:
    for wrong in (0, -1, np.nan):
        state = detector.state()
        state["scale"][2] = wrong
        with pytest.raises(ModelError, match="'scale' is missing, or holds values"):
            DeviationNetwork(SHAPE).restore(state)


def test_a_constant_number_is_no_division_by_zero() -> None:
    x, y = labelled()
    x[:, 0] = 7
    made = DeviationNetwork(SHAPE, epochs=2)
    made.fit(x, y)
    assert np.isfinite(made.score(x)).all()


def test_a_net_without_hidden_layers_or_too_large_is_refused() -> None:
    for widths in ([], [0], [4096] * 7):
        with pytest.raises(ConfigError, match="widths"):
            DeviationNetwork(SHAPE, widths=widths)
