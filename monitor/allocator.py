"""Memory of the process: given back as soon as it is free, so that a long run stays as it began."""

from __future__ import annotations

import ctypes
import sys

# Names and numbers of glibc's malloc.h; see mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_MIB = 1 << 20


def give_back() -> bool:
    """Have blocks of 1 MiB and more come from the system and go back to it at once, whatever was
    freed before; False where the C library is not glibc.

    By itself malloc learns from every large block that is freed to keep larger ones, up to 32 MiB:
    snapshots of many sensors then leave holes, and the memory of a process creeps up for hours.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    wanted = ((_ARENA_MAX, 2), (_MMAP_THRESHOLD, _MIB), (_TRIM_THRESHOLD, _MIB))
    return all([mallopt(name, value) == 1 for name, value in wanted])
