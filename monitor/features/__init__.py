"""What a detector is given of a window: itself, or one of the views below, of scaled samples.

Training, serving and what learns in the stream call the same functions. A class says by `view` what
it wants to see, by `frame_view` what of a camera's frame; the parameter `view` of a use overrides
both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from monitor.errors import ConfigError
from monitor.features.change import change
from monitor.features.level import LEVELS, level, mean, means, moments, newest
from monitor.features.pixels import pixels, pixels_of
from monitor.features.shape import shape
from monitor.features.spectrum import bands, spectrum
from monitor.features.statistics import STATISTICS, statistics
from monitor.types import Array


class View(NamedTuple):
    """`make` turns scaled windows `(N, C, T)` into `(N, C, size(T))`."""

    make: Callable[[Array], Array]
    size: Callable[[int], int]


def _itself(x: Array) -> Array:
    return x


WHOLE, PIXELS = "window", "pixels"
VIEWS = {
    WHOLE: View(_itself, lambda samples: samples),
    "shape": View(shape, lambda samples: samples),
    "mean": View(mean, lambda _: 1),
    "means": View(means, lambda _: 3),
    "moments": View(moments, lambda _: 2),
    "newest": View(newest, lambda _: 2),
    "level": View(level, lambda _: len(LEVELS)),
    "change": View(change, lambda _: 1),
    "statistics": View(statistics, lambda _: len(STATISTICS)),
    "spectrum": View(spectrum, bands),
}


def seen(view: str, scaled: Array) -> Array:
    """A view of scaled windows `(N, C, T)`, or of frames `(N, C, H, W)`: `-> (N, C, size)`.

    A whole frame keeps its sides; any other view but `pixels` sees a colour's pixels row after row.
    """
    if scaled.ndim == 3 or view == WHOLE:
        return _known(view).make(scaled)
    if view == PIXELS:
        return pixels(scaled)
    return _known(view, frames=True).make(scaled.reshape(*scaled.shape[:2], -1))


def seen_shape(view: str, example: Sequence[int]) -> tuple[int, ...]:
    """The shape of a view of windows `(C, T)` or frames `(C, H, W)`."""
    colours, *sides = example
    if len(sides) == 1:
        return colours, _known(view).size(sides[0])
    if view == WHOLE:
        return colours, *sides
    if view == PIXELS:
        return colours, pixels_of((sides[0], sides[1]))
    return colours, _known(view, frames=True).size(prod(sides))


def natural(x: Array, front: Mapping[str, Any]) -> Array:
    """Examples `(N, C, T)` as their front makes them: frames get their sides, `(N, C, H, W)`."""
    return x.reshape(*x.shape[:2], *front["frame"]) if "frame" in front else x


def natural_shape(shape: Sequence[int], front: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of one: `(C, T)`, or `(C, H, W)` of a frame."""
    return (shape[0], *front["frame"]) if "frame" in front else tuple(shape)


def _known(view: str, *, frames: bool = False) -> View:
    if view not in VIEWS:
        valid = ", ".join((*VIEWS, PIXELS) if frames else VIEWS)
        only = f"; {PIXELS} is for frames" if view == PIXELS else ""
        raise ConfigError(f"view is {view!r}; valid are {valid}{only}")
    return VIEWS[view]
