"""The compiled forest detects as well as the published algorithm: ROC AUC, scored before learned.

Both see the same rows; the compiled one runs with several seeds, since a forest's AUC varies with
its seed. The first rows, on which neither has an opinion, do not count.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import river.datasets
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import roc_auc_score

from monitor.detect.online.online_iforest import OnlineIsolationForest
from monitor.types import Array
from tests.published_forest import Forest

DATA = Path(os.environ.get("MONITOR_DATA", Path(__file__).parents[1] / "../shared/data"))
WINDOW, LEAF, SEEDS = 256, 16, 16
Set = tuple[Array, NDArray[np.bool_]]


def clusters(drift: float = 0.0) -> Set:
    """Three round clusters, and 5 % anomalies anywhere; all of it may wander."""
    random = np.random.default_rng(0)
    odd = random.random(1000) < 0.05
    centres = random.normal(0, 4, (3, 4))
    x = centres[random.integers(3, size=1000)] + random.normal(size=(1000, 4))
    x[odd] = random.uniform(-12, 12, (int(odd.sum()), 4))
    x += np.linspace(0, drift, 1000)[:, None]
    return x.astype(np.float32), odd


def drifting() -> Set:
    return clusters(drift=10.0)


def shuttle() -> Set:
    """Sensors of a space shuttle: 1,000 of the rows that ship with river."""
    path = Path(river.datasets.__file__).parent / "shuttle.csv.gz"
    rows = pd.read_csv(path).to_numpy(np.float32)
    rows = rows[np.random.default_rng(0).permutation(len(rows))[:1000]]
    return rows[:, :-1], rows[:, -1] > 0


def rare(x: NDArray[np.float64], odd: NDArray[np.bool_], count: int) -> Set:
    """All normal rows and so many odd ones, shuffled, twice over."""
    random = np.random.default_rng(0)
    some = random.choice(np.flatnonzero(odd), count, replace=False)
    kept = random.permutation(np.tile(np.concatenate([np.flatnonzero(~odd), some]), 2))
    return x[kept].astype(np.float32), odd[kept]


def breast_cancer() -> Set:
    x, y = load_breast_cancer(return_X_y=True)
    return rare(x, y == 0, 30)


def digits() -> Set:
    x, y = load_digits(return_X_y=True)
    return rare(x, y != 0, 15)


def water_circuit() -> Set:
    """SKAB, valve 1, run 0: eight sensors at 1 Hz, a valve is closed in the second half."""
    path = DATA / "skab/data/valve1/0.csv"
    if not path.exists():
        pytest.skip(f"{path} is absent; set MONITOR_DATA to the folder that holds skab/")
    table = pd.read_csv(path, sep=";")
    return table.iloc[:, 1:9].to_numpy(np.float32), table["anomaly"].to_numpy() > 0


def auc(scores: NDArray[np.float64], odd: NDArray[np.bool_]) -> float:
    """Of the points that both algorithms score."""
    return float(roc_auc_score(odd[4 * LEAF + 1 :], scores[4 * LEAF + 1 :]))


def published(x: Array, odd: NDArray[np.bool_], seed: int) -> float:
    forest = Forest(window=WINDOW, leaf=LEAF, seed=seed)
    scores = []
    for point in x.astype(np.float64):
        scores.append(forest.score(point))
        forest.learn(point)
    return auc(np.array(scores), odd)


def compiled(x: Array, odd: NDArray[np.bool_], seed: int) -> float:
    forest = OnlineIsolationForest(x.shape[1:], window=WINDOW, leaf=LEAF, seed=seed)
    always = np.full(1, np.inf, np.float32)
    slot = np.zeros(1, np.int64)
    scores = [forest.score_learn(slot, row[None], always)[0] for row in x]
    return auc(np.array(scores), odd)


@pytest.mark.parametrize(
    "load", [clusters, drifting, shuttle, breast_cancer, digits, water_circuit]
)
def test_it_detects_as_well_as_the_published_algorithm(load: Callable[[], Set]) -> None:
    """Within what the noise of the means leaves: three standard errors, or .01 where less."""
    x, odd = load()
    theirs = [published(x, odd, seed) for seed in range(3)]
    ours = [compiled(x, odd, seed) for seed in range(SEEDS)]
    error = np.hypot(np.std(theirs, ddof=1) / np.sqrt(3), np.std(ours, ddof=1) / np.sqrt(SEEDS))
    assert np.mean(ours) > np.mean(theirs) - max(0.01, 3 * error)


def test_the_published_forest_scores_a_far_point_highest() -> None:
    """The yardstick itself: it splits, it forgets, and it tells far from near."""
    random = np.random.default_rng(0)
    forest = Forest(window=128, leaf=8)
    assert forest.score(np.zeros(2)) == 1
    for point in random.normal(size=(300, 2)):
        forest.learn(point)
    near = np.mean([forest.score(point) for point in random.normal(size=(50, 2))])
    assert forest.score(np.array([9.0, 9.0])) > near + 0.1
    assert all(root is not None and root.count == 128 for root in forest.roots)
