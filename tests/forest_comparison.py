"""The compiled online isolation forest beside the published algorithm: ROC AUC and memory.

`python -m tests.forest_comparison` prints the table of docs/online_iforest.md. Both see the same
rows in the same order, score each before they learn it, and have the same trees, window and leaf;
the first rows, on which the compiled one has no opinion, count for neither.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import river.datasets
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.metrics import roc_auc_score

from monitor.detect.online.online_iforest import OnlineIsolationForest
from monitor.types import Array
from tests.published_forest import Forest

DATA = Path(os.environ.get("MONITOR_DATA", Path(__file__).parents[1] / "../shared/data"))
SKAB = DATA / "skab/data/valve1/0.csv"
TREES, WINDOW, LEAF = 32, 256, 16
Set = tuple[Array, NDArray[np.bool_]]
Made = tuple[float, int]  # ROC AUC, bytes of memory


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
    """The same, wandering."""
    return clusters(drift=10.0)


def shuttle() -> Set:
    """Sensors of a space shuttle: 1,000 of the rows that ship with river."""
    path = Path(river.datasets.__file__).parent / "shuttle.csv.gz"
    rows = pd.read_csv(path).to_numpy(np.float32)
    rows = rows[np.random.default_rng(0).permutation(len(rows))[:1000]]
    return rows[:, :-1], rows[:, -1] > 0


def rare(x: NDArray[np.float64], odd: NDArray[np.bool_], count: int, times: int = 2) -> Set:
    """All normal rows and so many odd ones, shuffled, more than once over."""
    random = np.random.default_rng(0)
    some = random.choice(np.flatnonzero(odd), count, replace=False)
    kept = random.permutation(np.tile(np.concatenate([np.flatnonzero(~odd), some]), times))
    return x[kept].astype(np.float32), odd[kept]


def breast_cancer() -> Set:
    """Cells of the breast; malignant ones are the anomalies."""
    x, y = load_breast_cancer(return_X_y=True)
    return rare(x, y == 0, 30)


def digits() -> Set:
    """Zeros among which are other digits."""
    x, y = load_digits(return_X_y=True)
    return rare(x, y != 0, 15)


def wine() -> Set:
    """Chemistry of wines of two growers, and a few of a third."""
    x, y = load_wine(return_X_y=True)
    return rare(x, y == 2, 8, times=6)


def water_circuit() -> Set:
    """SKAB, valve 1, run 0: eight sensors at 1 Hz, a valve is closed in the second half."""
    table = pd.read_csv(SKAB, sep=";")
    return table.iloc[:, 1:9].to_numpy(np.float32), table["anomaly"].to_numpy() > 0


SETS: tuple[Callable[[], Set], ...] = (
    clusters,
    drifting,
    shuttle,
    breast_cancer,
    digits,
    wine,
    water_circuit,
)


def auc(scores: NDArray[np.float64], odd: NDArray[np.bool_]) -> float:
    """Of the points that both algorithms score."""
    return float(roc_auc_score(odd[4 * LEAF + 1 :], scores[4 * LEAF + 1 :]))


def published(x: Array, odd: NDArray[np.bool_], seed: int) -> Made:
    """The published algorithm, written for reading; its memory is that of its Python objects."""
    forest = Forest(TREES, WINDOW, LEAF, seed=seed)
    scores = []
    for point in x.astype(np.float64):
        scores.append(forest.score(point))
        forest.learn(point)
    return auc(np.array(scores), odd), memory_of(forest)


def compiled(x: Array, odd: NDArray[np.bool_], seed: int) -> Made:
    """The product's."""
    forest = OnlineIsolationForest(x.shape[1:], trees=TREES, window=WINDOW, leaf=LEAF, seed=seed)
    always = np.full(1, np.inf, np.float32)
    slot = np.zeros(1, np.int64)
    scores = [forest.score_learn(slot, row[None], always)[0] for row in x]
    return auc(np.array(scores), odd), sum(part.nbytes for part in forest._forest)


def memory_of(thing: object, seen: set[int] | None = None) -> int:
    """Bytes of an object and everything it holds, each once."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, np.random.Generator):
        return 0
    seen.add(id(thing))
    held = list(vars(thing).values()) if hasattr(thing, "__dict__") else []
    if isinstance(thing, list | tuple) or type(thing).__name__ == "deque":
        held += list(thing)  # type: ignore[call-overload]
    return sys.getsizeof(thing) + sum(memory_of(part, seen) for part in held)


def compare(load: Callable[[], Set], seeds: int) -> str:
    """One line of the table."""
    x, odd = load()
    theirs = [published(x, odd, seed) for seed in range(seeds)]
    ours = [compiled(x, odd, seed) for seed in range(seeds)]
    told = [_told(np.array([made[0] for made in side])) for side in (theirs, ours)]
    sizes = [f"{np.mean([made[1] for made in side]) / 1024:.0f} KiB" for side in (theirs, ours)]
    rows = f"{len(x):,} x {x.shape[1]}, {100 * odd.mean():.0f} %"
    cells = [load.__name__.replace("_", " "), rows, *told, *sizes]
    return f"| {' | '.join(cells)} |"


def _told(found: NDArray[np.float64]) -> str:
    return f"{found.mean():.3f} +- {found.std(ddof=1):.3f}, {found.min():.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    seeds = parser.parse_args().seeds
    columns = "set", "rows, anomalies", "published: mean +- deviation, worst", "ours"
    print(f"| {' | '.join(columns)} | memory, published | ours |")
    print("|---|---|---|---|---|---|")
    for load in SETS:
        if load is not water_circuit or SKAB.exists():
            print(compare(load, seeds), flush=True)


if __name__ == "__main__":
    main()
