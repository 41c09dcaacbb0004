"""Decoded lists and bytes -> float32 arrays; null is NaN, text and truth values are refused.

Types are looked at before numpy sees the values: of texts it would make one array with room for the
longest in every place, gigabytes from a message of a few kilobytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.errors import DecodeError
from monitor.stream.codec.telling import told
from monitor.types import Array

_LITTLE = np.dtype("<f4")
_NAN = float("nan")
_NUMBERS = {int, float, type(None)}  # and not bool, though it is an int


def matrix(values: Any, channels: int, most: int) -> Array:
    """`(C, n)` from a number, a list `[n]` or `[C]`, a list of lists `[C][n]`, or raw float32.

    A flat list is n samples where there is one channel, one sample of each channel otherwise. More
    than `most` numbers are refused before they become an array.
    """
    if isinstance(values, bytes):
        return _raw(values, channels)
    if not isinstance(values, list):
        return _row([values], channels, most)
    if values and {*map(type, values)} == {list}:
        return _rows(values, channels, most)
    return _row(values, channels, most)


def row(values: Any, channel: str, most: int) -> Array:
    """`(n,)` from a number or a list of the one channel called `channel`."""
    try:
        return matrix(values, 1, most).reshape(-1)
    except DecodeError as error:
        raise DecodeError(error.reason, f"channel {channel!r}: {error.detail}") from error


def _raw(values: bytes, channels: int) -> Array:
    if len(values) % (4 * channels):
        raise DecodeError(
            "wrong_shape", f"{len(values)} bytes are no whole float32 for {channels} channels"
        )
    data: Array = np.frombuffer(values, _LITTLE)
    return data.reshape(channels, -1)


def _row(values: list[Any], channels: int, most: int) -> Array:
    """One channel's samples, or one sample of each channel."""
    (values,) = _checked([values], most)
    if channels > 1 and len(values) not in (0, channels):
        raise DecodeError(
            "wrong_shape",
            f"the values have shape {(len(values),)}; for {channels} channels ({channels},) is one "
            f"sample of each, ({channels}, n) is n of each",
        )
    return _float32(values).reshape(channels, -1)


def _rows(values: list[list[Any]], channels: int, most: int) -> Array:
    if len(values) != channels:
        raise DecodeError("wrong_shape", f"the values have {len(values)} rows, not {channels}")
    lengths = {*map(len, values)}
    if len(lengths) > 1:
        raise DecodeError("wrong_shape", "the lists of values are not equally long")
    return _float32(_checked(values, most))


def _checked(rows: Sequence[list[Any]], most: int) -> list[list[Any]]:
    """The rows with NaN for null. Refuses what is not only numbers, or too many of them."""
    count = sum(map(len, rows))
    if count > most:
        raise DecodeError(
            "too_many_samples", f"the message has {count} numbers; limits.samples is {most}"
        )
    return [_row_checked(values) for values in rows]


def _row_checked(values: list[Any]) -> list[Any]:
    types = {*map(type, values)}
    if odd := types - _NUMBERS:
        first = next(value for value in values if type(value) in odd)
        if isinstance(first, list):
            raise DecodeError(
                "wrong_shape", "the values are lists in lists in lists; at most two fit"
            )
        raise DecodeError("not_a_number", f"{told(first)} is not a number or null")
    if type(None) in types:  # numpy would do it too, but far slower
        return [_NAN if value is None else value for value in values]
    return values


def _float32(values: list[Any]) -> Array:
    data = np.array(values, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # a NaN may be of the kind that signals
        return data.astype(np.float32)
