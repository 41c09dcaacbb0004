"""Trees as JSON and msgpack messages have them, sound in shape, with leaves from hell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import orjson

from tests.fuzz.draws import Draws

Pack = Callable[[Any], bytes]

NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 0.0, -0.0, 1.5, -2.25, 5e-324, 1e-310, 1e-38, 3.4e38, 3.5e38, 1.7e308, -1.7e308,
    2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 253_402_300_799, 253_402_300_800,
    float("nan"), float("inf"), float("-inf"), 1_767_225_600, 1_767_225_600_000, 1e18,
)  # fmt: skip
TEXTS = (
    "", "a", "x", "machine-1", "0", "-1", "1.5", "NaN", "null", "\0", "a\nb", "\u2028", "\u202e",
    "é" * 300, "2026-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-14:00",
    "0001-01-01T00:00:00+14:00", "2026-W01-1", "2026-02-30T00:00:00", "24:00", "\U0001f4a5" * 40,
    "../../etc/passwd", "${HOME}",
)  # fmt: skip
KEYS = ("values", "time", "data", "meta", "id", "channel", "x", "y", "z", "0", "", "a.b")


def hostile(draws: Draws, packed: bool, depth: int = 0) -> Any:
    """Anything that a message may hold; `packed` ones know bytes, time stamps and extensions."""
    kind = draws.below(12 if packed else 9)
    if kind < 2 and depth < 4:
        several = [hostile(draws, packed, depth + 1) for _ in range(draws.below(5))]
        return several if kind else dict(zip(KEYS, several, strict=False))
    if kind == 2:
        return draws.one(TEXTS)
    if kind == 3:
        return draws.one((None, True, False))
    if kind == 4:
        return _nested(draws.one((1, 2, 3, 40, 70, 200)))
    if kind == 9:
        return draws.data(draws.one((0, 1, 3, 4, 8, 32)))
    if kind == 10:
        seconds = draws.one((0, -(2**63), 2**63 - 1, 1_767_225_600))
        return msgpack.Timestamp(seconds, draws.below(10**9))
    if kind == 11:
        return msgpack.ExtType(draws.below(128), draws.data(draws.below(20)))
    return draws.one(NUMBERS)


def _nested(depth: int) -> Any:
    found: Any = 1.0
    for _ in range(depth):
        found = [found]
    return found


def numbers(draws: Draws, count: int) -> list[Any]:
    """Samples; in some lists one of them is no number, or one to fear."""
    found: list[Any] = draws.normal(count).tolist()
    while draws.chance(0.3) and found:
        found[draws.below(count)] = draws.one((*NUMBERS, None, True, "1.5", []))
    return found


def samples(draws: Draws, channels: int) -> Any:
    """Of one or all channels, in one of the shapes that are allowed, or nearly."""
    count = draws.one((0, 1, 2, 4, 4, 4, 16, 64, 300))
    if channels == 1 and draws.chance(0.7):
        return numbers(draws, count)
    rows = channels + (draws.below(3) - 1) * draws.chance(0.1)
    found = [numbers(draws, count) for _ in range(rows)]
    if found and draws.chance(0.1):
        found[draws.below(rows)].append(1.0)
    return found


def put(document: dict[str, Any], path: str, value: Any) -> None:
    """Set what a dotted path leads to, and make the maps on the way."""
    *way, last = path.split(".")
    for step in way:
        document = document.setdefault(step, {})
    document[last] = value


def as_json(document: Any) -> bytes:
    """JSON; a number that it does not know is null."""
    return orjson.dumps(document)


def as_msgpack(document: Any) -> bytes:
    """msgpack, floats as doubles."""
    return bytes(msgpack.packb(document))
