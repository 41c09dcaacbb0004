"""Deep one-class features: descriptive of other classes, compact for the normal one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from monitor.detect.deep.doc import DeepOneClass, _DescriptiveCompact
from monitor.errors import ConfigError, ModelError
from monitor.testing import anomalous_examples, normal_examples
from monitor.types import Array

SHAPE = (1, 12, 12)
QUICK: dict[str, Any] = {"epochs": 2, "latent": 8, "widths": [4, 8], "batch": 32}


def lesson(*labels: int) -> tuple[Array, Array]:
    """120 normal examples, and 40 of each further label: turned in its own way."""
    x = normal_examples(SHAPE, 120)
    others = [np.rot90(x[:40], label, (2, 3)) for label in labels]
    y = np.repeat(np.array([-1, *labels], np.float32), [120, *(40 for _ in labels)])
    return np.ascontiguousarray(np.concatenate([x, *others])), y


@pytest.mark.parametrize("head", DeepOneClass.heads)
def test_what_is_odd_scores_higher_by_every_head(head: str) -> None:
    made = DeepOneClass(SHAPE, head=head, **QUICK)
    made.fit(*lesson(2, 3))
    x = np.concatenate([normal_examples(SHAPE, 60, 9), anomalous_examples(SHAPE, 60)])
    assert roc_auc_score(np.repeat([0, 1], 60), made.score(x)) > 0.95


def test_known_anomalies_teach_nothing() -> None:
    x, y = lesson(2, 3)
    alone, beside = (DeepOneClass(SHAPE, **QUICK) for _ in range(2))
    alone.fit(x, y)
    known = anomalous_examples(SHAPE, 10)
    beside.fit(np.concatenate([known, x]), np.concatenate([np.ones(10, np.float32), y]))
    assert np.array_equal(alone.score(x), beside.score(x))


@pytest.mark.parametrize("labels", [(), (2,)])
def test_too_few_reference_classes_are_refused(labels: tuple[int, ...]) -> None:
    told = rf"have {len(labels)} reference classes .*needs at least 2.*or take l2_softmax"
    with pytest.raises(ModelError, match=told):
        DeepOneClass(SHAPE, **QUICK).fit(*lesson(*labels))


def test_compactness_is_the_distance_from_the_mean_of_the_other_normal_ones() -> None:
    torch.manual_seed(0)
    classifier = _DescriptiveCompact(4, 2, 0.1)
    rows, y = torch.randn(6, 4), torch.tensor([0, 1, 0, 2, 0, 1])
    losses = classifier(rows, y).detach()
    own = rows[y == 0]
    for place in range(3):
        rest = own[[n for n in range(3) if n != place]].mean(0)
        expected = 0.1 * float((own[place] - rest).square().mean())
        assert float(losses[y == 0][place]) == pytest.approx(expected, rel=1e-4)
    told = classifier.linear(rows).log_softmax(1).detach()
    assert float(losses[3]) == pytest.approx(-float(told[3, 1]), rel=1e-4)


def test_lengths_of_features_count() -> None:
    """Unlike l2_softmax, which looks at directions alone."""
    made = DeepOneClass(SHAPE, head="euclid", **QUICK)
    made.fit(*lesson(2, 3))
    x = normal_examples(SHAPE, 20, seed=9)
    assert (made.score(5 * x) > made.score(x)).all()


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"head": "layers"}, "head is 'layers'; valid are lof, euclid, mahalanobis"),
        ({"compact": 0}, "compact is 0; numbers over 0"),
    ],
)
def test_wrong_parameters_are_told(params: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        DeepOneClass(SHAPE, **params)
