"""Detectors compared on the same labelled windows."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from monitor.errors import ConfigError
from monitor.offline.reproduce import methods
from monitor.offline.reproduce.method_sets import (
    SAMPLES,
    Sensor,
    Split,
    simulated_splits,
)
from monitor.offline.reproduce.methods import measure, table


def splits(apart: float, of: str = "skab") -> Iterator[Split]:
    """Two runs of noise; the second half of what is judged is shifted."""
    for seed in range(2):
        random = np.random.default_rng(seed)
        windows = random.normal(0, 1, (300, 2, SAMPLES)).astype(np.float32)
        truth = np.arange(100) >= 50
        windows[250:] += np.float32(apart)
        yield Split(of, {f"run-{seed}": Sensor(windows[:200], windows[200:], truth)}, 1)


def test_what_is_plain_is_ranked_first_and_what_is_not_there_is_not() -> None:
    plain = measure("mahalanobis", splits(5.0), time.perf_counter())
    assert plain.auroc == {"skab": 1.0}
    assert plain.sensors == {"skab": 2}
    nothing = measure("mahalanobis", splits(0.0), time.perf_counter())
    assert 0.3 < nothing.auroc["skab"] < 0.7


def test_a_detector_is_told_with_its_costs() -> None:
    found = measure("mahalanobis", splits(5.0, "nab"), time.perf_counter())
    assert found.auroc == {"nab": 1.0}
    assert found.microseconds is not None
    assert found.microseconds > 0
    assert found.state_bytes is not None
    assert found.state_bytes > 1000
    shown = table([found])
    assert shown.row_count == 1


def test_a_detector_that_cannot_serve_says_why() -> None:
    found = methods.measure_or_refuse("deviation", lambda: splits(1.0))
    assert found.auroc == {}
    assert "label" in found.refused
    assert table([found]).row_count == 1


def test_only_trained_detectors_are_compared() -> None:
    with pytest.raises(ConfigError, match="'online_iforest' is none that is trained; valid are"):
        methods.run(detectors=["online_iforest"])


def test_simulated_machines_learn_before_their_faults_begin() -> None:
    split = next(simulated_splits())
    assert len(split.sensors) == 3
    for sensor in split.sensors.values():
        assert sensor.training.shape[1:] == sensor.judged.shape[1:] == (4, 128)
        assert len(sensor.judged) == len(sensor.truth)
        assert 0.1 < sensor.truth.mean() < 0.6
