"""Online isolation forest: learns, forgets and scores in the stream, with no training before."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monitor.detect.online.forest import Forest, Growth, isolation, recount, score_learn
from monitor.errors import ConfigError, ModelError, StateError
from monitor.types import Array, Slots, State

_STORED = ("threshold", "feature", "ring", "learned", "draws")
GROWTHS = ("adaptive", "fixed")


class OnlineIsolationForest:
    """Scores a window by how few random cuts set it apart from its sensor's recent past.

    Each sensor has a forest of its own over its last `window` examples. `score_learn` is `2 **
    -(mean depth / expected depth)`, in (0, 1]; NaN where the input is not finite, and as long as
    `4 * leaf` examples or fewer are known: depths of trees that have not grown say nothing, and
    would spoil a threshold that learns from them. `leaf` is the number of points at which the root
    is split; a node of depth k needs `leaf * 2**k` of them (`growth="adaptive"`) or as many as
    the root (`"fixed"`).

    The random numbers depend on the seed and on how many the sensor has used, so its scores are
    the same in any slot and in any company. Raises ConfigError for parameters that make no
    forest.

    Source: F. Leveni, G. Weigert Cassales, B. Pfahringer, A. Bifet, G. Boracchi: Online Isolation
    Forest, ICML 2024. Three things differ. A leaf is split by its real points, which the window
    holds anyway, not by points drawn from its bounding box: so counts are exact, and no boxes are
    kept. Only numbers that vary in a leaf are cut. And a node with nothing left on one side is
    undone, so the trees follow the data to a new place, where the paper's stay blind.
    """

    view = "statistics"

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        trees: int = 32,
        window: int = 512,
        leaf: int = 32,
        growth: Literal["adaptive", "fixed"] = "adaptive",
        seed: int = 0,
    ) -> None:
        self.shape = tuple(shape)
        self._size = math.prod(self.shape)
        _check(self.shape, trees, window, leaf, growth, seed)
        self._parameters = np.array(
            [self._size, trees, window, leaf, GROWTHS.index(growth), seed], np.int64
        )
        self._growth = _growth(window, leaf, GROWTHS.index(growth), seed)
        self._forest = self._zeros(1)
        self._used = 0
        self._warm()

    def score_learn(self, slots: Slots, x: Array, cut: Array) -> Array:
        """Score each row against its sensor's past, then learn it where the score is at most
        `cut`: `(N,), (N, *shape), (N,) -> (N,)`.

        A row that is learned pushes the oldest out of a full window. Raises ModelError for rows of
        another shape or negative slots.
        """
        slots, rows = self._rows(slots, x)
        self._make_room(slots)
        scores = np.empty(len(rows), np.float32)
        cuts = np.ascontiguousarray(cut, np.float32)
        if cuts.shape != scores.shape:
            raise ModelError(f"cut has shape {cuts.shape}; one for each row is {scores.shape}")
        score_learn(self._forest, self._growth, slots, rows, cuts, scores)
        return scores

    def forget(self, slots: Slots) -> None:
        """Make these slots as if never seen: other sensors will have them."""
        known = slots[slots < self._used]
        for array in self._forest:
            array[known] = 0
        gone = set(known.tolist())
        while self._used - 1 in gone:
            self._used -= 1

    def contributions(self, slots: Slots, x: Array) -> Array:
        """Which channels set a row apart from what its slot knows: `(N,), (N, C, ...) -> (N, C)`,
        shares that sum to 1, or all 0 where nothing is known or the row is not finite.

        A cut on the row's path counts by its surprise: how few points are on the row's side.
        """
        slots, rows = self._rows(slots, x)
        self._make_room(slots)
        cuts = np.zeros((len(rows), self._size))
        isolation(self._forest, slots, rows, cuts)
        shares = cuts.reshape(len(rows), self.shape[0], -1).sum(axis=2)
        total = shares.sum(axis=1, keepdims=True)
        shares /= np.where(total > 0, total, 1)
        return np.asarray(shares, np.float32)

    def state(self) -> State:
        """Copies of the memory, one row per slot in use, and the parameters it was made with."""
        memory = {name: array[: self._used].copy() for name, array in self._arrays().items()}
        return memory | {"parameters": self._parameters.copy()}

    def restore(self, state: State) -> None:
        """Go on from a state. Raises StateError where it is damaged or of other parameters; then
        nothing is changed.
        """
        used = self._check_state(state)
        self._forest = self._zeros(max(used, 1))
        for name, array in self._arrays().items():
            array[:used] = state[name]
        recount(self._forest)
        self._used = used

    def _warm(self) -> None:
        """Have the compiler done before the first record, not on it."""
        nobody = np.empty(0, np.int64)
        nothing = np.empty(0, np.float32)
        rows = np.empty((0, self._size), np.float32)
        score_learn(self._forest, self._growth, nobody, rows, nothing, nothing)
        isolation(self._forest, nobody, rows, rows.astype(np.float64))
        recount(self._forest)

    def _rows(self, slots: Slots, x: Array) -> tuple[Slots, Array]:
        """Both as the kernels need them: `(N,)` and `(N, d)`."""
        slots = np.ascontiguousarray(slots, np.int64)
        if x.shape != (*slots.shape, *self.shape) or slots.ndim != 1:
            raise ModelError(
                f"slots {slots.shape} and rows {x.shape} do not fit; for N examples they are "
                f"(N,) and (N, {', '.join(map(str, self.shape))})"
            )
        if slots.size and slots.min() < 0:
            raise ModelError(f"slot {slots.min()} is negative; slots count from 0")
        return slots, np.ascontiguousarray(x, np.float32).reshape(len(slots), self._size)

    def _make_room(self, slots: Slots) -> None:
        """Have a forest for every slot; the arrays double, so growth costs little per slot."""
        self._used = max(self._used, int(slots.max(initial=-1)) + 1)
        room = len(self._forest.learned)
        if self._used > room:
            old = self._forest
            self._forest = self._zeros(max(self._used, 2 * room))
            for name, array in self._forest._asdict().items():
                array[:room] = getattr(old, name)

    def _zeros(self, slots: int) -> Forest:
        """Forests that have seen nothing; pages that stay zero cost no memory."""
        size, trees, window = (int(number) for number in self._parameters[:3])
        places = 1 << len(self._growth.need)
        return Forest(
            threshold=np.zeros((slots, trees, places - 1), np.float32),
            feature=np.zeros((slots, trees, places - 1), np.uint16),
            held=np.zeros((slots, trees, places), np.int32),
            ring=np.zeros((slots, window + 1, size), np.float32),
            learned=np.zeros(slots, np.int64),
            draws=np.zeros(slots, np.uint64),
        )

    def _arrays(self) -> State:
        """What belongs into a snapshot; the counts follow from the ring."""
        return {name: getattr(self._forest, name) for name in _STORED}

    def _check_state(self, state: State) -> int:
        """The number of slots in a state that is sound, so that no kernel can leave its arrays."""
        wanted = {name: array.shape[1:] for name, array in self._arrays().items()}
        if set(state) != {*wanted, "parameters"}:
            raise StateError(
                f"the forest's state has the arrays {sorted(state)}; it needs "
                f"{sorted({*wanted, 'parameters'})}"
            )
        if not np.array_equal(state["parameters"], self._parameters):
            raise StateError(
                "the forest's state was made with (size, trees, window, leaf, growth, seed) = "
                f"{state['parameters'].tolist()}, this one has {self._parameters.tolist()}"
            )
        slots = state["learned"].shape[0] if state["learned"].ndim == 1 else 0
        for name, array in self._arrays().items():
            got, want = (
                (state[name].dtype, state[name].shape),
                (array.dtype, (slots, *wanted[name])),
            )
            if got != want:
                raise StateError(f"the forest's {name!r} is {got}; for {slots} slots it is {want}")
        _check_trees(state, self._size)
        return slots


def _check(
    shape: tuple[int, ...], trees: int, window: int, leaf: int, growth: str, seed: int
) -> None:
    """Raise ConfigError naming the parameter that makes no forest, and what would."""
    limits = {
        "size of the shape": (math.prod(shape), 1, 32_767),
        "trees": (trees, 1, 10_000),
        "leaf": (leaf, 1, 1_000_000),
        "window": (window, leaf + 1, 1_000_000),
        "seed": (seed, 0, 2**63 - 1),
    }
    for name, (value, low, high) in limits.items():
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(f"online_iforest: {name} is {value!r}; valid: {low} to {high}")
    if growth not in GROWTHS:
        raise ConfigError(f"online_iforest: growth is {growth!r}; valid: {', '.join(GROWTHS)}")


def _growth(window: int, leaf: int, fixed: int, seed: int) -> Growth:
    """The tables of a forest. A depth is reached only by a forest of more than `leaf * 4**depth`
    points: its expected depth is the logarithm to base 4 of points / leaf.
    """
    levels = 0
    while leaf << (2 * levels) <= window:
        levels += 1
    depth = np.arange(levels)
    points = np.arange(window + 2)
    return Growth(
        need=np.full(levels, leaf) << (0 * depth if fixed else depth),
        reach=leaf << (2 * depth),
        extra=np.log(np.maximum(points, leaf) / leaf) / np.log(4),
        seed=np.uint64(seed),
    )


def _check_trees(state: State, size: int) -> None:
    """Raise StateError unless the trees are trees and the numbers are numbers."""
    threshold = state["threshold"][state["learned"] > 0]
    sound = {
        "learned": (state["learned"] >= 0).all(),
        "threshold": not np.isnan(threshold).any() and _connected(threshold < np.inf),
        "feature": (state["feature"] < size).all(),
        "ring": np.isfinite(state["ring"]).all(),
    }
    damaged = [name for name, fine in sound.items() if not fine]
    if damaged:
        raise StateError(f"the forest's state is damaged in {', '.join(damaged)}")


def _connected(split: NDArray[np.bool_]) -> bool:
    """Whether every split node has a split parent, for `(S, M, nodes)`."""
    node = np.arange(1, split.shape[2])
    return bool((split[:, :, (node - 1) // 2] | ~split[:, :, node]).all())
