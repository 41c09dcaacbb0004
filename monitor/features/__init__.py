"""What a detector is given of a window: itself, or one of the views below, of scaled samples.

Training, serving and what learns in the stream call the same functions. A class says by `view` what
it wants to see; the parameter `view` of a use overrides that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from monitor.errors import ConfigError
from monitor.features.change import change
from monitor.features.level import LEVELS, level, mean, means, moments
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


WHOLE = "window"
VIEWS = {
    WHOLE: View(_itself, lambda samples: samples),
    "shape": View(shape, lambda samples: samples),
    "mean": View(mean, lambda _: 1),
    "means": View(means, lambda _: 3),
    "moments": View(moments, lambda _: 2),
    "level": View(level, lambda _: len(LEVELS)),
    "change": View(change, lambda _: 1),
    "statistics": View(statistics, lambda _: len(STATISTICS)),
    "spectrum": View(spectrum, bands),
}


def seen(view: str, scaled: Array) -> Array:
    """A view of scaled windows: `(N, C, T) -> (N, C, size)`."""
    return _known(view).make(scaled)


def seen_shape(view: str, window: Sequence[int]) -> tuple[int, ...]:
    """The shape of a view of windows `(C, T)`."""
    return window[0], _known(view).size(window[1])


def _known(view: str) -> View:
    if view not in VIEWS:
        raise ConfigError(f"view is {view!r}; valid are {', '.join(VIEWS)}")
    return VIEWS[view]
