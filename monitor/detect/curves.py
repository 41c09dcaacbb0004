"""How training went, epoch by epoch: nets tell it, whoever trains a model listens.

A model may be of several nets, and a net may be trained deep inside of a detector, so the loop of
training tells its curve to whoever listens at that time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite

from monitor.types import Curve

_listening: ContextVar[list[Curve] | None] = ContextVar("listening", default=None)


@contextmanager
def heard() -> Iterator[list[Curve]]:
    """The curves of all nets that are trained inside, in their order; whoever listens outside of
    it hears nothing of these.
    """
    found: list[Curve] = []
    token = _listening.set(found)
    try:
        yield found
    finally:
        _listening.reset(token)


def tell(training: Sequence[float], held_out: Sequence[float]) -> None:
    """The losses of one net after each of its epochs; nothing is kept where nobody listens."""
    found = _listening.get()
    if found is not None:
        found.append(Curve(_finite(training), _finite(held_out)))


def _finite(losses: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(float(loss) if isfinite(loss) else None for loss in losses)
