"""Patches described by random convolutions: nothing is trained but quantiles."""

from __future__ import annotations

import numpy as np

from monitor.detect.classical.rows import checked, stored
from monitor.detect.patches.convolutions import (
    KERNELS,
    convolved,
    dilations_of,
    features_of,
    fit_biases,
)
from monitor.types import Array, State


class RandomEncoder:
    """Features of each patch of each channel, from kernels that are the same for every window.

    A patch is a stretch of the kernels' answers: the window is divided into `patches` of them.
    """

    def __init__(self, shape: tuple[int, ...], patches: int) -> None:
        self.channels, self.samples = shape
        self.patches = patches
        self.features = features_of(self.samples)
        self.biases: Array = np.zeros((0,), np.float32)

    def fit(self, x: Array, seed: int) -> None:
        """Take the biases from `(N, C, T)`."""
        self.biases = fit_biases(x, seed)

    def encode(self, x: Array, channel: int) -> Array:
        """The patches of one channel of windows `(N, C, T) -> (N, P, F)`, each row alone."""
        here = slice(channel, channel + 1)
        return convolved(x[:, here], self.biases[here], self.patches)[:, 0]

    def state(self) -> State:
        return stored(biases=self.biases)

    def restore(self, state: State) -> None:
        """Take arrays from `state()`; ModelError where they do not fit."""
        shape = (self.channels, len(dilations_of(self.samples)), KERNELS)
        self.biases = checked(state, {"biases": shape})["biases"]
