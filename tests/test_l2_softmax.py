"""Metric learning: what a few labels and other known classes teach, for every kind of example."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import roc_auc_score
from torch import nn

from monitor.detect import build
from monitor.detect.deep.adacos import _Adaptive
from monitor.detect.deep.judges import HEADS, unit
from monitor.detect.deep.l2_softmax import L2Softmax, _Scaled
from monitor.detect.deep.layered import Layered
from monitor.detect.deep.lessons import classes_of, references_of, turned, varied
from monitor.detect.deep.metric import _trimmed
from monitor.detect.deep.nets import encoder
from monitor.detect.deep.onnx_backend import available
from monitor.detect.deep.training import Examples
from monitor.errors import ConfigError, ModelError
from monitor.model import Model
from monitor.recipe import Recipe, train
from monitor.testing import normal_examples
from monitor.types import Array

SHAPES = {"window": (2, 32), "spectrogram": (16, 12), "frame": (1, 12, 12)}
QUICK: dict[str, Any] = {"epochs": 2, "latent": 8, "widths": [4, 8], "batch": 32}
LONGER: dict[str, Any] = {"epochs": 6, "latent": 8, "widths": [8, 16], "batch": 32}


def faint(shape: tuple[int, ...], count: int, seed: int) -> Array:
    """A fault that is easily missed: a little more in the first quarter of the last axis."""
    x = normal_examples(shape, count, seed)
    x[..., : shape[-1] // 4] += np.float32(0.5)
    return x


def other(shape: tuple[int, ...], count: int, seed: int) -> Array:
    """Another fault: neighbours of the last axis alternate."""
    x = normal_examples(shape, count, seed)
    return x + np.float32(1.5) * (-1) ** np.arange(shape[-1], dtype=np.float32)


def auroc(detector: Any, odd: Array) -> float:
    fresh = normal_examples(detector.shape, 100, seed=9)
    truth = np.repeat([0, 1], [len(fresh), len(odd)])
    return float(roc_auc_score(truth, detector.score(np.concatenate([fresh, odd]))))


def taught(name: str, shape: tuple[int, ...], known: int, **params: Any) -> Any:
    made = build(name, shape, **params)
    x = np.concatenate([normal_examples(shape, 200), faint(shape, known, 7)])
    made.fit(x, np.repeat(np.array([-1, 1], np.float32), [200, known]))
    return made


@pytest.mark.parametrize(
    ("name", "kind"),
    [("l2_softmax", "window"), ("l2_softmax", "spectrogram"), ("adacos", "frame")],
)
def test_a_few_labels_find_more_of_what_they_show_and_lose_nothing_else(
    name: str, kind: str
) -> None:
    shape = SHAPES[kind]
    plain, weak = (taught(name, shape, known, **LONGER) for known in (0, 10))
    shown, hidden = faint(shape, 100, 10), other(shape, 100, 11)
    assert auroc(weak, shown) > max(auroc(plain, shown) + 0.1, 0.9)
    assert auroc(weak, hidden) > max(auroc(plain, hidden) - 0.08, 0.9)


@pytest.fixture(scope="module")
def lasting() -> L2Softmax:
    """One that was trained for long enough, to be judged by other heads."""
    made: L2Softmax = taught("l2_softmax", SHAPES["spectrogram"], 10, **LONGER)
    return made


@pytest.mark.parametrize("head", HEADS)
def test_every_head_scores_what_is_odd_higher(head: str, lasting: L2Softmax) -> None:
    shape = lasting.shape
    lasting.rejudge(head, normal_examples(shape, 200))
    assert auroc(lasting, faint(shape, 100, 10)) > 0.75
    again = L2Softmax(shape, head=head, **LONGER)
    again.restore(lasting.state())
    x = normal_examples(shape, 5, seed=3)
    assert np.array_equal(lasting.score(x), again.score(x))
    assert again.compile(5, "torch")(x).tolist() == again.score(x).tolist()


def test_judging_anew_by_another_head_leaves_the_net_alone() -> None:
    made = taught("l2_softmax", (2, 32), 10, **QUICK)
    direct = taught("l2_softmax", (2, 32), 10, head="euclid", **QUICK)
    x = np.concatenate([normal_examples((2, 32), 200), faint((2, 32), 10, 7)])
    made.rejudge("euclid", x, np.repeat(np.array([-1, 1], np.float32), [200, 10]))
    assert np.array_equal(made.score(x), direct.score(x))


@pytest.mark.skipif(not available(), reason="the extra `fast` is not installed")
def test_onnx_runtime_gives_the_same_scores(lasting: L2Softmax) -> None:
    lasting.rejudge("layers", normal_examples(lasting.shape, 200))
    x = normal_examples(lasting.shape, 8, seed=3)
    program = lasting.compile(8, "onnx")
    assert program.backend == "onnx"
    assert np.allclose(program(x), lasting.score(x), rtol=1e-3)
    assert np.array_equal(program(x[::-1].copy())[::-1], program(x))


def test_embeddings_are_of_one_length_each_for_itself() -> None:
    """A norm of the whole batch would make losses depend on the others in it."""
    torch.manual_seed(0)
    classifier = _Scaled(4, 3, 8.0)
    rows, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    alone = torch.cat([classifier(rows[n : n + 1], y[n : n + 1]) for n in range(6)])
    assert torch.allclose(classifier(rows, y), alone, atol=1e-5)
    assert torch.allclose(classifier(rows * 100, y), alone, atol=1e-4)
    logits = 8 * rows / rows.norm(dim=1, keepdim=True) @ classifier.linear.weight.T
    told = (logits + classifier.linear.bias).log_softmax(1)[torch.arange(6), y]
    assert torch.allclose(alone, -told, atol=1e-5)


def test_adacos_begins_with_its_fixed_scale_and_follows_the_angles() -> None:
    classifier = _Adaptive(8, 10)
    assert classifier.scale == pytest.approx(math.sqrt(2) * math.log(9))
    y = torch.arange(10)
    own = classifier.centres.detach().clone()
    classifier(own, y)
    cosines = nn.functional.normalize(own, dim=1) @ nn.functional.normalize(own, dim=1).T
    wrong = torch.exp(math.sqrt(2) * math.log(9) * cosines).sum(1) - 9 ** math.sqrt(2)
    assert classifier.scale == pytest.approx(max(math.log(float(wrong.mean())), 1.0), rel=1e-3)
    before = classifier.scale
    classifier.eval()(own.flip(0), y)
    assert classifier.scale == before


def test_a_batch_holds_the_classes_it_was_asked_for() -> None:
    x = torch.arange(40.0)[:, None, None].expand(40, 1, 16) * 10
    y = torch.tensor([-1.0] * 20 + [2.0] * 8 + [5.0] * 8 + [1.0] * 4)
    classes = classes_of(Examples(x, y))
    assert classes.counts.tolist() == [20, 8, 8, 4, 20]
    drawn = classes.draw(torch.tensor([0, 1, 2, 3] * 50), torch.Generator().manual_seed(0))
    level = (drawn.median(2).values[:, 0] / 10).reshape(50, 4)
    for place, (low, high) in enumerate([(0, 19), (20, 27), (28, 35), (36, 39)]):
        assert level[:, place].min() >= 0.9 * low - 0.1
        assert level[:, place].max() <= 1.1 * high + 0.1
    assert references_of(Examples(x, y)).counts.tolist() == [20, 8, 8]


def test_without_other_classes_normal_examples_are_turned() -> None:
    x = torch.randn(20, 1, 8, 8)
    quarters = turned(x)
    assert len(quarters) == 3
    assert any(torch.equal(found, torch.rot90(x, 1, (2, 3))) for found in quarters)
    assert classes_of(Examples(x, torch.full((20,), -1.0))).counts.tolist() == [20] * 5
    assert len(turned(torch.randn(20, 2, 16))) == 4


def test_a_pasted_example_holds_a_piece_of_another_at_another_place() -> None:
    x = torch.cat([torch.zeros(20, 1, 12, 12), torch.full((20, 1, 12, 12), 9.0)])
    classes = classes_of(Examples(x, torch.tensor([-1.0] * 20 + [2.0] * 20)))
    drawn = classes.draw(torch.full((200,), 2), torch.Generator().manual_seed(0))
    share = (drawn > 4).float().mean((1, 2, 3))
    assert ((share == 0) | ((share > 0.01) & (share < 0.5))).all()
    assert 0.1 < float((share > 0).float().mean()) < 0.5


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(sorted(SHAPES)), st.integers(0, 2**31))
def test_what_is_varied_is_still_nearly_the_same(kind: str, seed: int) -> None:
    x = torch.ones(4, *SHAPES[kind])
    found = varied(x, torch.Generator().manual_seed(seed))
    assert found.shape == x.shape
    assert float((found.flatten(1).mean(1) - 1).abs().max()) < 0.25


def test_the_looks_count_in_units_of_what_is_usual_at_each_place() -> None:
    net = Layered(encoder((1, 16, 16), [4, 8], 4), (1, 16, 16)).eval()
    x = torch.randn(300, 1, 16, 16)
    net.settle(x, 0.05)
    with torch.no_grad():
        looks, louder = (net(given)[:, :8].mean(1) for given in (x, 2 * x))
    assert 0.7 < float(looks.mean()) < 1.0
    assert float(louder.min()) > float(looks.median())


def test_the_worst_normal_examples_do_not_count_from_the_third_epoch_on() -> None:
    losses, y = torch.tensor([1.0] * 19 + [100.0, 3.0]), torch.tensor([0] * 20 + [1])
    assert float(_trimmed(losses, y, 2)) == pytest.approx(122 / 21)
    assert float(_trimmed(losses, y, 3)) == pytest.approx(22 / 20)


@settings(deadline=None)
@given(arrays.arrays(np.float32, (5, 3), elements=st.floats(-100, 100, width=32)))
def test_unit_rows_have_length_one_or_are_zero(rows: Array) -> None:
    length = np.linalg.norm(unit(rows).astype(np.float64), axis=1)
    given_length = np.linalg.norm(rows.astype(np.float64), axis=1)
    assert np.allclose(length[given_length > 1e-6], 1, atol=1e-4)
    assert (length[given_length == 0] == 0).all()


def test_other_classes_and_known_faults_are_learned_through_a_recipe() -> None:
    shape = (1, 144)
    recipe = Recipe("l2_softmax", "m", shape, ("gray",), 1.0, QUICK, {"frame": [12, 12]})
    normal = 127 + 40 * normal_examples((1, 12, 12), 80).reshape(-1, *shape)
    catalogue = 127 + 40 * np.concatenate([-normal_examples((1, 12, 12), 40)] * 2)
    labels = np.repeat(np.array([2, 3], np.float32), 40)
    windows = {"camera": normal, "catalogue": catalogue.reshape(-1, *shape)}
    model = train(recipe, windows, {"catalogue": labels})
    assert isinstance(model, Model)
    assert model.manifest.metrics["classes"] == 4
    assert 0.2 < np.median(model.calibration) < 5


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"head": "knn"}, "head is 'knn'; valid are layers, lof, euclid, mahalanobis"),
        ({"alpha": 0}, "alpha is 0; numbers over 0"),
        ({"alpha": True}, "alpha is True"),
        ({"widths": []}, "widths is"),
        ({"epochs": 0}, "epochs is 0"),
    ],
)
def test_wrong_parameters_are_told(params: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        L2Softmax((2, 32), **params)


def test_examples_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(ModelError, match="collapsed: all 40 training examples have the score"):
        L2Softmax((1, 16), **QUICK).fit(np.ones((40, 1, 16), np.float32))


def test_arrays_of_another_head_are_refused() -> None:
    made = taught("l2_softmax", (2, 32), 10, **QUICK)
    with pytest.raises(ModelError, match="do not fit"):
        L2Softmax((2, 32), head="euclid", **QUICK).restore(made.state())
    bent = {**made.state(), "head/exponents": np.array([-1, 2], np.float32)}
    with pytest.raises(ModelError, match="exponents"):
        L2Softmax((2, 32), **QUICK).restore(bent)
