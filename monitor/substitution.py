"""`${NAME}` and `${file:PATH}` inside values: filled in from outside, and kept out of messages."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.errors import ConfigError

MOST_BYTES = 64 * 1024
_PLACEHOLDER = re.compile(r"\$\{(?:file:([^}]*)|([A-Za-z_][A-Za-z0-9_]*))\}")
# A run of so many characters of a value in a message may be a part of it.
_PIECE = 5


class Substitution:
    """Fills a parsed tree; after parsing, so that no value can change the shape.

    What comes from a file may stand only where `is_secret` holds of the path: nowhere else is it
    sure never to be shown. `name` is the file that is being read, for messages.
    """

    def __init__(
        self,
        name: str,
        environment: Mapping[str, str],
        is_secret: Callable[[Sequence[str]], bool],
    ) -> None:
        self._name, self._environment, self._is_secret = name, environment, is_secret
        self._used: dict[str, str] = {}
        self._written: dict[str, str] = {}

    def filled(self, value: Any, path: tuple[str, ...] = ()) -> Any:
        """The same tree with every placeholder replaced. Raises ConfigError where one cannot be."""
        if isinstance(value, dict):
            return {key: self.filled(item, (*path, str(key))) for key, item in value.items()}
        if isinstance(value, list):
            return [self.filled(item, (*path, str(i))) for i, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        result = _PLACEHOLDER.sub(lambda found: self._value(found, path), value)
        self._written[result] = value
        return result

    def written(self, value: object) -> object:
        """A value as it was before it was filled; None for what only looks filled."""
        if not isinstance(value, str):
            return value
        original = self._written.get(value, value)
        return original if self.hidden(original) == original else None

    def hidden(self, message: str) -> str:
        """The message with placeholders instead of their values.

        Where a part of a value would be left, as in a list that names a half of it, all of the
        message goes.
        """
        if not self._used:
            return message
        longest_first = sorted(self._used, key=len, reverse=True)
        clean = re.sub("|".join(map(_as_told, longest_first)), self._placeholder, message)
        rest = "".join(re.split("|".join(map(re.escape, set(self._used.values()))), clean))
        for value, placeholder in self._used.items():
            if any(value[i : i + _PIECE] in rest for i in range(len(value) - _PIECE + 1)):
                return f"not valid with the value of {placeholder}"
        return clean

    def _placeholder(self, found: re.Match[str]) -> str:
        return self._used[found[0]]

    def _value(self, found: re.Match[str], path: tuple[str, ...]) -> str:
        place = ".".join(path)
        try:
            value = self._variable(found[2]) if found[2] else self._file(found[1], path)
            value.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{self._name}: {place}: {found[0]} is not UTF-8") from None
        except _Unusable as why:
            raise ConfigError(f"{self._name}: {place}: {why}") from None
        if value:
            self._used[value] = self._used[repr(value)[1:-1]] = found[0]
        return value

    def _variable(self, name: str) -> str:
        if name not in self._environment:
            raise _Unusable(f"environment variable {name} is not set")
        return self._environment[name]

    def _file(self, name: str, path: tuple[str, ...]) -> str:
        if not self._is_secret(path):
            raise _Unusable(
                f"${{file:{name}}} is for passwords and other secrets; this value would be shown: "
                "write it here, or take it from the environment as ${NAME}"
            )
        return _content(Path(name), f"file {name!r}")


class _Unusable(Exception):
    """Why a placeholder has no value."""


def _content(file: Path, told: str) -> str:
    """What a file holds, without the newline that editors add."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise _Unusable(f"{told} is not a regular file")
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise _Unusable(f"{told} is larger than {MOST_BYTES} bytes")
        text = data.decode()
    except UnicodeDecodeError:
        raise _Unusable(f"{told} is not UTF-8") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise _Unusable(f"{told} cannot be read: {why}") from None
    return text.removesuffix("\n").removesuffix("\r")


def _as_told(value: str) -> str:
    """Finds a value in a message; a very short one only as a word of its own."""
    return re.escape(value) if len(value) > 3 else rf"(?<!\w){re.escape(value)}(?!\w)"
