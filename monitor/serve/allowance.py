"""How often a client may do something: a token bucket for each, in bounded memory."""

from __future__ import annotations

import time
from ipaddress import IPv6Address, ip_address

from monitor.types import Clock

MOST_KEYS = 10_000
# A site or a home has a whole IPv6 network of this size and may take any address in it.
HOST_BITS = 64


class Allowances:
    """For each key `burst` at once, and `rate` a second in the long run.

    All that is kept of a key is when its bucket will be full again. Above `most` keys the one that
    was not heard of for the longest time is forgotten, which is a full bucket.
    """

    def __init__(
        self, rate: float, burst: int, clock: Clock = time.monotonic, most: int = MOST_KEYS
    ) -> None:
        self._interval = 1.0 / rate
        # A little more than it is, or rounding would make the last one of a burst wait.
        self._slack = (burst - 1 + 1e-3) * self._interval
        self._clock = clock
        self._most = most
        self._full: dict[str, float] = {}

    def wait(self, key: str) -> float:
        """Seconds until this key may again; 0 where it may now."""
        now = self._clock()
        return max(0.0, self._full.get(key, now) - self._slack - now)

    def take(self, key: str) -> float:
        """The same, and where it is 0 one is taken."""
        wait = self.wait(key)
        now = self._clock()
        full = max(now, self._full.pop(key, now))
        self._full[key] = full if wait else full + self._interval
        if len(self._full) > self._most:
            del self._full[next(iter(self._full))]
        return wait

    def __len__(self) -> int:
        return len(self._full)


def client_key(address: str) -> str:
    """Who counts as one client: an IPv4 address, or an IPv6 network."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> HOST_BITS << HOST_BITS))
