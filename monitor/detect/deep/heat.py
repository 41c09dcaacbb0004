"""Where in an example what cannot be rebuilt lies: the heat maps of autoencoders."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from monitor.detect.deep.torch_base import PartsDetector
from monitor.types import Array

_SMOOTHING = (1.0, 4.0, 6.0, 4.0, 1.0)


class ErrorMaps(PartsDetector, ABC):
    """A detector whose score is an error of rebuilding, by channel in units of `net.weight`."""

    @abstractmethod
    def rebuild(self, x: Array) -> Array:
        """What the net gives back: `(N, *shape) -> (N, *shape)`."""

    def heat_maps(self, x: Array) -> Array:
        """The error of each sample, as its channel counts in the score: `(N, C, T) -> (N, C, T)`,
        or of each pixel over all colours, lightly smoothed: `(N, C, H, W) -> (N, H, W)`.
        """
        rebuilt = torch.from_numpy(self.rebuild(x))
        weight = self.net.get_buffer("weight")[: self.shape[0]]
        return self._through(lambda rows: heat(self._errors(rebuilt - rows), weight), x)

    def _errors(self, difference: Tensor) -> Tensor:
        """How a difference counts."""
        return difference.square()


def heat(errors: Tensor, weight: Tensor) -> Tensor:
    """Errors `(N, C, ...)` with the weights `(C,)` of their channels: `(N, C, T)`, or `(N, H, W)`
    smoothed. The mean of a map is the sum of the channels' weighted mean errors.
    """
    if errors.ndim == 3:
        return errors * (weight * len(weight))[:, None]
    return smoothed((errors * weight[:, None, None]).sum(1))


def smoothed(maps: Tensor) -> Tensor:
    """Each place with its neighbours, by binomial weights of 5 x 5; the border is held."""
    line = torch.tensor(_SMOOTHING) / sum(_SMOOTHING)
    wide = pad(maps[:, None], (2, 2, 2, 2), mode="replicate")
    return conv2d(conv2d(wide, line.reshape(1, 1, 5, 1)), line.reshape(1, 1, 1, 5))[:, 0]
