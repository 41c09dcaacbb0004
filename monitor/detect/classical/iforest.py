"""Isolation forest: what a few random cuts set apart from the training examples is unusual.

Liu, Ting and Zhou, "Isolation forest", ICDM 2008. The cuts go across whitened dimensions, so that
they are not bound to the axes (the weakness that Hariri, Carrasco Kind and Brunner, "Extended
isolation forest", IEEE TKDE 33, 2021, describe).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from monitor.detect.classical.crosswise import whole
from monitor.detect.classical.isolation import LEAF, grow, isolation, surprises
from monitor.detect.classical.rows import TRIM, Shapes
from monitor.detect.classical.whitened import WhitenedDetector
from monitor.errors import ModelError
from monitor.types import Array, State


class IsolationForest(WhitenedDetector):
    """Scores how short the paths of an example are in `trees` trees of random cuts, each grown
    from `sample` training examples: `2 ** -(mean depth / expected depth)`, in units of what it is
    for a normal example: about 1, and seldom over 2.

    `trim` is the share of training examples that are left out because they score highest; `most`
    are learned from, drawn with `seed`. Raises ConfigError for values that cannot be used.
    """

    view: ClassVar[str] = "statistics"

    def __init__(
        self,
        shape: Sequence[int],
        *,
        trees: int = 100,
        sample: int = 256,
        trim: float = TRIM,
        most: int = 2000,
        seed: int = 0,
    ) -> None:
        super().__init__(shape, trim=trim, most=most, seed=seed)
        self.trees = whole("trees", trees, 1)
        self.sample = whole("sample", sample, 4)

    def _learned_white(self, rows: Array) -> State:
        random = np.random.default_rng(self.seed)
        nodes = self._nodes()
        forest = {name: np.empty((self.trees, nodes), np.float32) for name in _ARRAYS}
        count = min(self.sample, len(rows))
        for tree in range(self.trees):
            drawn = rows[random.choice(len(rows), count, replace=False)]
            grow(drawn, random.random((nodes, 2)), *(forest[name][tree] for name in _ARRAYS))
        return forest

    def _raw_white(self, arrays: State, rows: Array) -> Array:
        return isolation(rows, *(arrays[name] for name in _ARRAYS))

    def _off(self, arrays: State, rows: Array) -> Array:
        return surprises(rows, *(arrays[name] for name in _ARRAYS))

    def _kept_white(self, state: State) -> Shapes:
        return dict.fromkeys(_ARRAYS, (self.trees, self._nodes()))

    def _check(self, arrays: State) -> None:
        super()._check(arrays)
        feature, size = arrays["feature"], arrays["size"]
        inner = feature != LEAF
        deepest = feature.shape[1] // 2
        if inner[:, deepest:].any() or not np.isin(feature[inner], range(self.size)).all():
            raise ModelError("'feature' holds what is no dimension, or a cut of a leaf")
        if size[0, 0] < 2 or (size[:, 1:][_children(inner)] < 1).any():
            raise ModelError("'size' holds a node without a training example")

    def _nodes(self) -> int:
        """How many nodes a tree of the usual greatest depth has."""
        return int(2 ** (math.ceil(math.log2(self.sample)) + 1)) - 1


_ARRAYS = ("feature", "cut", "size")


def _children(inner: Any) -> Any:
    """Which nodes but the root have a parent that is cut: `(trees, nodes) -> (trees, nodes-1)`."""
    return np.repeat(inner[:, : inner.shape[1] // 2], 2, axis=1)
