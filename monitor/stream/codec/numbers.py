"""Decoded lists and bytes -> float32 arrays; null is NaN, text and truth values are refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from monitor.errors import DecodeError
from monitor.types import Array

_LITTLE = np.dtype("<f4")


def matrix(values: Any, channels: int) -> Array:
    """`(C, n)` from a number, a list `[n]` or `[C]`, a list of lists `[C][n]`, or raw float32.

    A flat list is n samples where there is one channel, one sample of each channel otherwise.
    """
    if isinstance(values, bytes):
        return _raw(values, channels)
    data = _array(values)
    if data.ndim == 2:
        return data
    if data.ndim > 2:
        raise DecodeError("wrong_shape", f"the values are nested {data.ndim} deep; at most 2 fit")
    if channels == 1:
        return data.reshape(1, -1)
    if data.size and data.shape != (channels,):
        raise DecodeError(
            "wrong_shape",
            f"the values have shape {data.shape}; for {channels} channels ({channels},) is one "
            f"sample of each, ({channels}, n) is n of each",
        )
    return data.reshape(channels, -1)


def row(values: Any, channel: str) -> Array:
    """`(n,)` from a number or a list of the one channel called `channel`."""
    data = matrix(values, 1)
    if data.shape[0] != 1:
        raise DecodeError("wrong_shape", f"channel {channel!r} has shape {data.shape}, not (n,)")
    return data.reshape(-1)


def _raw(values: bytes, channels: int) -> Array:
    if len(values) % (4 * channels):
        raise DecodeError(
            "wrong_shape", f"{len(values)} bytes are no whole float32 for {channels} channels"
        )
    data: Array = np.frombuffer(values, _LITTLE)
    return data.reshape(channels, -1)


def _array(values: Any) -> Array:
    """Fast where all are numbers; only what holds anything else is looked at one by one."""
    try:
        data = np.array(values)
    except (ValueError, OverflowError) as error:
        raise DecodeError("wrong_shape", "the lists of values are not equally long") from error
    if data.dtype.kind == "O":
        data = _with_nulls(data)
    elif data.dtype.kind not in "fiu":
        raise DecodeError("not_a_number", f"{_first_odd(values)} is not a number")
    with np.errstate(over="ignore"):
        return data.astype(np.float32)


def _with_nulls(data: Any) -> Any:
    for value in data.flat:
        if value is not None and type(value) not in (int, float):
            raise DecodeError("not_a_number", f"{ascii(value)[:60]} is not a number or null")
    return data.astype(np.float64)


def _first_odd(values: Any) -> str:
    """The first thing that is no number, for the message."""
    while isinstance(values, list) and values:
        odd = (value for value in values if type(value) not in (int, float))
        values = next(odd, values[0])
    return ascii(values)[:60]
