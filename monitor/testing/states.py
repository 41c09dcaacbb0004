"""Comparing and copying the state of anything that remembers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.protocols import Stateful
from monitor.types import State


def same_state(a: State, b: State) -> bool:
    """Whether two states are equal in every name, type, shape and bit."""
    return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)


def copied_state(part: Stateful) -> State:
    """A copy of a state, as a file would keep it: plain arrays of numbers under names."""
    state = part.state()
    for key, value in state.items():
        assert isinstance(key, str), f"state key {key!r} is not a string"
        assert isinstance(value, np.ndarray), f"state {key!r} is {type(value).__name__}, no array"
        assert value.dtype.kind in "biuf", f"state {key!r} is of {value.dtype}, not of numbers"
        assert value.ndim > 0, f"state {key!r} has no dimension; files keep at least one"
    return {key: value.copy() for key, value in state.items()}


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
