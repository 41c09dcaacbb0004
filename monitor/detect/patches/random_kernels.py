"""Random convolutions of the whole window, and how far they are from their mean.

The features are MiniRocket's (Dempster, Schmidt and Webb, KDD 2021; see `convolutions.py`), the
distance is that of `Mahalanobis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from monitor.arrays import put_under, under
from monitor.detect.classical.crosswise import whole
from monitor.detect.classical.mahalanobis import Mahalanobis
from monitor.detect.classical.rows import TRIM, checked
from monitor.detect.patches.embedding import Embedding, fit_embedding
from monitor.detect.patches.random_encoder import RandomEncoder
from monitor.errors import ConfigError, ModelError
from monitor.types import Array, State

_CLIP = 1e4
_ROWS_A_DIRECTION = 4


class RandomKernels:
    """Scores the Mahalanobis distance of random convolution features: about 1 if normal.

    Each channel's features are brought down to `dimensions` principal ones; the covariance is
    that of all channels together, so it also tells when they no longer go with each other.
    `patches` is how many stretches of the window are described one by one, `trim` the share of
    training windows that the estimate leaves out. Nothing is trained but quantiles, means and
    covariances. Raises ConfigError for values that cannot be used.
    """

    view: ClassVar[str] = "window"
    frame_view: ClassVar[str] = "pixels"
    refits: ClassVar[bool] = True

    def __init__(
        self,
        shape: Sequence[int],
        *,
        dimensions: int = 16,
        patches: int = 1,
        trim: float = TRIM,
        seed: int = 0,
    ) -> None:
        if len(shape) != 2 or min(shape) < 1:
            raise ConfigError(
                f"shape {tuple(shape)} is not valid; kernels need windows (channels, samples)"
            )
        self.shape = tuple(int(side) for side in shape)
        self.dimensions = whole("dimensions", dimensions, 1)
        self.seed = whole("seed", seed, 0)
        self.encoder = RandomEncoder(self.shape, whole("patches", patches, 1))
        self.size = self.encoder.features * patches
        self.distance = Mahalanobis((shape[0], min(dimensions, self.size)), trim=trim)
        self._embeddings: list[Embedding] = []

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Estimate from `(N, C, T)`; labelled anomalies are left out.

        Raises ModelError for examples that are too few, not finite or of another shape.
        """
        rows = self._windows(x)
        if y is not None:
            rows = rows[np.asarray(y) <= 0]
        if not len(rows) or not np.isfinite(rows).all():
            raise ModelError("the training examples are none, or hold NaN or infinity")
        self.encoder.fit(rows, self.seed)
        embeddings = [fit_embedding(f, self.dimensions) for f in self._features(rows)]
        for embedding in embeddings:  # of few windows only the first directions mean anything
            embedding.axes[:, len(rows) // _ROWS_A_DIRECTION :] = 0
        self.distance.fit(self._embedded(rows, embeddings))
        self._embeddings = embeddings

    def score(self, x: Array) -> Array:
        """`(N, C, T) -> (N,)`. Raises ModelError before training and for another shape."""
        return self.distance.score(self._seen(x))

    def contributions(self, x: Array) -> Array:
        """The share of each channel in the squared score: `(N, C, T) -> (N, C)`."""
        return self.distance.contributions(self._seen(x))

    def state(self) -> State:
        """Biases, directions and the distance's own arrays. Raises ModelError before training."""
        self._need_training()
        return {
            "centre": np.stack([e.centre for e in self._embeddings]),
            "axes": np.stack([e.axes for e in self._embeddings]),
            **put_under("encoder", self.encoder.state()),
            **put_under("distance", self.distance.state()),
        }

    def restore(self, state: State) -> None:
        """Take arrays from `state()`. Raises ModelError where they do not fit."""
        own = {name: array for name, array in state.items() if "/" not in name}
        others = {name.partition("/")[0] for name in state if "/" in name}
        if others != {"encoder", "distance"}:
            raise ModelError(
                f"arrays {sorted(state)} do not fit: encoder/ and distance/ are needed"
            )
        centre = (self.shape[0], self.size)
        arrays = checked(own, {"centre": centre, "axes": (*centre, self.distance.shape[1])})
        self.encoder.restore(under("encoder", state))
        self.distance.restore(under("distance", state))
        self._embeddings = [
            Embedding(*pair) for pair in zip(arrays["centre"], arrays["axes"], strict=True)
        ]

    def _seen(self, x: Array) -> Array:
        self._need_training()
        return self._embedded(self._windows(x), self._embeddings)

    def _embedded(self, rows: Array, embeddings: Sequence[Embedding]) -> Array:
        pairs = zip(embeddings, self._features(rows), strict=True)
        return np.stack([embedding(features) for embedding, features in pairs], axis=1)

    def _features(self, rows: Array) -> list[Array]:
        """Those of each channel: `(N, C, T) -> C of (N, P * F)`."""
        channels = range(self.shape[0])
        return [self.encoder.encode(rows, c).reshape(len(rows), self.size) for c in channels]

    def _windows(self, x: Array) -> Array:
        if x.shape[1:] != self.shape:
            raise ModelError(f"examples have shape {x.shape[1:]}; valid is {self.shape}")
        return np.clip(x, -_CLIP, _CLIP).astype(np.float32)

    def _need_training(self) -> None:
        if not self._embeddings:
            raise ModelError("RandomKernels has no estimate yet: call fit or restore first")
