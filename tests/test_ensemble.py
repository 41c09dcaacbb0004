"""Several detectors as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitor.detect.ensemble import Ensemble
from monitor.detect.member import Member
from monitor.detect.seeded_faults import KINDS, found_by, seeded_faults
from monitor.errors import ConfigError, ModelError
from monitor.types import Array

SHAPE = (2, 24)


class Deaf:
    """A detector that finds nothing: its scores are those of the first sample alone."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def score(self, x: Array) -> Array:
        return np.abs(x[:, 0, 0])

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


DEAF = f"{__name__}:Deaf"


def waves(count: int, seed: int = 0) -> Array:
    """Two channels that go together, and noise."""
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 6, (count, 1, 1))
    wave = np.sin(np.arange(SHAPE[1]) * 0.5 + phase) * np.array([1.0, 2.0])[:, None]
    found: Array = (wave + random.normal(0, 0.2, (count, *SHAPE))).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def fitted() -> Ensemble:
    ensemble = Ensemble(SHAPE)
    ensemble.fit(waves(400))
    return ensemble


def test_normal_windows_are_as_surprising_as_chance_says() -> None:
    fitted = Ensemble(SHAPE, gated=False)
    fitted.fit(waves(3_000))
    for member in fitted.members:
        surprise = member.surprise(waves(2_000, seed=1))
        assert np.mean(surprise) == pytest.approx(1.0, abs=0.15), "-log of a uniform number"


@pytest.mark.parametrize("fusion", ["ratio", "log_p", "cauchy"])
def test_an_ensemble_finds_faults_of_every_kind(fusion: str) -> None:
    ensemble = Ensemble(SHAPE, fusion=fusion)
    ensemble.fit(waves(400))
    normal = waves(300, seed=2)
    usual = ensemble.score(normal)
    for kind, faulty in seeded_faults(normal, seed=5).items():
        assert found_by(usual, ensemble.score(faulty)) > 0.6, kind


def test_a_member_that_finds_less_than_mahalanobis_has_no_say() -> None:
    ensemble = Ensemble(SHAPE, members=["mahalanobis", DEAF])
    ensemble.fit(waves(400))
    assert ensemble.weights.tolist() == [1.0, 0.0]
    alone = Ensemble(SHAPE, members=["mahalanobis"])
    alone.fit(waves(400))
    x = waves(50, seed=3)
    assert np.array_equal(ensemble.score(x), alone.score(x))


def test_a_gate_that_is_left_open_lets_all_in() -> None:
    ensemble = Ensemble(SHAPE, members=["mahalanobis", DEAF], gated=False)
    ensemble.fit(waves(400))
    assert ensemble.weights.tolist() == [1.0, 1.0]


def test_where_nobody_is_good_enough_all_have_a_say() -> None:
    ensemble = Ensemble(SHAPE, members=[DEAF])
    ensemble.fit(waves(400))
    assert ensemble.weights.tolist() == [1.0]


def test_the_channel_with_the_fault_is_named(fitted: Ensemble) -> None:
    x = waves(20, seed=4)
    x[:, 1] += 3
    assert (fitted.contributions(x)[:, 1] > 0.6).all()


def test_what_was_held_out_is_scored_by_members_that_had_not_seen_it() -> None:
    x = waves(400)
    x[330:] += 3  # only the last part is unlike
    ensemble = Ensemble(SHAPE)
    ensemble.fit(x)
    assert len(ensemble.held_out) == 100
    assert np.median(ensemble.held_out[40:]) > 2 * np.median(ensemble.score(x[340:]))


def test_known_anomalies_are_not_learned() -> None:
    x = np.concatenate([waves(400), waves(40, seed=9) + 5])
    y = np.repeat([0.0, 1.0], [400, 40]).astype(np.float32)
    ensemble, clean = Ensemble(SHAPE), Ensemble(SHAPE)
    ensemble.fit(x, y)
    clean.fit(waves(400))
    assert np.array_equal(ensemble.score(waves(9, seed=1)), clean.score(waves(9, seed=1)))


@settings(deadline=None, max_examples=30)
@given(arrays(np.float32, st.integers(40, 300), elements=st.floats(0, 1e4, width=32)))
def test_surprise_never_falls_with_the_score(scores: Array) -> None:
    member = Member(SHAPE, "mahalanobis", {})
    member.calibrate(scores)
    assert member.calibration is not None
    tried = np.sort(np.concatenate([scores, scores * 3, [0.0, 1e9]])).astype(np.float32)
    found = member.calibration.of(tried)
    assert (np.diff(found) >= 0).all()
    assert (found >= 0).all()
    assert np.isfinite(found).all()


def test_seeded_faults_are_the_same_for_the_same_seed_and_leave_the_windows_alone() -> None:
    x = waves(30)
    before = x.copy()
    one, other, third = (seeded_faults(x, seed) for seed in (1, 1, 2))
    assert np.array_equal(x, before)
    assert one.keys() == KINDS.keys()
    for kind in KINDS:
        assert np.array_equal(one[kind], other[kind])
        assert not np.array_equal(one[kind], third[kind])
        changed = (one[kind] != x).any(axis=2).sum(axis=1)
        assert (changed <= 1).all(), "one channel at a time"
        assert changed.mean() > 0.9


def test_who_finds_faults_is_measured_by_the_area_under_the_curve() -> None:
    normal = np.array([0.0, 1.0, 2.0, 3.0], np.float32)
    assert found_by(normal, normal + 10) == 1.0
    assert found_by(normal, normal) == 0.5
    assert found_by(normal, np.array([1.5], np.float32)) == 0.5


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"fusion": "mean"}, "fusion is 'mean'; valid are ratio, log_p, cauchy"),
        ({"members": []}, "members is []; valid is a list of detectors"),
        ({"members": "pca"}, "members is 'pca'"),
        ({"members": ["online_iforest"]}, "'online_iforest' cannot be one"),
        (
            {"members": ["deviation"]},
            "'deviation' needs labels, which an ensemble does not pass on",
        ),
        ({"members": ["ensemble"]}, "'ensemble' cannot be one"),
        ({"members": [{"name": "pca"}]}, "valid is a detector's name, or detector and params"),
        ({"members": ["no_such"]}, "'no_such' cannot be loaded"),
    ],
)
def test_wrong_parameters_are_told(params: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        Ensemble(SHAPE, **params)
    assert said in str(error.value)


def test_too_few_windows_are_told() -> None:
    with pytest.raises(ModelError, match=r"39 examples are not anomalies; at least 40 needed"):
        Ensemble(SHAPE).fit(waves(39))


def test_the_state_of_another_ensemble_is_refused(fitted: Ensemble) -> None:
    with pytest.raises(ModelError, match=r"the state is of 5 members; this ensemble has 1"):
        Ensemble(SHAPE, members=["mahalanobis"]).restore(fitted.state())
