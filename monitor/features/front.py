"""What comes before the models: a stream's windows -> what its models are given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monitor.features.log_mel import LogMel
from monitor.types import Array
from monitor.windowing import SoundConfig, Window

Front = Callable[[Array], Array]


def front(window: Window) -> Front:
    """Windows `(N, C, T)` as they were cut -> examples `(N, *window.model_shape)`."""
    if not isinstance(window, SoundConfig):
        return _itself
    mel = LogMel(window.rate, window.mel, window.high)
    return lambda x: mel(np.ascontiguousarray(x[:, 0]))


def _itself(x: Array) -> Array:
    return x
