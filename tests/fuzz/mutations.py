"""Sound payloads -> damaged ones: flipped bits, extremes, cuts, repeats, splices, words."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from tests.fuzz.draws import Draws

# Where programs go wrong: limits of integers, and what is one more or less.
_INTEGERS = sorted(
    {s * 2**b + d for b in (0, 7, 8, 15, 16, 31, 32, 63) for d in (-1, 0, 1) for s in (-1, 1)}
)
_FLOATS = (
    0.0, -0.0, -1.0, 5e-324, 1e-310, 1.2e-38, 3.4e38, 1e39, 1.7e308,
    float("nan"), float("inf"), float("-inf"), 253_402_300_799.9, 253_402_300_800.0, -1e18,
)  # fmt: skip
_BYTES = (0x00, 0x01, 0x20, 0x7F, 0x80, 0x90, 0xC0, 0xC1, 0xD9, 0xDD, 0xDF, 0xFE, 0xFF)


class Mutator:
    """Damages payloads in one to four ways; `words` are pieces that mean something to a reader, and
    none gets longer than `longest`.
    """

    def __init__(self, draws: Draws, words: Sequence[bytes], longest: int) -> None:
        self._draws = draws
        self._longest = longest
        self._words = words or (b"\0",)
        self._ways: Sequence[Callable[[bytes, bytes], bytes]] = (
            self._flip, self._flip, self._set, self._extreme, self._extreme, self._cut, self._drop,
            self._repeat, self._splice, self._word, self._word, self._overwrite, self._noise,
        )  # fmt: skip

    def damaged(self, sound: bytes, other: bytes) -> bytes:
        """`sound` after some accidents; pieces of `other` may be put in."""
        for _ in range(1 + self._draws.below(4)):
            sound = self._draws.one(self._ways)(sound, other)
        return sound[: self._longest]

    def _flip(self, data: bytes, other: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(1 + self._draws.below(3)):
            if changed:
                changed[self._draws.below(len(changed))] ^= 1 << self._draws.below(8)
        return bytes(changed)

    def _set(self, data: bytes, other: bytes) -> bytes:
        changed = bytearray(data or b"\0")
        changed[self._draws.below(len(changed))] = self._draws.one(_BYTES)
        return bytes(changed)

    def _extreme(self, data: bytes, other: bytes) -> bytes:
        """An integer or a float at the limits of its kind, over what stands at some place."""
        kind = self._draws.one(("B", "<H", ">H", "<I", ">I", "<Q", ">Q", "<f", "<d", ">d"))
        if kind[-1] in "fd":
            number = self._draws.one(_FLOATS)
            packed = struct.pack(
                kind, number if kind[-1] == "d" or abs(number) < 3.4e38 else 3.4e38
            )
        else:
            size = struct.calcsize(kind)
            packed = struct.pack(kind, self._draws.one(_INTEGERS) % 256**size)
        at = self._draws.below(max(1, len(data) - len(packed) + 1))
        return data[:at] + packed + data[at + len(packed) :]

    def _cut(self, data: bytes, other: bytes) -> bytes:
        return data[: self._draws.below(len(data) + 1)]

    def _drop(self, data: bytes, other: bytes) -> bytes:
        start, stop = self._piece(data)
        return data[:start] + data[stop:]

    def _repeat(self, data: bytes, other: bytes) -> bytes:
        start, stop = self._piece(data)
        times = self._draws.one((2, 3, 10, 100, 1000))
        times = min(times, 1 + self._longest // max(1, stop - start))
        return data[:start] + data[start:stop] * times + data[stop:]

    def _splice(self, data: bytes, other: bytes) -> bytes:
        return data[: self._draws.below(len(data) + 1)] + other[self._draws.below(len(other) + 1) :]

    def _word(self, data: bytes, other: bytes) -> bytes:
        at = self._draws.below(len(data) + 1)
        return data[:at] + self._draws.one(self._words) + data[at:]

    def _overwrite(self, data: bytes, other: bytes) -> bytes:
        start, stop = self._piece(data)
        return data[:start] + self._draws.one(self._words) + data[stop:]

    def _noise(self, data: bytes, other: bytes) -> bytes:
        at = self._draws.below(len(data) + 1)
        return data[:at] + self._draws.data(1 + self._draws.below(16)) + data[at:]

    def _piece(self, data: bytes) -> tuple[int, int]:
        """Some part, mostly a short one."""
        start = self._draws.below(len(data) + 1)
        most = len(data) - start if self._draws.chance(0.2) else min(16, len(data) - start)
        return start, start + self._draws.below(most + 1)
