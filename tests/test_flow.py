"""The normalising flow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detect.classical.mahalanobis import Mahalanobis
from monitor.detect.deep import flow as module
from monitor.detect.deep.coupling import Coupling, Flow, halves
from monitor.detect.deep.flow import NormalisingFlow
from monitor.detect.deep.training import seeded
from monitor.errors import ConfigError, ModelError
from monitor.features import seen, seen_shape
from monitor.protocols import Explainer, Trainable
from monitor.testing import anomalous_examples, check_detector, normal_examples
from monitor.types import Array
from tests.broken_signals import SHAPE, auroc, machine, with_missing_impact, with_stuck_wave

PLANE = (1, 2)


def ring(count: int, seed: int = 0) -> Array:
    """Points on a circle: the middle, which the covariance takes for normal, is empty."""
    random = np.random.default_rng(seed)
    angle = random.uniform(0, 2 * np.pi, count)
    circle = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (circle + random.normal(0, 0.1, (count, 2))).astype(np.float32)[:, None]


@pytest.fixture(scope="module")
def detector() -> NormalisingFlow:
    made = NormalisingFlow(PLANE, steps=6, hidden=32, epochs=15, batch=32, learning_rate=5e-3)
    made.fit(ring(800))
    return made


def moved(size: int, seed: int = 0) -> Flow:
    """A flow with weights that bend."""
    with seeded(seed):
        made = Flow(size, [Coupling(half, 8) for half in halves(size, 3, seed)])
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return made


def test_it_keeps_the_promises_on_any_view() -> None:
    for shape in ((2, 4, 5), (1, 1)):
        check_detector(lambda: NormalisingFlow(shape, epochs=1))  # noqa: B023


def test_it_is_a_trainable_explainer(detector: NormalisingFlow) -> None:
    assert isinstance(detector, Trainable)
    assert isinstance(detector, Explainer)
    assert detector.view == "level"


def test_a_normal_example_scores_about_one(detector: NormalisingFlow) -> None:
    assert np.median(detector.score(ring(300, seed=5))) == pytest.approx(1, abs=0.3)


def test_it_finds_the_hole_that_no_covariance_shows(detector: NormalisingFlow) -> None:
    normal, hole = ring(300, seed=5), np.random.default_rng(6).normal(0, 0.4, (300, *PLANE))
    distance = Mahalanobis(PLANE)
    distance.fit(ring(800))
    odd = hole.astype(np.float32)
    assert auroc(distance.score(normal), distance.score(odd)) < 0.2
    assert auroc(detector.score(normal), detector.score(odd)) > 0.9


def test_what_is_far_out_scores_higher_the_farther_it_is(detector: NormalisingFlow) -> None:
    far = np.array([[[5.0, 0.0]], [[50.0, 0.0]], [[5e5, 0.0]], [[3e38, -3e38]]], np.float32)
    scores = detector.score(far)
    assert np.isfinite(scores).all()
    assert (np.diff(scores[:3]) > 0).all()
    assert scores[[0, 3]].min() > detector.score(ring(300, seed=5)).max()


def test_it_finds_a_machines_faults_on_the_level_view() -> None:
    shape = seen_shape("level", SHAPE)
    made = NormalisingFlow(shape, epochs=5)
    made.fit(seen("level", machine(500)))
    normal, other = (seen("level", machine(200, seed=seed)) for seed in (5, 6))
    assert made.score(normal).max() < made.score(other * 3).min()
    for fault in (with_stuck_wave, with_missing_impact):
        broken = seen("level", fault(machine(200, seed=6)))
        assert auroc(made.score(normal), made.score(broken)) > 0.95


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(0, 50))
def test_the_scales_are_the_determinant_of_the_map(size: int, seed: int) -> None:
    flow = moved(size, seed)
    z = torch.randn(size, generator=torch.Generator().manual_seed(seed))
    slope = torch.func.jacrev(lambda row: flow.normal(row[None])[0][0])(z).detach()
    _, logs = flow.normal(z[None])
    expected = torch.linalg.slogdet(slope).logabsdet
    torch.testing.assert_close(logs.sum().detach(), expected, rtol=1e-3, atol=1e-4)


def test_the_density_integrates_to_one() -> None:
    flow, axis = moved(2, seed=2), torch.linspace(-20, 20, 401)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        logs = -flow.surprise(grid).sum(1) - math.log(2 * math.pi)
    step = float(axis[1] - axis[0])
    assert float(logs.exp().sum()) * step**2 == pytest.approx(1, abs=0.02)


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 5))
def test_opposite_halves_are_kept_in_turn(size: int, count: int, seed: int) -> None:
    found = halves(size, count, seed)
    assert len(found) == count
    for first, second in zip(found[::2], found[1::2], strict=False):
        assert torch.equal(first + second, torch.ones(size))
        assert abs(float(first.sum() - second.sum())) <= 1


def test_before_training_it_is_the_mahalanobis_distance() -> None:
    x = normal_examples((2, 3), 200)
    made, distance = NormalisingFlow((2, 3)), Mahalanobis((2, 3))
    module._whiten(made.net, distance, torch.from_numpy(x))
    squares = 2 * made.net.surprise(made.net.standard(torch.from_numpy(x))).mean(1)
    np.testing.assert_allclose(squares.detach().sqrt().numpy(), distance.score(x), rtol=1e-3)


def test_the_channel_that_is_broken_has_the_larger_share() -> None:
    made = NormalisingFlow((2, 4), epochs=2)
    made.fit(normal_examples((2, 4), 300))
    for channel in (0, 1):
        broken = normal_examples((2, 4), 50, seed=7)
        broken[:, channel] += np.float32(4)
        assert (made.contributions(broken)[:, channel] > 0.5).mean() > 0.9


def test_labelled_anomalies_are_not_learned() -> None:
    wild, x = anomalous_examples((1, 6), 40), normal_examples((1, 6), 100)
    alone, mixed = (NormalisingFlow((1, 6), epochs=1) for _ in range(2))
    alone.fit(x)
    mixed.fit(np.concatenate([x, wild]), np.repeat(np.array([0, 1], np.float32), [100, 40]))
    assert np.array_equal(mixed.score(wild), alone.score(wild))


def test_a_few_wild_examples_do_not_widen_what_is_normal() -> None:
    x = ring(400)
    x[::40] *= np.float32(30)
    made = NormalisingFlow(PLANE, epochs=5)
    made.fit(x)
    far = np.full((1, *PLANE), 8, np.float32)
    assert made.score(far)[0] > 2 * np.quantile(made.score(ring(300, seed=5)), 0.99)


def test_examples_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(ModelError, match="40 training examples are all the same"):
        NormalisingFlow((1, 6)).fit(np.ones((40, 1, 6), np.float32))


def test_a_collapse_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def flattened(net: Flow, *_: object, **__: object) -> dict[str, float]:
        for step in net.steps:
            step.get_parameter("scales.bias").data.fill_(-30)
        return {}

    monkeypatch.setattr(module, "train", flattened)
    with pytest.raises(ModelError, match="the flow collapsed"):
        NormalisingFlow((1, 6), steps=8).fit(normal_examples((1, 6), 40))


@pytest.mark.parametrize("shape", [(1, 1), (3, 12), (2, 5, 7)])
def test_onnx_runtime_gives_what_torch_gives_at_any_place(shape: tuple[int, ...]) -> None:
    made = NormalisingFlow(shape, epochs=1, steps=3)
    made.fit(normal_examples(shape, 60))
    program, x = made.compile(64, "onnx"), normal_examples(shape, 64, seed=4)
    np.testing.assert_allclose(program(x), made.score(x), rtol=1e-5, atol=1e-6)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(64)
        assert np.array_equal(program(x[order]), program(x)[order])


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"steps": 0}, "steps is 0; whole numbers from 1 to 64"),
        ({"hidden": 0}, "hidden is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": 0}, "learning_rate is 0"),
    ],
)
def test_parameters_that_make_no_sense_are_named(params: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        NormalisingFlow(PLANE, **params)


def test_a_flow_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"make \d+ weights; at most 100000000"):
        NormalisingFlow((3, 50_176))
