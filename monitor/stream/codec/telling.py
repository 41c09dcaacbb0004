"""What stands in a message, for the sentence that refuses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_MOST = 60


def told(value: Any) -> str:
    """A few words, whatever the value is: written out, a large or deep one would take its time."""
    if isinstance(value, list | dict | tuple):
        return f"{type(value).__name__} of {len(value)}"
    return ascii(value[:_MOST] if isinstance(value, str | bytes) else value)[:_MOST]


def listed(names: Sequence[str]) -> str:
    """The first few of many, and how many more there are."""
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(name[:40] for name in names[:8]) + more
