"""The compiler: numba, with types that mypy can follow and settings that keep results
reproducible.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile to machine code on first use and keep it on disk.

    No `fastmath`: it may reorder sums and assumes that NaN never occurs, and the same input must
    give the same bits.
    """
    return cast(Function, numba.njit(cache=True, nogil=True)(function))


def inlined(function: Function) -> Function:
    """The same for a small helper that is called from a hot loop of another compiled function."""
    return cast(Function, numba.njit(cache=True, nogil=True, inline="always")(function))
