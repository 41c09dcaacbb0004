"""Models of river as detectors: their memory as arrays, to the last bit, and who may run live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import river.anomaly

from monitor.detect import build, check_exported, learns_online, view_of
from monitor.detect.online.river_state import EXPORTS
from monitor.errors import ConfigError, StateError
from monitor.notation import reference
from monitor.offline.replay import replay
from monitor.process import probe
from monitor.settings import Config
from monitor.testing import check_online, normal_examples, same_state
from monitor.testing.states import copied_state
from monitor.types import Array
from tests.recorded import config, recording

SHAPE = (1, 3)
SMALL: dict[str, dict[str, Any]] = {
    "HalfSpaceTrees": {"window_size": 30, "n_trees": 4, "height": 4},
    "GaussianScorer": {"grace_period": 20},
    "LocalOutlierFactor": {"n_neighbors": 3},
    "LODA": {"n_random_cuts": 5},
}
MODELS = ["GaussianScorer", "HalfSpaceTrees", "LODA", "LocalOutlierFactor", "OneClassSVM"]
MODELS += ["PredictiveAnomalyDetection", "StandardAbsoluteDeviation"]


def model(name: str, shape: tuple[int, ...] = SHAPE, **params: Any) -> Any:
    return build(f"river:{name}", shape, **SMALL.get(name, {}) | params)


def feed(detector: Any, rows: Array, slot: int = 0) -> Array:
    """Rows of one slot, one after the other, all learned."""
    one, always = np.array([slot]), np.full(1, np.inf, np.float32)
    return np.array([detector.score_learn(one, row[None], always)[0] for row in rows], np.float32)


@pytest.mark.parametrize("name", ["HalfSpaceTrees", "GaussianScorer", "StandardAbsoluteDeviation"])
def test_a_model_with_exported_state_keeps_the_promises_of_the_protocol(name: str) -> None:
    check_online(lambda: model(name))


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_a_restored_model_goes_on_as_if_nothing_had_happened(name: str) -> None:
    """In the middle of a window of `HalfSpaceTrees`, and with masses of one before it."""
    rows = normal_examples(SHAPE, 70)
    whole, resumed = model(name), model(name)
    feed(whole, rows[:50])
    feed(whole, rows[:7], slot=2)
    resumed.restore(copied_state(whole))
    assert np.array_equal(feed(resumed, rows[50:]), feed(whole, rows[50:]))
    assert np.isfinite(feed(whole, rows[-1:])).all()
    feed(resumed, rows[-1:])
    assert same_state(resumed.state(), whole.state())


def test_half_space_trees_score_as_river_does() -> None:
    """The adapter adds the ranges and nothing else."""
    rows = np.random.default_rng(0).uniform(size=(100, 1, 2)).astype(np.float32)
    rows[:2] = [[[0, 0]], [[1, 1]]]  # the whole range from the second on
    plain = river.anomaly.HalfSpaceTrees(**SMALL["HalfSpaceTrees"], seed=0)
    expected = []
    for row in rows:
        x = dict(enumerate(row.ravel().tolist()))
        expected.append(plain.score_one(x))  # type: ignore[no-untyped-call]
        plain.learn_one(x)  # type: ignore[no-untyped-call]
    found = feed(model("HalfSpaceTrees", (1, 2)), rows)
    assert np.isnan(found[:30]).all()
    assert found[30:] == pytest.approx(expected[30:], abs=1e-6)


def test_masses_of_other_trees_are_refused() -> None:
    """The cuts are not in the state; a sum of them tells that they are the same."""
    state = model("HalfSpaceTrees").state()
    with pytest.raises(StateError, match=r"was made with size, .*seed.*cuts"):
        model("HalfSpaceTrees", seed=1).restore(state)
    feed(detector := model("HalfSpaceTrees"), normal_examples(SHAPE, 3))
    damaged = detector.state() | {"place": np.array([30])}
    with pytest.raises(StateError, match="place holds 30; valid is finite, from 0 to 29"):
        model("HalfSpaceTrees").restore(damaged)


@pytest.mark.parametrize("name", MODELS)
def test_any_model_of_river_scores_and_learns(name: str) -> None:
    scores = feed(model(name), normal_examples(SHAPE, 60))
    assert np.isfinite(scores[-20:]).all()
    assert (scores[-20:] >= 0).all()


def test_the_models_are_those_that_river_has() -> None:
    with pytest.raises(ConfigError) as told:
        model("QuantileFilter")
    assert str(told.value) == (
        f"river:QuantileFilter is no anomaly model of river; valid: {', '.join(sorted(MODELS))}"
    )


def test_a_number_that_never_changes_says_nothing() -> None:
    rows = normal_examples(SHAPE, 60)
    rows[:, 0, 1] = 7
    scores = feed(model("GaussianScorer"), rows)
    assert np.median(scores[30:]) < 0.95
    rows[-1, 0, 1] = 8
    assert feed(model("GaussianScorer"), rows)[-1] == 1


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("HalfSpaceTrees", {"n_trees": 0}),
        ("HalfSpaceTrees", {"height": 2.5}),
        ("HalfSpaceTrees", {"limits": {}}),
        ("HalfSpaceTrees", {"seed": -1}),
        ("GaussianScorer", {"window_size": 10}),
        ("LocalOutlierFactor", {"n_neighbors": True}),
        ("OneClassSVM", {"nu": "much"}),
    ],
)
def test_wrong_parameters_are_told_with_the_valid_ones(name: str, params: dict[str, Any]) -> None:
    (parameter,) = params
    with pytest.raises(ConfigError, match=f"river:{name} does not take {parameter}: .*; valid are"):
        build(f"river:{name}", SHAPE, **params)


def test_a_reference_names_a_model_of_river_and_its_view() -> None:
    wanted = reference("river:HalfSpaceTrees")
    assert (wanted.detector, wanted.model, wanted.label) == (
        "river:HalfSpaceTrees",
        "",
        "HalfSpaceTrees",
    )
    assert learns_online(wanted.detector)
    assert view_of(wanted.detector, {}) == "statistics"
    assert view_of(wanted.detector, {"view": "level"}) == "level"


def settings(name: str) -> Config:
    return config([f"river:{name}"])


def test_a_live_process_refuses_a_model_whose_memory_it_cannot_keep() -> None:
    with pytest.raises(ConfigError) as told:
        probe(settings("LODA"))
    assert str(told.value) == (
        "streams.machines.models: river:LODA cannot be run live: its memory cannot be kept in "
        "snapshots; those of river that can are river:GaussianScorer, river:HalfSpaceTrees, "
        "river:LocalOutlierFactor, river:StandardAbsoluteDeviation. `monitor replay` and "
        "`monitor evaluate` take any"
    )
    probe(settings("HalfSpaceTrees"))
    check_exported("online_iforest")
    with pytest.raises(StateError, match="river:LODA has no exported state; those that have are"):
        model("LODA").restore(model("LODA").state())


def test_a_replay_takes_any_model_of_river(tmp_path: Path) -> None:
    """Also through the snapshot that the loop takes when it ends."""
    played = recording("pump-1", 60.0, [(40.0, 44.0)])
    found = replay(settings("LODA"), {"machines": [played]}, tmp_path, suffix="csv")
    scores = pd.read_csv(tmp_path / "scores.csv").query("detector == 'LODA'")
    assert found.scores == len(scores) > 100
    loudest = scores.time.to_numpy()[scores.raw.argmax()] - played.time[0]
    assert 40 < loudest < 44
