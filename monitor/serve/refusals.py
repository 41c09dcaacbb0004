"""How many requests and connections were turned away, by the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Reason = Literal["connections", "size", "host", "rate", "login"]
REASONS: tuple[Reason, ...] = ("connections", "size", "host", "rate", "login")


class Refusals:
    """Counts from one thread, that of the server, which also reads them."""

    def __init__(self) -> None:
        self._totals = dict.fromkeys(REASONS, 0)

    def count(self, reason: Reason) -> None:
        """One more."""
        self._totals[reason] += 1

    def totals(self) -> Mapping[tuple[str, ...], float]:
        """As the counters of a View: every reason, also those that never were."""
        return {("http_refused", reason): float(n) for reason, n in self._totals.items()}
