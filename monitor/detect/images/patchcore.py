"""PatchCore: a memory of normal patches, wherever in the frame they were.

Roth, Pemula, Zepeda, Schoelkopf, Brox and Gehler, "Towards total recall in industrial anomaly
detection", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monitor.detect.classical.crosswise import blocks, whole
from monitor.detect.classical.rows import TRIM, nearest, need_positive, stored
from monitor.detect.deep.training import one_thread
from monitor.detect.images.patch_detector import MOST, PatchDetector, pyramid_of
from monitor.detect.patches.coreset import coreset
from monitor.types import Array, State

_NEIGHBOURS = 9
_CHUNK = 1024
_CANDIDATES = 100_000
_ROUGH = 500
_ROUGH_CANDIDATES = 20_000
_LEAST_LEVEL = 1e-6


class PatchCore(PatchDetector):
    """Scores the strangest patch of a frame: its distance from the nearest patch in memory, divided
    by the median of that for training frames that were not in memory, so about 1 where all is
    normal.

    The memory is a coreset of at most `memory` patches in `dimensions` random features, farthest
    first (section 3.2). The distance counts more where patches in memory beside the nearest are
    farther from the frame's (eq. 7). Parts may lie anywhere. `trim` is the share of training frames
    that do not enter the memory, because those of other times are farthest from them; `most` and
    `seed`, see `PatchDetector`; `backbone`, `sha256` and `blocks`, see `load_backbone`. Raises
    ConfigError for values that cannot be used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        memory: int = 2000,
        dimensions: int = 128,
        trim: float = TRIM,
        most: int = MOST,
        seed: int = 0,
        **backbone: Any,
    ) -> None:
        pyramid = pyramid_of(shape, dimensions, seed, **backbone)
        super().__init__(shape, pyramid=pyramid, trim=trim, most=most, seed=seed)
        self.memory = whole("memory", memory, 1)
        self._bank = _Bank(np.zeros((1, dimensions), np.float32))

    def _learn(self, features: Array) -> State:
        outside = self._from_other_times(features)
        usual = np.sort(nearest(outside, self.trim))
        level = max(float(np.median(outside[usual])), _LEAST_LEVEL)
        kept = features[usual].reshape(-1, features.shape[2])
        self._bank = _Bank(self._chosen(kept, self.memory, _CANDIDATES))
        return stored(memory=self._bank.patches, level=[level])

    def _from_other_times(self, features: Array) -> NDArray[np.float64]:
        """How far the strangest patch of each frame `(N, P, d) -> (N,)` is from rough memories of
        other blocks of time: a long anomaly is not compared with itself.
        """
        found = []
        for own, others in blocks(len(features)):
            rest = features[others].reshape(-1, features.shape[2])
            bank = _Bank(self._chosen(rest, min(self.memory, _ROUGH), _ROUGH_CANDIDATES))
            found += [float(bank.distances(frame)[0].max()) for frame in features[own]]
        return np.array(found)

    def _chosen(self, rows: Array, count: int, most: int) -> Array:
        """At most `count` patches that cover `most` of the rows, drawn where there are more."""
        if len(rows) > most:
            rows = rows[np.sort(np.random.default_rng(self.seed).permutation(len(rows))[:most])]
        return rows[coreset(rows, count, self.seed)]

    def _rated(self, features: Array) -> tuple[Array, np.float32]:
        distances, places = self._bank.distances(features)
        level = self._arrays["level"][0]
        strangest = int(distances.argmax())
        share = self._bank.weight(features[strangest], int(places[strangest]))
        return distances / level, np.float32(share * distances[strangest] / level)

    def _shapes(self, state: State) -> dict[str, tuple[int, ...]]:
        kept = len(state["memory"]) if "memory" in state and state["memory"].ndim else 0
        size = self.pyramid.dimensions
        return {"memory": (min(max(kept, 1), self.memory), size), "level": (1,)}

    def _check(self, arrays: State) -> None:
        need_positive(arrays, "level")

    def restore(self, state: State) -> None:
        """As `PatchDetector.restore`."""
        super().restore(state)
        self._bank = _Bank(self._arrays["memory"])


class _Bank:
    """Patches `(M, d)`, and which is nearest: by one matrix product, for a frame always of the same
    shape, so that a patch has the same distance whatever frames there are beside it.
    """

    def __init__(self, patches: Array) -> None:
        self.patches = patches
        self._centre: Array = patches.mean(axis=0)
        moved = torch.from_numpy(patches - self._centre)
        self._halves = moved.square().sum(1) / 2
        self._columns = moved.T.contiguous()

    def distances(self, features: Array) -> tuple[Array, NDArray[np.int64]]:
        """To the nearest patch, and its place: `(P, d) -> (P,), (P,)`.

        Half the squared distance, less what is the same for all of the memory, finds the place; the
        distance is then that of the two alone, so rounding in the product does not show in it.
        """
        moved = torch.from_numpy(features - self._centre)
        with one_thread(), torch.inference_mode():
            places = np.concatenate([self._nearest(part) for part in torch.split(moved, _CHUNK)])
        difference = features - self.patches[places]
        return np.sqrt(np.square(difference).sum(axis=1)), places

    def weight(self, patch: Array, place: int) -> np.float32:
        """One less the share that the nearest patch at `place` has in the softmax of the distances
        to those nearest to it in memory, itself among them (eq. 7): `(d,) -> ()`.
        """
        if len(self.patches) <= _NEIGHBOURS:
            return np.float32(1)
        squares = np.square(self.patches - self.patches[place]).sum(axis=1)
        beside = np.argpartition(squares, _NEIGHBOURS)[:_NEIGHBOURS]
        away = np.sqrt(np.square(self.patches[beside] - patch).sum(axis=1))
        own = np.sqrt(np.square(self.patches[place] - patch).sum())
        return np.float32(1 - np.exp(own - away.max()) / np.exp(away - away.max()).sum())

    def _nearest(self, moved: Tensor) -> NDArray[np.int64]:
        likeness: Array = (moved @ self._columns - self._halves).numpy()
        return np.asarray(likeness.argmax(axis=1), np.int64)
