"""What is fuzzed: one reader, with what it may be given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tests.fuzz.draws import Draws

ACCEPTED = "accepted"


class Target(Protocol):
    """One entry of the product; `words` are pieces that mean something to it, `longest` is how many
    bytes a payload may have.
    """

    @property
    def name(self) -> str: ...

    @property
    def words(self) -> Sequence[bytes]: ...

    @property
    def longest(self) -> int: ...

    def sound(self, draws: Draws) -> bytes:
        """A payload that is built as it should be, though its values may be anything."""
        ...

    def run(self, payload: bytes) -> str:
        """Feed the reader: ACCEPTED, or in a word why it refused. Whatever is raised is a fault."""
        ...


class BrokenPromiseError(AssertionError):
    """The reader came back, but with what it promises never to give."""


def demand(kept: bool, promise: str) -> None:
    """Raises BrokenPromiseError unless a promise is kept."""
    if not kept:
        raise BrokenPromiseError(promise)
