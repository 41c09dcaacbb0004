"""Detectors of whitened rows: distances between them know how the dimensions go together.

Without it, a distance adds up what all dimensions say alike; a broken relation between two
channels, each of which is ordinary, is lost in the noise of the others.
"""

from __future__ import annotations

import numpy as np

from monitor.detect.classical.crosswise import CrosswiseDetector
from monitor.detect.classical.mahalanobis import product, whitening_of
from monitor.detect.classical.rows import Floats, Shapes, shares, stored
from monitor.types import Array, State


class WhitenedDetector(CrosswiseDetector):
    """What detectors of whitened rows have in common. Not a detector itself: a subclass has
    `_learned_white`, `_raw_white`, `_kept_white` and `_off`.

    The whitening is that of the Mahalanobis distance: shrunk, and symmetric, so that a whitened
    dimension belongs to one original dimension.
    """

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

    def _learned_white(self, rows: Array) -> State:
        """The subclass' own arrays from whitened rows `(N, d)`."""
        raise NotImplementedError

    def _raw_white(self, arrays: State, rows: Array) -> Array:
        """The scores `(N,)` of whitened rows."""
        raise NotImplementedError

    def _kept_white(self, state: State) -> Shapes:
        """The arrays of `_learned_white`, and their shapes."""
        raise NotImplementedError

    def _off(self, arrays: State, rows: Array) -> Array:
        """How far each dimension of whitened rows is off: `(N, d) -> (N, d)`, at least 0."""
        raise NotImplementedError


def learned_whitening(z: Floats) -> State:
    """`mean` and `whitening` of standardised rows `(N, d)`."""
    mean, whitening = whitening_of(z)
    return stored(mean=mean, whitening=whitening)


def white(arrays: State, z: Array) -> Array:
    """Standardised rows with the covariance taken out: `(N, d) -> (N, d)`."""
    return product(z - arrays["mean"], arrays["whitening"])
