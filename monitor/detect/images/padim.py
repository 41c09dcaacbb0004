"""PaDiM: what is normal at each place of a frame, as a Gaussian of features.

Defard, Setkov, Loesch and Audigier, "PaDiM: a patch distribution modeling framework for anomaly
detection and localization", ICPR 2021 workshops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.compiled import compiled
from monitor.detect.classical.mahalanobis import shrunk_covariance
from monitor.detect.classical.rows import TRIM, nearest, need_positive, stored
from monitor.detect.images.patch_detector import MOST, PatchDetector, pyramid_of
from monitor.errors import ModelError
from monitor.types import Array, State

_LEAST = 1e-3  # of the mean variance, so that a feature at rest does not count without limit


class Padim(PatchDetector):
    """Scores the most unusual place of a frame: the largest Mahalanobis distance of a patch from
    the training frames' at the same place, by dimension, about 1 to 2 where all is normal.

    Frames must show parts at about the same place; where they do not, `patchcore` does. Each place
    has a mean and a covariance, shrunk (Ledoit and Wolf 2004), of `dimensions` random features.
    `trim` is the share of training frames that a second estimate leaves out because the first found
    them farthest away; `most` and `seed`, see `PatchDetector`; `backbone`, `sha256` and `blocks`,
    see `load_backbone`. Raises ConfigError for values that cannot be used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        dimensions: int = 64,
        trim: float = TRIM,
        most: int = MOST,
        seed: int = 0,
        **backbone: Any,
    ) -> None:
        pyramid = pyramid_of(shape, dimensions, seed, **backbone)
        super().__init__(shape, pyramid=pyramid, trim=trim, most=most, seed=seed)

    def _learn(self, features: Array) -> State:
        first = _estimate(features)
        farthest = np.array([self._distances(frame, first).max() for frame in features])
        usual = nearest(farthest.astype(np.float64), self.trim)
        return _estimate(features[np.sort(usual)])

    def _rated(self, features: Array) -> tuple[Array, np.float32]:
        distances = self._distances(features, self._arrays)
        return distances, np.float32(distances.max())

    def _distances(self, features: Array, arrays: State) -> Array:
        found = _whitened_lengths(features, arrays["mean"], arrays["whitening"])
        return self._smoothed(found).ravel()

    def _shapes(self, state: State) -> dict[str, tuple[int, ...]]:
        places, size = self.grid[0] * self.grid[1], self.pyramid.dimensions
        return {"mean": (places, size), "whitening": (places, size * (size + 1) // 2)}

    def _check(self, arrays: State) -> None:
        size = self.pyramid.dimensions
        need_positive({"whitening": arrays["whitening"][:, _diagonal(size)]}, "whitening")


def _estimate(features: Array) -> State:
    """Mean and whitening of each place of frames `(N, P, d)`.

    The whitening is the inverse of the covariance's lower Cholesky factor, its columns one after
    the other without the zeros above the diagonal: `(P, d (d + 1) / 2)`.
    """
    count, places, size = features.shape
    mean = features.mean(axis=0, dtype=np.float64)
    rows, columns = np.triu_indices(size)
    whitening = np.empty((places, len(rows)), np.float32)
    for place in range(places):
        covariance = shrunk_covariance(features[:, place] - mean[place])
        covariance += max(_LEAST * float(np.trace(covariance)) / size, 1e-12) * np.eye(size)
        try:
            factor = np.linalg.inv(np.linalg.cholesky(covariance))
        except np.linalg.LinAlgError as error:
            raise ModelError(f"no covariance can be estimated from {count} frames") from error
        whitening[place] = factor.T[rows, columns]
    return stored(mean=mean, whitening=whitening)


def _diagonal(size: int) -> Any:
    rows, columns = np.triu_indices(size)
    return rows == columns


@compiled
def _whitened_lengths(features: Array, mean: Array, whitening: Array) -> Array:
    """The root mean square of each whitened patch: `(P, d) -> (P,)`."""
    places, size = features.shape
    lengths = np.empty(places, np.float32)
    whitened = np.empty(size, np.float32)
    for place in range(places):
        whitened[:] = 0
        start = 0
        factor = whitening[place]
        for j in range(size):
            value = features[place, j] - mean[place, j]
            for i in range(size - j):
                whitened[j + i] += factor[start + i] * value
            start += size - j
        total = np.float32(0)
        for i in range(size):
            total += whitened[i] * whitened[i]
        lengths[place] = np.sqrt(total / np.float32(size))
    return lengths
