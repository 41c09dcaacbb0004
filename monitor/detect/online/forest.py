"""The arithmetic of the online isolation forest: score, learn and forget, compiled.

Every tree is a complete binary tree of a fixed number of levels, kept in arrays without pointers:
node `i` has the children `2i + 1` and `2i + 2`. A node that is not split has the threshold
infinity, so every point walks all levels, always to the left below its leaf, and ends in the
leaf's leftmost place on the bottom level; that place holds how many points the leaf has. So no
index can leave its array, a split or a collapse moves nothing, and a tree takes about a hundred
bytes: few are touched per point, which is what counts when the sensors do not fit the cache.

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

Leaf = tuple[int, int, int]  # slot, tree, place

_LEAF = np.float32(np.inf)
_ONE = np.uint64(1)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_RETRY = 64  # points between two tries to split a leaf whose points have all been the same
_NONE = -1


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

    The ring has one row more than the window, so that the newest point and the one that it pushes
    out are there together. `draws` counts the random numbers used: with the seed it is the whole
    state of the generator.
    """

    threshold: Array  # (S, M, 2^L - 1)
    feature: NDArray[np.uint16]  # (S, M, 2^L - 1)
    held: NDArray[np.int32]  # (S, M, 2^L) points of the window
    ring: Array  # (S, W + 1, d)
    learned: NDArray[np.int64]  # (S,)
    draws: NDArray[np.uint64]  # (S,)


@compiled
def score_learn(
    forest: Forest, growth: Growth, slots: Slots, x: Array, cut: Array, out: Array
) -> None:
    """Score each row `(N, d)` against its slot's past, then learn it where the score is at most
    `cut`; a row that is not finite scores NaN and is not learned. Neither has a slot a score while
    its trees can have but one level.
    """
    found = np.empty((2, forest.held.shape[1]), np.int64)
    for i in range(slots.shape[0]):
        s = slots[i]
        out[i] = np.nan
        if _finite(x, i):
            if forest.learned[s] == 0:
                forest.threshold[s] = _LEAF
            _find(forest, s, x[i], found)
            score = np.float32(_score(forest, growth, s, found))
            ripe = forest.learned[s] > growth.reach[min(1, len(growth.reach) - 1)]
            out[i] = score if ripe else np.nan
            if score <= cut[i]:
                _remember(forest, s, x[i])
                _put_in(forest, growth, s, found)
                if forest.learned[s] >= forest.ring.shape[1]:
                    oldest = forest.learned[s] % forest.ring.shape[1]
                    _find(forest, s, forest.ring[s, oldest], found)
                    _take_out(forest, growth, s, found, oldest)


@compiled
def recount(forest: Forest) -> None:
    """Work out from the ring how many points each leaf holds."""
    found = np.empty((2, forest.held.shape[1]), np.int64)
    size = forest.ring.shape[1]
    forest.held[:] = 0
    for s in range(forest.learned.shape[0]):
        newest = forest.learned[s]
        for i in range(max(newest - size + 1, 0), newest):
            _find(forest, s, forest.ring[s, i % size], found)
            for t in range(found.shape[1]):
                forest.held[s, t, found[0, t]] += 1


@compiled
def isolation(forest: Forest, slots: Slots, x: Array, out: NDArray[np.float64]) -> None:
    """Add up how much each number of a row sets it apart: `(N, d) -> (N, d)`.

    A cut counts by its surprise: the logarithm of the points before it over those left on the
    row's side. Over a path that adds up to the logarithm of the window over the leaf.
    """
    for i in range(slots.shape[0]):
        if forest.learned[slots[i]] > 0 and _finite(x, i):
            for t in range(forest.held.shape[1]):
                _surprise(forest, (slots[i], t), x[i], out[i])


@compiled
def _surprise(
    forest: Forest, tree: tuple[int, int], point: Array, out: NDArray[np.float64]
) -> None:
    """The same for one tree and one row."""
    s, t = tree
    node = 0
    first = 0
    size = forest.held.shape[2]
    before = _sum(forest.held, (s, t, first), size)
    while size > 1 and forest.threshold[s, t, node] < _LEAF:
        feature = forest.feature[s, t, node]
        right = point[feature] >= forest.threshold[s, t, node]
        node = 2 * node + 1 + right
        size //= 2
        first += size * right
        after = _sum(forest.held, (s, t, first), size)
        out[feature] += math.log(before / after)
        before = after


@inlined
def _sum(held: NDArray[np.int32], leaf: Leaf, size: int) -> int:
    """The points in the leaves of so many places from one on."""
    s, t, first = leaf
    total = 0
    for place in range(first, first + size):
        total += held[s, t, place]
    return total


@inlined
def _finite(x: Array, i: int) -> bool:
    finite = True
    for j in range(x.shape[1]):
        finite &= np.isfinite(x[i, j])
    return finite


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
    total = 0.0
    for t in range(found.shape[1]):
        total += found[1, t] + growth.extra[forest.held[s, t, found[0, t]]]
    expected = growth.extra[min(forest.learned[s], forest.ring.shape[1] - 1)]
    return 2.0 ** -(total / found.shape[1] / expected) if expected > 0 else 0.0


@inlined
def _remember(forest: Forest, s: int, point: Array) -> None:
    """Put the point into the ring."""
    place = forest.learned[s] % forest.ring.shape[1]
    for j in range(point.shape[0]):
        forest.ring[s, place, j] = point[j]
    forest.learned[s] += 1


@inlined
def _put_in(forest: Forest, growth: Growth, s: int, found: Slots) -> None:
    """Count the newest point in the leaves that hold it (algorithm 2), and split those that are
    due: a leaf, or the forest, has just got the points that it takes.
    """
    levels = growth.need.shape[0]
    seen = min(forest.learned[s], forest.ring.shape[1])
    moved = _moved(forest, s)
    for t in range(found.shape[1]):
        leaf, depth = found[0, t], found[1, t]
        forest.held[s, t, leaf] += 1
        if depth < levels and forest.held[s, t, leaf] >= growth.need[depth]:
            due = forest.held[s, t, leaf] == growth.need[depth] or seen == growth.reach[depth] + 1
            if due or (moved and (forest.learned[s] + t) % _RETRY == 0):
                _grow(forest, growth, (s, t, leaf), depth, _NONE)


@inlined
def _moved(forest: Forest, s: int) -> bool:
    """Whether the newest point differs from the one before: a machine at rest costs no tries."""
    newest = (forest.learned[s] - 1) % forest.ring.shape[1]
    before = (forest.learned[s] - 2) % forest.ring.shape[1]
    moved = False
    for j in range(forest.ring.shape[2]):
        moved |= forest.ring[s, newest, j] != forest.ring[s, before, j]
    return moved


@compiled
def _grow(forest: Forest, growth: Growth, leaf: Leaf, depth: int, gone: int) -> None:
    """Split a leaf, and its children, as long as they hold enough points (algorithm 2).

    `members` are the leaf's points in the order of the leaves they are in, so each leaf's own
    follow from the counts. `gone` is a place in the ring whose point does not count any more.
    """
    s, t, first = leaf
    seen = min(forest.learned[s], forest.ring.shape[1])
    if seen <= growth.reach[depth]:
        return
    members = _members(forest, leaf, depth, gone)
    levels = growth.need.shape[0]
    end = first + (1 << (levels - depth))
    for k in range(depth, levels):
        start = 0
        for place in range(first, end, 1 << (levels - k)):
            stop = start + forest.held[s, t, place]
            if stop - start >= growth.need[k] and seen > growth.reach[k]:
                _split(forest, growth.seed, (s, t, place), k, members[start:stop])
            start = stop


@compiled
def _members(forest: Forest, leaf: Leaf, depth: int, gone: int) -> NDArray[np.int32]:
    """Which points of the ring are in a leaf."""
    s, t, first = leaf
    target = (1 << depth) - 1 + (first >> (_levels(forest) - depth))
    members = np.zeros(forest.held[s, t, first], np.int32)
    count = 0
    for i in range(min(forest.learned[s], forest.ring.shape[1])):
        node = 0
        for _ in range(depth):
            right = forest.ring[s, i, forest.feature[s, t, node]] >= forest.threshold[s, t, node]
            node = 2 * node + 1 + right
        if node == target and i != gone and count < members.shape[0]:
            members[count] = i
            count += 1
    return members


@compiled
def _split(
    forest: Forest, seed: np.uint64, leaf: Leaf, depth: int, members: NDArray[np.int32]
) -> None:
    """Cut a leaf at a random place of a random number that varies in it; both sides get a point."""
    s, t, left = leaf
    feature = _feature(forest, seed, s, members)
    if feature == _NONE:
        return
    low = high = forest.ring[s, members[0], feature]
    for i in members:
        low = min(low, forest.ring[s, i, feature])
        high = max(high, forest.ring[s, i, feature])
    width = np.float64(high) - np.float64(low)
    threshold = np.float32(low + width * _uniform(forest, seed, s))
    if threshold <= low:
        threshold = high
    levels = _levels(forest)
    node = (1 << depth) - 1 + (left >> (levels - depth))
    forest.threshold[s, t, node] = threshold
    forest.feature[s, t, node] = feature
    lefts = _partition(forest.ring[s, :, feature], members, threshold)
    forest.held[s, t, left] = lefts
    forest.held[s, t, left + (1 << (levels - depth - 1))] = members.shape[0] - lefts


@compiled
def _feature(forest: Forest, seed: np.uint64, s: int, members: NDArray[np.int32]) -> int:
    """One of the numbers that vary among the members, -1 if none does."""
    varies = np.zeros(forest.ring.shape[2], np.bool_)
    count = 0
    for i in members:
        count = 0
        for j in range(varies.shape[0]):
            varies[j] |= forest.ring[s, i, j] != forest.ring[s, members[0], j]
            count += varies[j]
        if count == varies.shape[0]:
            break
    if count == 0:
        return _NONE
    return int(np.flatnonzero(varies)[int(_uniform(forest, seed, s) * count)])


@compiled
def _partition(values: Array, members: NDArray[np.int32], threshold: np.float32) -> int:
    """Bring the members below the threshold to the front; how many they are."""
    below = 0
    for i in range(members.shape[0]):
        member = members[i]
        if values[member] < threshold:
            members[i] = members[below]
            members[below] = member
            below += 1
    return below


@inlined
def _take_out(forest: Forest, growth: Growth, s: int, found: Slots, oldest: int) -> None:
    """Take a point out of the leaves that held it (algorithm 3). The uppermost node on its path
    that now holds too few becomes a leaf again; one with nothing left on one side is split anew.
    """
    levels = growth.need.shape[0]
    for t in range(found.shape[1]):
        leaf, depth = found[0, t], found[1, t]
        forest.held[s, t, leaf] -= 1
        for k in range(1, depth + 1):
            size = 1 << (levels - k)
            held = _sum(forest.held, (s, t, leaf & -size), size)
            if held == 0:
                first = _collapse(forest, (s, t, leaf), k - 1, levels)
                _grow(forest, growth, (s, t, first), k - 1, oldest)
                break
            if k < depth and held < growth.need[k]:
                _collapse(forest, (s, t, leaf), k, levels)
                break


@compiled
def _collapse(forest: Forest, leaf: Leaf, depth: int, levels: int) -> int:
    """Join all leaves below the node of this depth above a leaf; the place of the new one."""
    s, t, place = leaf
    size = 1 << (levels - depth)
    first = place & -size
    held = _sum(forest.held, (s, t, first), size)
    forest.held[s, t, first : first + size] = 0
    forest.held[s, t, first] = held
    for k in range(depth, levels):
        node = (1 << k) - 1 + (first >> (levels - k))
        forest.threshold[s, t, node : node + (1 << (k - depth))] = _LEAF
    return first


@compiled
def _uniform(forest: Forest, seed: np.uint64, s: int) -> float:
    """A random number in [0, 1): SplitMix64, a hash of seed + counter (Steele, Lea, Flood: Fast
    Splittable Pseudorandom Number Generators, OOPSLA 2014).
    """
    forest.draws[s] += _ONE
    z = seed + forest.draws[s] * _STEP
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53
