"""Scaling: every channel in units of its own usual spread, so one model serves many sensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.types import Array

CLIP = 100.0
Mask = NDArray[np.bool_]
_TINY = 1e-6
Fit = Callable[[Array], Array]


def fit_scaling(x: Array) -> Array:
    """A robust centre and scale of each channel: `(N, C, T) -> (2, C)`.

    The median, and the interquartile range over 1.349 (a normal distribution's standard
    deviation). The scale is at least a tenth of the standard deviation, for channels that rest
    most of the time, at least 1e-4 of the centre and at least 1e-6, so that a constant channel
    is divided by something sane.
    """
    values = np.moveaxis(np.asarray(x, np.float64), 1, 0).reshape(x.shape[1], -1)
    low, centre, high = np.quantile(values, (0.25, 0.5, 0.75), axis=1)
    scale = np.maximum((high - low) / 1.349, values.std(axis=1) / 10)
    scale = np.maximum(scale, np.maximum(1e-4 * np.abs(centre), _TINY))
    return np.stack([centre, scale]).astype(np.float32)


def scaling_of(front: Mapping[str, Any]) -> Fit:
    """How constants `(2, C)` come from examples `(N, C, T)`; `front`, as in `Manifest`, says how
    these were made.
    """
    if "frame" in front:
        return lambda x: frame_scaling(x.shape[1])
    return even_scaling if front.get("mel", {}).get("scale") == "sound" else fit_scaling


def even_scaling(x: Array) -> Array:
    """As `fit_scaling`, but the same for all channels: their differences stay: `(2, C)`."""
    return np.repeat(fit_scaling(x.reshape(len(x), 1, -1)), x.shape[1], axis=1)


def frame_scaling(channels: int) -> Array:
    """The same for every camera, `(2, C)`: pixels of 0 to 255 become about -1 to 1, as the nets
    that were trained on photographs want them; the light of a scene is part of what is seen.
    """
    return np.repeat(np.array([[127.0], [128.0]], np.float32), channels, axis=1)


def unscale(scaled: Array, constants: Array) -> Array:
    """What `scale` was given, but for what it clipped: `(N, C, T), (N, 2, C) -> (N, C, T)`."""
    centre, spread = constants[:, 0, :, None], constants[:, 1, :, None]
    return np.asarray(scaled * spread + centre, np.float32)


@compiled
def scale(x: Array, constants: Array) -> Array:
    """Subtract the centre, divide by the scale: `(N, C, T), (N, 2, C) -> (N, C, T)`.

    The result is clipped to +-CLIP scales: beyond that a window is anomalous anyway, and a wild
    value cannot overflow what follows. NaN stays NaN.
    """
    scaled = np.empty(x.shape, np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            centre = constants[n, 0, c]
            divisor = constants[n, 1, c]
            for t in range(x.shape[2]):
                value = (x[n, c, t] - centre) / divisor
                scaled[n, c, t] = min(max(value, -CLIP), CLIP) if value == value else value
    return scaled


@compiled
def beyond(x: Array, constants: Array, span: Array) -> Mask:
    """Which windows have a scaled sample outside of the span of its channel, from the lowest to the
    highest: `(N, C, T), (N, 2, C), (2, C) -> (N,)`. NaN is not.
    """
    found = np.zeros(x.shape[0], np.bool_)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            centre, divisor = constants[n, 0, c], constants[n, 1, c]
            low, high = centre + span[0, c] * divisor, centre + span[1, c] * divisor
            for t in range(x.shape[2]):
                found[n] |= x[n, c, t] < low or x[n, c, t] > high
    return found
