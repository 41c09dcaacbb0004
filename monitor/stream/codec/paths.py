"""Dotted paths into decoded JSON or msgpack: `data.0.values`; `a\\.b` is the key `a.b`."""

from __future__ import annotations

import re
from typing import Any, Final

from monitor.errors import ConfigError, DecodeError


class Missing:
    """The type of ABSENT, which is what `find` gives where nothing is (null is something)."""


ABSENT: Final = Missing()
_DOT = re.compile(r"(?<!\\)\.")


class Path:
    """One place in a document; the empty path is the document itself."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.steps = [step.replace("\\.", ".") for step in _DOT.split(text)] if text else []
        if "" in self.steps:
            raise ConfigError(f"path {text!r} has an empty step; write it like data.0.values")

    def find(self, document: Any) -> Any:
        """What stands there, or ABSENT."""
        for step in self.steps:
            if isinstance(document, dict):
                document = document.get(step, ABSENT)
            elif isinstance(document, list) and step.isdecimal() and len(step) < 8:
                place = int(step)
                document = document[place] if place < len(document) else ABSENT
            else:
                return ABSENT
        return document

    def get(self, document: Any) -> Any:
        """What stands there; DecodeError `missing_path` where nothing does."""
        found = self.find(document)
        if found is ABSENT:
            raise DecodeError(
                "missing_path", f"nothing at path {self.text!r}; the message has {_told(document)}"
            )
        return found


def _told(document: Any) -> str:
    """The top of a document, for a person who looks for the right path."""
    if isinstance(document, dict):
        keys = [ascii(key)[:40] for key in list(document)[:12]]
        return f"the keys {', '.join(keys)}" if keys else "no keys"
    if isinstance(document, list):
        return f"a list of {len(document)}"
    return f"only {type(document).__name__}"
