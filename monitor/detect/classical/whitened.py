"""Detectors of whitened rows: distances between them know how the dimensions go together.

Without that, a distance adds up what all dimensions say; a broken relation between two channels,
each of which is ordinary, is lost in the noise of the others. What is made round is the scatter of
rows about those most like them, not about the mean of all: a machine with several modes of
operation would else hide in the distance between its modes what leaves all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from monitor.detect.classical.crosswise import CrosswiseDetector, blocks
from monitor.detect.classical.mahalanobis import product, shrunk_covariance
from monitor.detect.classical.neighbours import nearest_in
from monitor.detect.classical.rows import TRIM, Floats, Shapes, shares, stored
from monitor.errors import ConfigError
from monitor.types import Array, State

LARGEST = 1024
_NEIGHBOURS, _STEP = 20, 4
_GLOBAL = 0.01  # a dimension that is at rest about each mode has a tenth of its whole spread


class WhitenedDetector(CrosswiseDetector):
    """What detectors of whitened rows have in common. Not a detector itself: a subclass has
    `_learned_white`, `_raw_white`, `_kept_white` and `_off`.

    The covariance is that of the differences from the 20 nearest rows of other blocks of time, and
    a hundredth of the whole one; both shrunk, and the whitening symmetric, as for the Mahalanobis
    distance, so that a whitened dimension belongs to one original dimension.
    """

    view: ClassVar[str] = "window"

    def __init__(
        self, shape: Sequence[int], *, trim: float = TRIM, most: int = 2000, seed: int = 0
    ) -> None:
        super().__init__(shape, trim=trim, most=most, seed=seed)
        if self.size > LARGEST:
            raise ConfigError(
                f"examples of shape {self.shape} have {self.size} numbers; at most {LARGEST} are "
                f"valid: use the view 'statistics' for long windows"
            )

    def contributions(self, x: Array) -> Array:
        """The share of each channel in how far an example is off: `(N, *shape) -> (N, C)`."""
        arrays, z = self._trained(), self._standard(x)
        parts = self._off(arrays, white(arrays, z))
        summed = parts.reshape(len(x), self.shape[0], self.size // self.shape[0]).sum(axis=2)
        nothing = (summed.sum(axis=1) == 0) & (self._scored(arrays, z) > 0)
        summed[nothing] = 1  # where no channel is off more than another
        return shares(summed)

    def _learned(self, z: Floats) -> State:
        whitening = learned_whitening(z)
        return {**whitening, **self._learned_white(white(whitening, z.astype(np.float32)))}

    def _raw(self, arrays: State, z: Array) -> Array:
        return self._raw_white(arrays, white(arrays, z))

    def _kept(self, state: State) -> Shapes:
        whitening = {"mean": (self.size,), "whitening": (self.size, self.size)}
        return {**whitening, **self._kept_white(state)}

    @abstractmethod
    def _learned_white(self, rows: Array) -> State:
        """The subclass' own arrays from whitened rows `(N, d)`."""

    @abstractmethod
    def _raw_white(self, arrays: State, rows: Array) -> Array:
        """The scores `(N,)` of whitened rows."""

    @abstractmethod
    def _kept_white(self, state: State) -> Shapes:
        """The arrays of `_learned_white`, and their shapes."""

    @abstractmethod
    def _off(self, arrays: State, rows: Array) -> Array:
        """How far each dimension of whitened rows is off: `(N, d) -> (N, d)`, at least 0."""


def learned_whitening(z: Floats) -> State:
    """`mean` and `whitening` of standardised rows `(N, d)` in the order of time."""
    spread = shrunk_covariance(_from_neighbours(z)) / 2
    mean = z.mean(axis=0)
    values, vectors = np.linalg.eigh(spread + _GLOBAL * shrunk_covariance(z - mean))
    values = np.maximum(values, max(values[-1] * 1e-6, 1e-12))
    return stored(mean=mean, whitening=(vectors / np.sqrt(values)) @ vectors.T)


def _from_neighbours(z: Floats) -> Floats:
    """Differences of each row from some of those nearest to it in other blocks: `(N, d) -> (M, d)`.

    Every fourth neighbour: the others would say nearly the same, at four times the cost.
    """
    rows = z.astype(np.float32)
    found = []
    for own, others in blocks(len(z)):
        k = min(_NEIGHBOURS, len(others))
        _, places = nearest_in(rows[own], np.ascontiguousarray(rows[others].T), k)
        near = z[others][places[:, ::_STEP]]
        found.append((z[own][:, None] - near).reshape(-1, z.shape[1]))
    return np.concatenate(found)


def white(arrays: State, z: Array) -> Array:
    """Standardised rows with the covariance taken out: `(N, d) -> (N, d)`."""
    return product(z - arrays["mean"], arrays["whitening"])
