"""What a few labels do for the detectors that learn from them, on frames, sounds and windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from monitor.detect import build
from monitor.testing import normal_examples
from monitor.types import Array

SHAPES = {"window": (2, 16), "spectrogram": (12, 8), "frame": (1, 8, 8)}
PARAMS: dict[str, dict[str, Any]] = {
    "deep_sad": {"epochs": 8, "latent": 8, "eta": 10},
    "deviation": {"epochs": 8},
}


def louder(shape: tuple[int, ...], count: int, seed: int) -> Array:
    """A fault: some noise more in half of the places."""
    x = normal_examples(shape, count, seed)
    noise = np.random.default_rng(seed + 100).normal(0, 0.5, x.shape)
    noise[..., : shape[-1] // 2] = 0
    return (x + noise).astype(np.float32)


def lifted(shape: tuple[int, ...], count: int, seed: int) -> Array:
    """Another fault, that nobody labels: all is a good deal higher."""
    return normal_examples(shape, count, seed) + np.float32(1.5)


def taught(name: str, shown: Array) -> Any:
    """With 240 normal examples, and these labelled anomalies."""
    made = build(name, shown.shape[1:], **PARAMS[name])
    x = np.concatenate([normal_examples(made.shape, 240), shown])
    made.fit(x, np.repeat(np.array([-1, 1], np.float32), [240, len(shown)]))
    return made


def auroc(detector: Any, odd: Array) -> float:
    x = np.concatenate([normal_examples(detector.shape, 100, seed=9), odd])
    return float(roc_auc_score(np.repeat([0, 1], [100, len(odd)]), detector.score(x)))


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_labels_help_deep_sad_and_ruin_nothing(kind: str) -> None:
    shape = SHAPES[kind]
    plain, weak = (taught("deep_sad", louder(shape, known, 7)) for known in (0, 20))
    assert auroc(weak, louder(shape, 100, 10)) > auroc(plain, louder(shape, 100, 10))
    assert auroc(weak, lifted(shape, 100, 11)) > auroc(plain, lifted(shape, 100, 11)) - 0.05


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_a_deviation_network_finds_what_it_was_shown(kind: str) -> None:
    made = taught("deviation", lifted(SHAPES[kind], 20, 7))
    assert auroc(made, lifted(SHAPES[kind], 100, 10)) > 0.95


@pytest.mark.parametrize("name", sorted(PARAMS))
def test_examples_of_further_classes_change_nothing(name: str) -> None:
    """They are no anomalies, and nothing that a detector without classes could use."""
    shape = SHAPES["window"]
    x = np.concatenate([normal_examples(shape, 80), louder(shape, 10, 7)])
    y = np.repeat(np.array([-1, 1], np.float32), [80, 10])
    alone, beside = (build(name, shape, **{**PARAMS[name], "epochs": 2}) for _ in range(2))
    alone.fit(x, y)
    other = lifted(shape, 30, 5)
    beside.fit(np.concatenate([other, x]), np.concatenate([np.full(30, 2, np.float32), y]))
    assert np.array_equal(alone.score(x), beside.score(x))
