"""The online isolation forest as published, written for reading: objects, recursion, real points.

F. Leveni, G. Weigert Cassales, B. Pfahringer, A. Bifet, G. Boracchi: Online Isolation Forest, ICML
2024. The product's compiled forest is measured against this one.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass
class Split:
    """An axis-parallel cut with the two nodes it makes."""

    feature: int
    threshold: float
    left: Node
    right: Node

    def side(self, point: Points) -> Node:
        """The child whose half of the space holds the point."""
        return self.left if point[self.feature] < self.threshold else self.right


@dataclass
class Node:
    """A bin of the histogram: how many points, in which box, how deep; a leaf without a split."""

    count: int
    low: Points
    high: Points
    depth: int
    split: Split | None = None


class Forest:
    """`trees` trees over a window of points; `score` before `learn` is the prequential order."""

    def __init__(
        self,
        trees: int = 32,
        window: int = 2048,
        leaf: int = 32,
        growth: Literal["adaptive", "fixed"] = "adaptive",
        seed: int = 0,
    ) -> None:
        self.leaf = leaf
        self.growth = growth
        self.random = np.random.default_rng(seed)
        self.window: deque[Points] = deque()
        self.size = window
        self.roots: list[Node | None] = [None] * trees

    def score(self, point: Points) -> float:
        """`2 ** -(mean depth / expected depth)`."""
        depths = [self._depth(root, point) for root in self.roots if root is not None]
        if not depths:
            return 1.0
        normal = self._expected(len(self.window)) + np.finfo(float).eps
        return float(2.0 ** -(np.mean(depths) / normal))

    def learn(self, point: Points) -> None:
        """Put the point into every tree, and take the oldest out where the window is over-full."""
        self.window.append(point)
        self.roots = [self._learn(root, point) for root in self.roots]
        if len(self.window) > self.size:
            oldest = self.window.popleft()
            for root in self.roots:
                if root is not None:
                    self._forget(root, oldest)

    def _expected(self, count: int) -> float:
        """Depth of a random tree over so many points, for two branches."""
        return math.log(count / self.leaf) / math.log(4) if count >= self.leaf else 0.0

    def _splits(self, count: int, depth: int) -> bool:
        """Whether a node of this depth with so many points is split."""
        need = self.leaf * 2**depth if self.growth == "adaptive" else self.leaf
        return count >= need and depth < self._expected(len(self.window))

    def _depth(self, node: Node, point: Points) -> float:
        while node.split is not None:
            node = node.split.side(point)
        return node.depth + self._expected(node.count)

    def _learn(self, root: Node | None, point: Points) -> Node:
        if root is None:
            return self._build(point[None, :], 0)
        node = root
        while True:
            node.count += 1
            node.low = np.minimum(node.low, point)
            node.high = np.maximum(node.high, point)
            if node.split is None:
                break
            node = node.split.side(point)
        if self._splits(node.count, node.depth):
            sampled = self.random.uniform(node.low, node.high, (node.count, point.size))
            node.__dict__.update(self._build(sampled, node.depth).__dict__)
        return root

    def _build(self, points: Points, depth: int) -> Node:
        """A subtree over points that are known."""
        low = points.min(axis=0, initial=math.inf)
        high = points.max(axis=0, initial=-math.inf)
        node = Node(len(points), low, high, depth)
        if self._splits(len(points), depth):
            feature = int(self.random.integers(points.shape[1]))
            values = points[:, feature]
            threshold = float(self.random.uniform(values.min(), values.max()))
            left = self._build(points[values < threshold], depth + 1)
            right = self._build(points[values >= threshold], depth + 1)
            node.split = Split(feature, threshold, left, right)
        return node

    def _forget(self, node: Node, point: Points) -> None:
        """Walk the point's path; the first node with too few points becomes a leaf again."""
        while True:
            node.count -= 1
            if node.split is None:
                return
            need = self.leaf * 2**node.depth if self.growth == "adaptive" else self.leaf
            if node.count < need:
                self._merge(node)
                return
            node = node.split.side(point)

    def _merge(self, node: Node) -> None:
        if node.split is not None:
            left, right = node.split.left, node.split.right
            self._merge(left)
            self._merge(right)
            node.low = np.minimum(left.low, right.low)
            node.high = np.maximum(left.high, right.high)
            node.split = None
