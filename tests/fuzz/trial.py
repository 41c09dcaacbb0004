"""One target, many payloads: what it accepted and refused, how long it took, what it kept."""

from __future__ import annotations

import gc
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.errors import MonitorError
from tests.fuzz.draws import Draws
from tests.fuzz.mutations import Mutator
from tests.fuzz.target import ACCEPTED, Target

SLOWEST_MS = 100.0
_SOUND = 0.5
_POOL = 400
_WARM_UP = 0.3
_FEWEST_TO_WEIGH = 1000
_STATM = Path("/proc/self/statm")
_PAGE_MIB = 4096 / 2**20


@dataclass
class Found:
    """The figures of one target. `faults` are told with their payload, each place in the code
    once; `grown_mib` is the resident memory of the process, from the end of the warm-up on.
    """

    name: str
    payloads: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0
    cpu_seconds: float = 0.0
    grown_mib: float = 0.0
    faults: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The fields, the commonest refusals first."""
        return vars(self) | {"refused": dict(self.refused.most_common())}

    @classmethod
    def of_json(cls, fields: dict[str, Any]) -> Found:
        """What `as_json` gave."""
        return cls(**fields | {"refused": Counter(fields["refused"])})

    def fault(self, what: str, payload: bytes) -> None:
        """Keep the first and shortest witness of a fault."""
        shown = payload[:2000].hex()
        if len(shown) < len(self.faults.get(what, shown + "0")):
            self.faults[what] = shown


def payloads(target: Target, draws: Draws, count: int) -> Iterator[bytes]:
    """Sound ones, and more that were made from them by damage."""
    mutator = Mutator(draws, target.words, target.longest)
    pool = [target.sound(draws) for _ in range(min(_POOL, count))]
    for number in range(count):
        place = number % len(pool)
        if draws.chance(_SOUND):
            pool[place] = target.sound(draws)
            yield pool[place]
        else:
            yield mutator.damaged(pool[place], draws.one(pool))


def try_target(target: Target, draws: Draws, count: int) -> Found:
    """Feed a target with so many payloads."""
    found = Found(target.name)
    warm = int(count * _WARM_UP) if count >= _FEWEST_TO_WEIGH else count
    before = 0.0
    for number, payload in enumerate(payloads(target, draws, count)):
        if number == warm:
            before = resident_mib()
        feed(target, payload, found)
    if warm < count:
        found.grown_mib = round(resident_mib() - before, 1)
    return found


def feed(target: Target, payload: bytes, found: Found, most_ms: float = SLOWEST_MS) -> None:
    """One payload, timed; a slow one is tried again, since the machine may have been at fault."""
    elapsed = _timed(target, payload, found)
    if elapsed > most_ms:
        again = [_timed(target, payload, Found("again")) for _ in range(2)]
        elapsed = min(elapsed, *again)
    if elapsed > most_ms:
        found.fault(f"takes more than {most_ms:.0f} ms", payload)
    found.slowest_ms = max(found.slowest_ms, round(elapsed, 2))


def _timed(target: Target, payload: bytes, found: Found) -> float:
    """Milliseconds of this process' CPU that a payload took."""
    began = time.process_time_ns()
    outcome = _outcome(target, payload, found)
    elapsed = (time.process_time_ns() - began) / 1e6
    found.payloads += 1
    found.cpu_seconds += elapsed / 1e3
    if outcome == ACCEPTED:
        found.accepted += 1
    else:
        found.refused[outcome] += 1
    return elapsed


def _outcome(target: Target, payload: bytes, found: Found) -> str:
    try:
        return target.run(payload)
    except BaseException as error:  # a panic of a library in Rust is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        found.fault(_told(error), payload)
        return "FAULT"


def _told(error: BaseException) -> str:
    """The kind of an error and the place in our code, or a library's, where it came up."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/monitor/" in frame.filename] or list(frames)
    last = ours[-1]
    kind = "undocumented " if isinstance(error, MonitorError) else ""
    return (
        f"{kind}{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: "
        f"{' '.join(str(error).split())[:120]}"
    )


def resident_mib() -> float:
    """Resident memory of this process after a collection; 0 where the system does not tell."""
    gc.collect()
    if not _STATM.exists():
        return 0.0
    return int(_STATM.read_text().split()[1]) * _PAGE_MIB


def total(found: Iterable[Found]) -> int:
    """Payloads of all targets."""
    return sum(each.payloads for each in found)
