"""FastFlow, and the flow of maps inside of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from monitor.detect.deep.training import one_thread
from monitor.detect.images.fastflow import FastFlow
from monitor.detect.images.plane_flow import PlaneFlow, plane_flow
from monitor.errors import ConfigError, ModelError
from monitor.protocols import Localiser, Trainable
from monitor.testing import anomalous_examples
from tests.plates import plates, scratched

SIDE = 64
SHAPE = (1, SIDE, SIDE)
QUICK: dict[str, Any] = {"dimensions": 16, "epochs": 4, "batch": 8, "steps": 4}


@cache
def trained() -> FastFlow:
    made = FastFlow(SHAPE, **QUICK)
    made.fit(plates(60, side=SIDE))
    return made


def flow(size: int, seed: int) -> PlaneFlow:
    """A flow whose couplings are no permutations."""
    made = plane_flow(size, 3, 8, seed).double()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.steps.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=random))
    return made


def test_it_is_trainable_and_localises() -> None:
    detector: Any = trained()
    assert isinstance(detector, Trainable)
    assert isinstance(detector, Localiser)


def test_a_normal_frame_scores_about_one() -> None:
    assert np.median(trained().score(plates(30, 5, SIDE))) == pytest.approx(1, abs=0.4)


def test_scratches_are_found_and_shown() -> None:
    normal, (faulty, mask) = plates(30, 5, SIDE), scratched(plates(30, 6, SIDE))
    scores = trained().score(np.concatenate([normal, faulty]))
    assert roc_auc_score(np.repeat([0, 1], 30), scores) > 0.95
    maps = trained().heat_maps(faulty)
    assert maps.shape == (30, SIDE, SIDE)
    assert (maps >= 0).all()
    assert roc_auc_score(mask.ravel(), maps.ravel()) > 0.75


def test_what_is_normal_elsewhere_but_not_here_is_found() -> None:
    """Every patch of the lower half is normal in the upper one; only their order is not."""
    normal = plates(30, 5, SIDE)
    cut = np.concatenate([normal[:, :, SIDE // 2 :], normal[:, :, : SIDE // 2]], axis=2)
    scores = trained().score(np.concatenate([normal, cut]))
    assert roc_auc_score(np.repeat([0, 1], 30), scores) > 0.8


def test_onnx_runtime_gives_what_torch_gives() -> None:
    x = plates(4, 7, SIDE)
    fast = trained().compile(4, "onnx")
    assert fast.backend == "onnx"
    np.testing.assert_allclose(fast(x), trained().score(x), rtol=1e-3, atol=1e-4)


def test_labelled_anomalies_are_not_learned() -> None:
    x, wild = plates(30, side=SIDE), anomalous_examples(SHAPE, 6)
    quick = {**QUICK, "epochs": 1}
    alone, mixed = FastFlow(SHAPE, **quick), FastFlow(SHAPE, **quick)
    alone.fit(x)
    labels = np.repeat(np.array([0, 1], np.float32), [30, 6])
    mixed.fit(np.concatenate([x, wild]), labels)
    assert np.array_equal(alone.score(x), mixed.score(x))


def test_the_training_tells_its_health() -> None:
    assert {"loss", "epochs", "spread", "dead_latents", "ties"} <= trained().metrics.keys()


def test_a_state_of_another_flow_is_refused_and_changes_nothing() -> None:
    made, x = FastFlow(SHAPE, **{**QUICK, "hidden": 16}), plates(3, 5, SIDE)
    with pytest.raises(ModelError, match="valid is finite float32"):
        made.restore(trained().state())
    with pytest.raises(ModelError, match="knows nothing yet"):
        made.score(x)
    state = trained().state()
    with pytest.raises(ModelError, match="'weight'"):
        FastFlow(SHAPE, **QUICK).restore({**state, "weight": -state["weight"]})


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"top": 0}, "top is 0"),
        ({"dimensions": 1}, "dimensions is 1; whole numbers from 2"),
        ({"epochs": 0}, "epochs is 0"),
        ({"blocks": [3, 2]}, "blocks"),
    ],
)
def test_parameters_that_make_no_sense_are_named(params: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        FastFlow(SHAPE, **params)


# --- the flow -------------------------------------------------------------------------------


def test_an_untrained_flow_leaves_the_density_as_it_is() -> None:
    made, z = plane_flow(6, 4, 8, 0), torch.randn(2, 6, 5, 4)
    ended, logs = made.normal(z)
    assert torch.equal(logs, torch.zeros(2, 5, 4))
    torch.testing.assert_close(ended.sort(1).values, z.sort(1).values)


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 5), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_the_logarithms_of_the_scales_are_those_of_the_jacobian(
    size: int, rows: int, columns: int, seed: int
) -> None:
    made = flow(size, seed)
    z = torch.randn(1, size, rows, columns, dtype=torch.float64)

    def through(flat: torch.Tensor) -> torch.Tensor:
        return made.normal(flat.reshape(z.shape))[0].flatten()

    with one_thread():
        jacobian: Any = torch.func.jacrev(through)(z.flatten())
        _, logs = made.normal(z)
    torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, logs.sum())


def test_a_place_is_judged_by_its_neighbours_too() -> None:
    made, z = flow(4, 1), torch.zeros(1, 4, 11, 11, dtype=torch.float64)
    changed = z.clone()
    changed[0, :, 5, 5] = 2
    different = ((made.surprise(changed) - made.surprise(z)).abs() > 1e-9)[0]
    assert different[4:7, 4:7].all()
    different[1:10, 1:10] = False
    assert not different.any()
