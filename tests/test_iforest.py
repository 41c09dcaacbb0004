"""The isolation forest: its trees, and its scores against those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest

from monitor.detect import build
from monitor.detect.classical.isolation import LEAF, expected_depth, grow, isolation
from monitor.errors import ModelError
from monitor.types import Array
from tests.classical import SHAPE, correlated, fitted, whitened

NODES = 2**7 - 1


def tree_of(z: Array, seed: int) -> tuple[Array, Array, Array]:
    feature, cut, size = np.empty((3, NODES), np.float32)
    grow(z, np.random.default_rng(seed).random((NODES, 2)), feature, cut, size)
    return feature, cut, size


@settings(deadline=None)
@given(rows=st.integers(1, 64), values=st.integers(1, 5), seed=st.integers(0, 999))
def test_a_tree_divides_its_rows_until_they_are_alone_equal_or_deep(
    rows: int, values: int, seed: int
) -> None:
    z = np.random.default_rng(seed).integers(0, values, (rows, 3)).astype(np.float32)
    feature, cut, size = tree_of(z, seed)
    held: dict[int, Array] = {0: z}
    for node in range(NODES):
        if node not in held:
            assert size[node] == 0
            continue
        mine = held[node]
        assert size[node] == len(mine)
        if feature[node] == LEAF:
            assert len(np.unique(mine, axis=0)) == 1 or node >= NODES // 2
            continue
        below = mine[:, int(feature[node])] < cut[node]
        assert below.any()
        assert not below.all()
        held[2 * node + 1], held[2 * node + 2] = mine[below], mine[~below]


def test_a_cut_at_the_lowest_value_leaves_no_side_empty() -> None:
    z = np.array([[0], [0], [1]], np.float32)
    feature, cut, size = np.empty((3, NODES), np.float32)
    grow(z, np.zeros((NODES, 2)), feature, cut, size)
    assert (feature[0], cut[0]) == (0, 1)
    assert size[:3].tolist() == [3, 2, 1]


def test_the_expected_depth_is_that_of_the_paper() -> None:
    assert [expected_depth(n) for n in (0, 1, 2)] == [0, 0, 1]
    harmonic = sum(1 / i for i in range(1, 256))
    assert expected_depth(256) == pytest.approx(2 * harmonic - 2 * 255 / 256, rel=1e-3)


def test_the_score_follows_the_mean_path_through_the_trees() -> None:
    z = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    trees = [np.stack(parts) for parts in zip(*(tree_of(z, s) for s in range(5)), strict=True)]
    feature, cut, size = trees
    for row in z[:10]:
        depths = []
        for t in range(5):
            node = depth = 0
            while feature[t, node] != LEAF:
                node = 2 * node + 1 + int(row[int(feature[t, node])] >= cut[t, node])
                depth += 1
            depths.append(depth + expected_depth(size[t, node]))
        expected = 2 ** (-np.mean(depths) / expected_depth(40))
        assert isolation(row[None], feature, cut, size)[0] == pytest.approx(expected, rel=1e-5)


def test_scores_are_those_of_scikit_learn_but_for_chance() -> None:
    x, new = correlated(600), correlated(300, seed=1) * np.float32(1.2)
    made = fitted("iforest", x, trees=200, trim=0.0)
    peer = IsolationForest(n_estimators=200, random_state=1).fit(whitened(made, x))
    expected = -peer.score_samples(whitened(made, new))
    ours = made.score(new) * made.state()["level"]
    assert np.corrcoef(ours, expected)[0, 1] > 0.92
    assert np.median(ours / expected) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("sample", [4, 100, 256])
def test_fewer_examples_than_a_sample_are_enough(sample: int) -> None:
    made = fitted("iforest", correlated(40), sample=sample, trees=10)
    assert made.state()["size"][:, 0].tolist() == [min(38, sample)] * 10


@pytest.mark.parametrize("wrong", [8, 0.5, -2])
def test_a_cut_of_what_is_no_dimension_is_refused(wrong: float) -> None:
    state = fitted("iforest", correlated(60), trees=4).state()
    state["feature"][1, 0] = wrong
    with pytest.raises(ModelError, match="'feature' holds what is no dimension"):
        build("iforest", SHAPE, trees=4).restore(state)


def test_trees_that_lead_nowhere_are_refused() -> None:
    made = fitted("iforest", correlated(60), trees=4)
    state = made.state()
    state["feature"][1, -1] = 0
    with pytest.raises(ModelError, match="a cut of a leaf"):
        build("iforest", SHAPE, trees=4).restore(state)
    state = made.state()
    state["size"][1, 2] = 0
    with pytest.raises(ModelError, match="a node without a training example"):
        build("iforest", SHAPE, trees=4).restore(state)
