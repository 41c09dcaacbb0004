"""PatchCore: a memory of normal patches."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detect.images.patchcore import PatchCore, _Bank
from monitor.errors import ConfigError, ModelError
from monitor.protocols import Localiser, Trainable
from tests.frame_detectors import (
    SHAPE,
    SIDE,
    found_by,
    learned,
    made,
    shown,
    shuffled,
    spoiled,
    trained,
)


def test_parts_with_faults_are_found_and_where_the_faults_are() -> None:
    found = found_by(trained("patchcore"))
    assert found.image >= 0.97
    assert found.pixel >= 0.95


def test_scores_that_have_nothing_to_do_with_the_frames_would_not_do() -> None:
    chance = shuffled(trained("patchcore"))
    assert chance.image < 0.8
    assert chance.pixel < 0.8


def test_it_can_be_trained_and_tells_where() -> None:
    assert isinstance(trained("patchcore"), Trainable)
    assert isinstance(trained("patchcore"), Localiser)


def test_the_memory_holds_no_more_than_it_may() -> None:
    assert trained("patchcore").state()["memory"].shape == (300, 128)


def test_the_nearest_patch_is_the_one_that_looking_at_all_finds() -> None:
    random = np.random.default_rng(0)
    memory = (random.normal(size=(300, 16)) + 50).astype(np.float32)
    patches = (random.normal(size=(1500, 16)) + 50).astype(np.float32)
    apart = np.linalg.norm(patches[:, None].astype(np.float64) - memory, axis=2)
    distances, places = _Bank(memory).distances(patches)
    np.testing.assert_array_equal(places, apart.argmin(axis=1))
    np.testing.assert_allclose(distances, apart.min(axis=1), rtol=1e-5)


def test_a_distance_counts_more_where_the_nearest_patch_is_alone() -> None:
    cluster = np.zeros((20, 4), np.float32)
    cluster[:, 0] = np.linspace(0, 0.01, 20)
    alone = cluster.copy()
    alone[1:] += 5
    patch = np.array([0, 1, 0, 0], np.float32)
    crowded, lonely = (_Bank(rows).weight(patch, 0) for rows in (cluster, alone))
    assert crowded == pytest.approx(1 - 1 / 9, abs=1e-3)
    assert crowded < lonely <= 1


def test_onnx_runtime_gives_the_scores_that_torch_gives() -> None:
    detector, x = trained("patchcore"), shown()[0][-5:]
    program = detector.compile(8, "onnx")
    assert program.backend == "onnx"
    np.testing.assert_allclose(program(x), detector.compile(8, "torch")(x), rtol=1e-3)


def test_frames_with_faults_among_the_training_frames_do_not_enter_the_memory() -> None:
    detector = made("patchcore")
    detector.fit(spoiled())
    assert found_by(detector).image >= 0.95


def test_wrong_parameters_and_frames_are_refused() -> None:
    with pytest.raises(ConfigError, match="memory is 0"):
        PatchCore(SHAPE, memory=0)
    with pytest.raises(ConfigError, match="1 or 3 colours"):
        PatchCore((2, SIDE, SIDE))
    with pytest.raises(ModelError, match="at least 16 needed"):
        PatchCore(SHAPE).fit(learned()[:3])
