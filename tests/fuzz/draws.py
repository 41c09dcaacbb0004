"""Random choices by the million, from one seeded generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
_BLOCK = 65_536


class Draws:
    """Numbers of a numpy generator, drawn in blocks: a single one costs 0.1 us instead of 3."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._numbers = self._stream()

    def part(self) -> float:
        """From 0 up to 1."""
        return next(self._numbers)

    def below(self, limit: int) -> int:
        """0 to `limit` - 1; 0 where the limit is less than 1."""
        return int(next(self._numbers) * limit)

    def within(self, low: int, high: int) -> int:
        """`low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def one(self, items: Sequence[Item]) -> Item:
        """Any of them."""
        return items[self.below(len(items))]

    def chance(self, part: float) -> bool:
        """True in that part of all cases."""
        return next(self._numbers) < part

    def data(self, size: int) -> bytes:
        """So many random bytes."""
        return self._random.bytes(size)

    def normal(self, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Standard normal numbers."""
        return self._random.standard_normal(shape, np.float32)

    def _stream(self) -> Iterator[float]:
        while True:
            yield from self._random.random(_BLOCK).tolist()
