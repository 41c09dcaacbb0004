"""Fully connected nets for examples of any shape, for what has no order of samples to use."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from monitor.detect.deep.nets import MOST_WEIGHTS
from monitor.errors import ConfigError

_WIDEST = 1024
_USUAL_WEIGHTS = 2**24


def check_sides(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape as a tuple. Raises ConfigError for anything but (C, T) or (C, H, W)."""
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ConfigError(
            f"shape {tuple(shape)} cannot be used by a dense net; valid are (channels, samples) "
            "and (channels, height, width), each side at least 1"
        )
    return tuple(int(side) for side in shape)


def usual_widths(size: int) -> tuple[int, ...]:
    """One layer of half as many numbers as an example has, at most 1,024; fewer for examples of
    over 16,384 numbers, so that the layer has at most 2**24 weights.
    """
    return (max(1, min(size // 2, _WIDEST, _USUAL_WEIGHTS // size)),)


def check_dense(sizes: Sequence[int]) -> None:
    """Raises ConfigError for a net of over MOST_WEIGHTS, before memory is taken for it."""
    count = sum(before * after for before, after in pairwise(sizes))
    if count > MOST_WEIGHTS:
        raise ConfigError(
            f"layers of the sizes {tuple(sizes)} make {count} weights; at most {MOST_WEIGHTS} "
            "are valid: take smaller widths"
        )


def dense(sizes: Sequence[int]) -> nn.Sequential:
    """Layers from the first size to the last, `(N, sizes[0]) -> (N, sizes[-1])`.

    All but the last are followed by a leaky rectifier.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers[:-1])
