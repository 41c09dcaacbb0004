"""The arithmetic of the online isolation forest: score, learn and forget, compiled.

Every tree is a complete binary tree of a fixed number of levels, kept in arrays without pointers:
node `i` has the children `2i + 1` and `2i + 2`. A node that is not split has the threshold
infinity, so every point walks all levels, always to the left below its leaf, and ends in the
leaf's leftmost place on the bottom level. That place holds what the tree knows of the leaf: the
count of its points and their bounding box. So no index can leave its array, a split or a collapse
moves nothing, and few bytes are touched per point.

A box is 2d numbers: the minima of x, then the minima of -x. One loop tests it, one widens it, and
infinity everywhere is the empty box.

Source: F. Leveni, G. Weigert Cassales, B. Pfahringer, A. Bifet, G. Boracchi: Online Isolation
Forest, ICML 2024, algorithms 1 to 4 (axis-parallel splits, branching factor 2).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled, inlined
from monitor.types import Array, Slots

_LEAF = np.float32(np.inf)
_ONE = np.uint64(1)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class Growth(NamedTuple):
    """How trees grow. `need[k]` points split a node of depth k once the forest has seen more than
    `reach[k]`; `extra[n]` is the depth that a tree over n points is expected to have.
    """

    need: NDArray[np.int64]
    reach: NDArray[np.int64]
    extra: NDArray[np.float64]
    seed: np.uint64


class Forest(NamedTuple):
    """The memory of S sensors with M trees of 2^L bottom places over d numbers; zeros are a forest
    that has seen nothing.

    `draws` counts the random numbers used: with the seed it is the whole state of the generator.
    """

    threshold: Array  # (S, M, 2^L - 1)
    feature: NDArray[np.uint16]  # (S, M, 2^L - 1)
    held: NDArray[np.int32]  # (S, M, 2^L) points; signed, since a split guesses what its sides hold
    box: Array  # (S, M, 2^L, 2d)
    ring: Array  # (S, W, d)
    learned: NDArray[np.int64]  # (S,)
    draws: NDArray[np.uint64]  # (S,)


@compiled
def score_learn(
    forest: Forest, growth: Growth, slots: Slots, x: Array, cut: Array, out: Array
) -> None:
    """Score each row `(N, d)` against its slot's past, then learn it where the score is at most
    `cut`; a row that is not finite scores NaN and is not learned.
    """
    found = np.empty((2, forest.held.shape[1]), np.int64)
    point = np.empty(forest.box.shape[3], np.float32)
    for i in range(slots.shape[0]):
        s = slots[i]
        out[i] = np.nan
        if _mirror(x, i, point):
            if forest.learned[s] == 0:
                _clear(forest, s)
            _find(forest, s, point, found)
            out[i] = _score(forest, growth, s, found)
            if out[i] <= cut[i]:
                _put_in(forest, growth, s, point, found)
                if forest.learned[s] >= forest.ring.shape[1]:
                    _find(forest, s, _place(forest, s), found)
                    _take_out(forest, growth, s, found)
                _remember(forest, s, point)


@compiled
def isolation(forest: Forest, slots: Slots, x: Array, out: NDArray[np.float64]) -> None:
    """Add up how much each number of a row sets it apart: `(N, d) -> (N, d)`.

    A cut counts by its surprise: the logarithm of the points before it over those left on the
    row's side. Over a path that adds up to the logarithm of the window over the leaf.
    """
    for i in range(slots.shape[0]):
        s = slots[i]
        if forest.learned[s] > 0 and np.isfinite(x[i]).all():
            for t in range(forest.held.shape[1]):
                _surprise(forest, (s, t), x[i], out[i])


@compiled
def _surprise(
    forest: Forest, tree: tuple[int, int], point: Array, out: NDArray[np.float64]
) -> None:
    """The same for one tree and one row."""
    s, t = tree
    node = 0
    first = 0
    size = forest.held.shape[2]
    before = _sum(forest, (s, t, first), size)
    while size > 1 and forest.threshold[s, t, node] < _LEAF:
        feature = forest.feature[s, t, node]
        right = point[feature] >= forest.threshold[s, t, node]
        node = 2 * node + 1 + right
        size //= 2
        first += size * right
        after = _sum(forest, (s, t, first), size)
        out[feature] += max(math.log(max(before, 1) / max(after, 1)), 0.0)
        before = after


@inlined
def _sum(forest: Forest, leaf: tuple[int, int, int], size: int) -> int:
    """The points in all leaves from a place on."""
    s, t, first = leaf
    total = 0
    for place in range(first, first + size):
        total += forest.held[s, t, place]
    return total


@inlined
def _mirror(x: Array, i: int, point: Array) -> bool:
    """Write row i as `[x, -x]`; False where it is not finite."""
    d = x.shape[1]
    finite = True
    for j in range(d):
        value = x[i, j]
        finite &= np.isfinite(value)
        point[j] = value
        point[d + j] = -value
    return finite


@compiled
def _clear(forest: Forest, s: int) -> None:
    """Make every tree one empty leaf."""
    forest.threshold[s] = _LEAF
    forest.held[s] = 0
    forest.box[s, :, 0] = np.inf


@inlined
def _levels(forest: Forest) -> int:
    """How often a tree can be split, one split below the other."""
    levels = 0
    while (1 << levels) < forest.held.shape[2]:
        levels += 1
    return levels


@inlined
def _find(forest: Forest, s: int, point: Array, found: Slots) -> None:
    """Note the leaf that holds the point in each tree, by its place on the bottom level, and the
    leaf's depth: `found` is `(2, M)`.
    """
    levels = _levels(forest)
    for t in range(forest.held.shape[1]):
        node = 0
        depth = 0
        for _ in range(levels):
            threshold = forest.threshold[s, t, node]
            right = point[forest.feature[s, t, node]] >= threshold
            depth += threshold < _LEAF
            node = 2 * node + 1 + right
        found[0, t] = node - ((1 << levels) - 1)
        found[1, t] = depth


@inlined
def _score(forest: Forest, growth: Growth, s: int, found: Slots) -> float:
    """`2 ** -(mean depth / expected depth)` (section 4.2), 0 while there are too few points to
    split.
    """
    most = growth.extra.shape[0] - 1
    total = 0.0
    for t in range(found.shape[1]):
        points = np.int64(forest.held[s, t, found[0, t]])
        total += found[1, t] + growth.extra[min(max(points, 0), most)]
    expected = growth.extra[min(forest.learned[s], forest.ring.shape[1])]
    return 2.0 ** -(total / found.shape[1] / expected) if expected > 0 else 0.0


@inlined
def _put_in(forest: Forest, growth: Growth, s: int, point: Array, found: Slots) -> None:
    """Add the point to the leaves that hold it (algorithm 2). Mostly a leaf's box holds it
    already, and to read is cheaper than to write.
    """
    levels = growth.need.shape[0]
    seen = min(forest.learned[s], forest.ring.shape[1]) + 1
    for t in range(found.shape[1]):
        leaf, depth = found[0, t], found[1, t]
        outside = False
        for j in range(point.shape[0]):
            outside |= point[j] < forest.box[s, t, leaf, j]
        if outside:
            _widen(forest.box[s, t, leaf], point)
        forest.held[s, t, leaf] += 1
        if depth < levels and forest.held[s, t, leaf] >= growth.need[depth]:
            _grow(forest, growth, (s, t, leaf), depth, seen)


@inlined
def _take_out(forest: Forest, growth: Growth, s: int, found: Slots) -> None:
    """Remove a point from the leaves that hold it (algorithm 3). The uppermost node on its path
    that now holds too few becomes a leaf again.
    """
    levels = growth.need.shape[0]
    for t in range(found.shape[1]):
        leaf, depth = found[0, t], found[1, t]
        forest.held[s, t, leaf] -= 1
        for k in range(1, depth):
            size = 1 << (levels - k)
            first = leaf & -size
            if _sum(forest, (s, t, first), size) < growth.need[k]:
                _collapse(forest, (s, t, first), k, levels)
                break


@inlined
def _place(forest: Forest, s: int) -> Array:
    """Where in the ring the oldest point is, or where the next one goes."""
    oldest: Array = forest.ring[s, forest.learned[s] % forest.ring.shape[1]]
    return oldest


@inlined
def _remember(forest: Forest, s: int, point: Array) -> None:
    """Keep the point in the ring."""
    place = _place(forest, s)
    for j in range(place.shape[0]):
        place[j] = point[j]
    forest.learned[s] += 1


@compiled
def _widen(box: Array, point: Array) -> None:
    """Make the box hold the point, or another box."""
    for j in range(point.shape[0]):
        box[j] = min(box[j], point[j])


@compiled
def _grow(
    forest: Forest, growth: Growth, leaf: tuple[int, int, int], depth: int, seen: int
) -> None:
    """Split a leaf, and its children, as long as they hold enough points (algorithm 2)."""
    s, t, first = leaf
    levels = growth.need.shape[0]
    end = first + (1 << (levels - depth))
    for k in range(depth, levels):
        if seen <= growth.reach[k]:
            return
        for place in range(first, end, 1 << (levels - k)):
            if forest.held[s, t, place] >= growth.need[k]:
                _split(forest, growth.seed, (s, t, place), k, levels)


@compiled
def _split(
    forest: Forest, seed: np.uint64, leaf: tuple[int, int, int], depth: int, levels: int
) -> None:
    """Cut a leaf at a random place of a random number that varies in it.

    The points themselves are not known; they are taken to be uniform in the box, as in the paper,
    so the share that falls to the left is a binomial draw. At least one falls to either side,
    since the paper cuts between the least and the greatest of its sampled points.
    """
    s, t, left = leaf
    right = left + (1 << (levels - depth - 1))
    box = forest.box[s, t, left]
    d = box.shape[0] // 2
    feature = _feature(forest, seed, s, box)
    if feature < 0:
        return
    low = np.float64(box[feature])
    high = -np.float64(box[d + feature])
    part = _uniform(forest, seed, s)
    threshold = np.float32(low + (high - low) * part)
    count = int(forest.held[s, t, left])
    lefts = 1 + _binomial(forest, seed, s, count - 2, part) if count > 1 else count
    node = (1 << depth) - 1 + (left >> (levels - depth))
    forest.threshold[s, t, node] = threshold
    forest.feature[s, t, node] = feature
    forest.held[s, t, left] = lefts
    forest.held[s, t, right] = count - lefts
    forest.box[s, t, right] = box
    forest.box[s, t, right, feature] = threshold
    box[d + feature] = -threshold


@compiled
def _feature(forest: Forest, seed: np.uint64, s: int, box: Array) -> int:
    """One of the numbers that vary in the box, -1 if none does."""
    d = box.shape[0] // 2
    wide = 0
    for j in range(d):
        wide += box[j] < -box[d + j]
    if wide == 0:
        return -1
    chosen = int(_uniform(forest, seed, s) * wide)
    for j in range(d):
        chosen -= box[j] < -box[d + j]
        if chosen < 0:
            return j
    return -1


@compiled
def _collapse(forest: Forest, leaf: tuple[int, int, int], depth: int, levels: int) -> None:
    """Join all leaves below a node: each split below it has one right child, at a place of its
    own.
    """
    s, t, first = leaf
    for k in range(depth, levels):
        size = 1 << (levels - k)
        for left in range(first, first + (1 << (levels - depth)), size):
            node = (1 << k) - 1 + (left >> (levels - k))
            if forest.threshold[s, t, node] < _LEAF:
                right = left + size // 2
                _widen(forest.box[s, t, first], forest.box[s, t, right])
                forest.held[s, t, first] += forest.held[s, t, right]
                forest.held[s, t, right] = 0
                forest.threshold[s, t, node] = _LEAF


@compiled
def _bits(forest: Forest, seed: np.uint64, s: int) -> np.uint64:
    """64 random bits: SplitMix64, a hash of seed + counter (Steele, Lea, Flood: Fast Splittable
    Pseudorandom Number Generators, OOPSLA 2014).
    """
    forest.draws[s] += _ONE
    z = seed + forest.draws[s] * _STEP
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    bits: np.uint64 = z ^ (z >> np.uint64(31))
    return bits


@compiled
def _uniform(forest: Forest, seed: np.uint64, s: int) -> float:
    """A random number in [0, 1)."""
    return (_bits(forest, seed, s) >> np.uint64(11)) * 2.0**-53


@compiled
def _binomial(forest: Forest, seed: np.uint64, s: int, n: int, p: float) -> int:
    """How many of n uniform numbers are below p, exactly: 64 of them are compared with p bit by
    bit at a time until all are decided, which takes about 8 draws.
    """
    below = 0
    for start in range(0, n, 64):
        open_ = ~np.uint64(0) >> np.uint64(max(64 - (n - start), 0))
        won = np.uint64(0)
        rest = p
        while open_ != 0 and rest > 0:
            bits = _bits(forest, seed, s)
            rest *= 2
            if rest >= 1:
                rest -= 1
                won |= open_ & ~bits
                open_ &= bits
            else:
                open_ &= ~bits
        while won != 0:
            won &= won - _ONE
            below += 1
    return below
