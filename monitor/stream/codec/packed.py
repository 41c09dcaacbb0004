"""msgpack, but only where it has the bytes for what it announces.

A list says in advance how long it is, and msgpack makes room for all of it: a message of a few
kilobytes, a thousand lists of a million each one in the other, takes seconds and gigabytes of
address space before it is found to be cut short.
"""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled, inlined
from monitor.stream.codec.limits import check_parts

# What follows the first bytes 0xc0 to 0xdf: so many bytes of a length, and so many others.
_LENGTH = np.array([0, 0, 0, 0, 1, 2, 4, 1, 2, 4, *[0] * 15, 1, 2, 4, 2, 4, 2, 4])
_FIXED = np.array([*[0] * 7, 1, 1, 1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, *[0] * 7])


def unpacked(data: bytes) -> Any:
    """The one value in a message. Raises ValueError or msgpack's errors where there is none, or
    one of too many parts.
    """
    parts = _parts(np.frombuffer(data, np.uint8), _LENGTH, _FIXED)
    if parts < 0:
        raise ValueError("it announces more than it has bytes for")
    check_parts(parts)
    return msgpack.unpackb(data)


@compiled
def _parts(data: NDArray[np.uint8], length: NDArray[np.int64], fixed: NDArray[np.int64]) -> int:
    """How many lists and maps there are; -1 where at some point fewer bytes are left than values
    are announced.
    """
    size = len(data)
    at = np.int64(0)
    values = np.int64(1)
    parts = 0
    while values > 0:
        if values > size - at:
            return -1
        head = np.int64(data[at])
        at += 1
        values -= 1
        if head < 0x80 or head >= 0xE0:
            continue
        if head < 0x90:
            values += 2 * (head - 0x80)
            parts += 1
        elif head < 0xA0:
            values += head - 0x90
            parts += 1
        elif head < 0xC0:
            at += head - 0xA0
        else:
            number = _number(data, at, length[head - 0xC0])
            at += length[head - 0xC0] + fixed[head - 0xC0]
            if head >= 0xDC:
                values += number if head < 0xDE else 2 * number
                parts += 1
            else:
                at += number
    return parts if at <= size else -1


@inlined
def _number(data: NDArray[np.uint8], at: np.int64, size: np.int64) -> np.int64:
    """The big-endian number that stands at a place, as far as it is there."""
    number = np.int64(0)
    for byte in data[at : at + size]:
        number = 256 * number + np.int64(byte)
    return number
