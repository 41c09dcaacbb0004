"""A memory of normal patches: a window is as unusual as its strangest patch.

PatchCore (Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022, section
3) for time series, with a memory for each channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.arrays import put_under, under
from monitor.detect.classical.crosswise import blocks, whole
from monitor.detect.classical.neighbours import nearest_in
from monitor.detect.classical.rows import (
    MINIMUM,
    TRIM,
    checked,
    nearest,
    need_positive,
    shares,
    stored,
)
from monitor.detect.patches.coreset import coreset
from monitor.detect.patches.embedding import Embedding, fit_embedding
from monitor.detect.patches.random_encoder import RandomEncoder
from monitor.errors import ConfigError, ModelError
from monitor.types import Array, State

ENCODERS = ("random", "conv")
_SMALLEST_LEVEL = 0.1
_CLIP = 1e4


class Encoder(Protocol):
    """What describes the patches of a window by numbers."""

    features: int

    def fit(self, x: Array, seed: int) -> None: ...

    def encode(self, x: Array, channel: int) -> Array: ...

    def state(self) -> State: ...

    def restore(self, state: State) -> None: ...


class ChannelMemory(NamedTuple):
    """Normal patches of one channel: `memory` is `(d, M)`, `level` a usual distance from them."""

    embedding: Embedding
    memory: Array
    level: np.float32

    def squares(self, features: Array) -> Array:
        """Squared distances of patches `(N, P, F) -> (N, P)` from the nearest, in levels."""
        rows = self.embedding(features)
        found, _ = nearest_in(rows.reshape(-1, rows.shape[2]), self.memory, 1)
        result: Array = found.reshape(rows.shape[:2]) / self.level**2
        return result


class PatchMemory:
    """Scores the distance of a window's strangest patch from the nearest normal ones, in units of
    what it is for a normal window: about 1 if normal.

    Each channel has its own memory of at most `memory` patches, so the channels' shares are
    exact; a patch's squared distance is the mean of its channels'. A window has `patches` of
    them, each described by the `encoder` ("random" or "conv") in `dimensions` whitened numbers.
    `trim` is the share of training windows that do not enter the memory, because those of other
    times are farthest from them. Raises ConfigError for values that cannot be used.
    """

    view: ClassVar[str] = "window"
    frame_view: ClassVar[str] = "pixels"
    refits: ClassVar[bool] = True

    def __init__(
        self,
        shape: Sequence[int],
        *,
        encoder: str = "random",
        patches: int = 2,
        dimensions: int = 32,
        memory: int = 512,
        trim: float = TRIM,
        most: int = 2000,
        epochs: int = 10,
        seed: int = 0,
    ) -> None:
        if len(shape) != 2 or min(shape) < 1:
            raise ConfigError(
                f"shape {tuple(shape)} is not valid; patches are of windows (channels, samples)"
            )
        if not isinstance(trim, int | float) or not 0 <= trim < 0.5:
            raise ConfigError(f"trim is {trim!r}; numbers from 0 to under 0.5 are valid")
        self.shape = tuple(int(side) for side in shape)
        self.patches = whole("patches", patches, 1)
        self.dimensions = whole("dimensions", dimensions, 1)
        self.memory = whole("memory", memory, 1)
        self.trim = trim
        self.most = whole("most", most, MINIMUM)
        self.seed = whole("seed", seed, 0)
        self.encoder = _encoder(encoder, self.shape, self.patches, whole("epochs", epochs, 1))
        self._channels: list[ChannelMemory] = []

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Remember the patches of `(N, C, T)`, in the order of time; labelled anomalies are left
        out.

        Raises ModelError for examples that are too few, not finite or of another shape.
        """
        rows = self._usable(x, y)
        self.encoder.fit(rows, self.seed)
        outside = np.zeros((len(rows), self.patches))
        for channel in range(self.shape[0]):
            features = self.encoder.encode(rows, channel)
            distances = _from_other_times(fit_embedding(_flat(features), self.dimensions)(features))
            outside += distances / max(float(np.median(distances)), _SMALLEST_LEVEL**2)
        kept = rows[np.sort(nearest(outside.max(axis=1), self.trim))]
        self._channels = [self._learned(kept, channel) for channel in range(self.shape[0])]

    def score(self, x: Array) -> Array:
        """`(N, C, T) -> (N,)`. Raises ModelError before training and for another shape."""
        distance: Array = np.sqrt(self._squares(x).mean(axis=2).max(axis=1))
        return distance

    def contributions(self, x: Array) -> Array:
        """The share of each channel in the squared distance of the strangest patch:
        `(N, C, T) -> (N, C)`.
        """
        squares = self._squares(x)
        strangest = squares.mean(axis=2).argmax(axis=1)
        return shares(squares[np.arange(len(x)), strangest])

    def state(self) -> State:
        """The encoder's arrays, and those of each channel. Raises ModelError before training."""
        self._need_training()
        own = stored(
            centre=np.stack([c.embedding.centre for c in self._channels]),
            axes=np.stack([c.embedding.axes for c in self._channels]),
            memory=np.stack([c.memory for c in self._channels]),
            level=np.array([c.level for c in self._channels]),
        )
        return {**own, **put_under("encoder", self.encoder.state())}

    def restore(self, state: State) -> None:
        """Take arrays from `state()`. Raises ModelError where they do not fit."""
        own = {name: array for name, array in state.items() if not name.startswith("encoder/")}
        arrays = checked(own, self._shapes(own))
        need_positive(arrays, "level")
        self.encoder.restore(under("encoder", state))
        self._channels = [
            ChannelMemory(Embedding(centre, axes), memory, level)
            for centre, axes, memory, level in zip(
                *(arrays[name] for name in ("centre", "axes", "memory", "level")), strict=True
            )
        ]

    def _learned(self, rows: Array, channel: int) -> ChannelMemory:
        features = self.encoder.encode(rows, channel)
        embedding = fit_embedding(_flat(features), self.dimensions)
        patches = embedding(features)
        level = max(float(np.sqrt(np.median(_from_other_times(patches)))), _SMALLEST_LEVEL)
        places = coreset(_flat(patches), self.memory, self.seed)
        count = min(self.memory, len(rows) * self.patches)
        places = np.resize(places, count)  # as many for each channel; repeats change nothing
        memory = np.ascontiguousarray(_flat(patches)[places].T)
        return ChannelMemory(embedding, memory, np.float32(level))

    def _squares(self, x: Array) -> Array:
        """How far each patch is in each channel: `(N, C, T) -> (N, P, C)`."""
        self._need_training()
        rows = self._windows(x)
        return np.stack(
            [
                memory.squares(self.encoder.encode(rows, channel))
                for channel, memory in enumerate(self._channels)
            ],
            axis=2,
        )

    def _usable(self, x: Array, y: Array | None) -> Array:
        rows = self._windows(x)
        if y is not None:
            rows = rows[np.asarray(y) <= 0]
        if len(rows) < MINIMUM:
            raise ModelError(f"{len(rows)} examples are not anomalies; at least {MINIMUM} needed")
        if not np.isfinite(rows).all():
            raise ModelError("the training examples hold NaN or infinity; leave those windows out")
        drawn = np.random.default_rng(self.seed).permutation(len(rows))[: self.most]
        return rows[np.sort(drawn)]

    def _windows(self, x: Array) -> Array:
        if x.shape[1:] != self.shape:
            raise ModelError(f"examples have shape {x.shape[1:]}; valid is {self.shape}")
        return np.clip(x, -_CLIP, _CLIP).astype(np.float32)

    def _shapes(self, state: State) -> dict[str, tuple[int, ...]]:
        channels, features = self.shape[0], self.encoder.features
        size = min(self.dimensions, features)
        kept = state["memory"].size // (channels * size) if "memory" in state else 0
        return {
            "centre": (channels, features),
            "axes": (channels, features, size),
            "memory": (channels, size, min(max(kept, 1), self.memory)),
            "level": (channels,),
        }

    def _need_training(self) -> None:
        if not self._channels:
            raise ModelError("PatchMemory remembers nothing yet: call fit or restore first")


def _encoder(name: str, shape: tuple[int, ...], patches: int, epochs: int) -> Encoder:
    if name == "random":
        return RandomEncoder(shape, patches)
    if name != "conv":
        raise ConfigError(f"encoder is {name!r}; valid are {', '.join(ENCODERS)}")
    from monitor.detect.patches.conv_encoder import ConvEncoder  # torch is slow to import

    return ConvEncoder(shape, patches, epochs)


def _flat(patches: Array) -> Array:
    return patches.reshape(-1, patches.shape[-1])


def _from_other_times(patches: Array) -> NDArray[np.float32]:
    """Squared distances of each patch `(N, P, d) -> (N, P)` from the nearest of other blocks of
    time: overlapping windows, and a long anomaly, are not compared with themselves.
    """
    found = []
    for own, others in blocks(len(patches)):
        memory = np.ascontiguousarray(_flat(patches[others]).T)
        squares, _ = nearest_in(_flat(patches[own]), memory, 1)
        found.append(squares.reshape(-1, patches.shape[1]))
    return np.concatenate(found)
