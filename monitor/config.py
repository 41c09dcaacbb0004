"""One YAML file -> typed settings. Every mistake is told with its path, its value and the valid
choices.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from monitor.errors import ConfigError
from monitor.settings import Config
from monitor.yaml_reader import is_unicode, read_yaml

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read and check a file. Raises ConfigError with one line for each mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return parse(text, str(path), environment)


def parse(text: str, name: str, environment: Mapping[str, str] = os.environ) -> Config:
    """Check the text of a file called `name`; `${NAME}` inside a value is taken from
    `environment`. No message shows what came from there, or a password.
    """
    data = read_yaml(text, name)
    if not isinstance(data, dict):
        found = "is empty" if data is None else f"holds {type(data).__name__}"
        raise ConfigError(f"{name}: {found}, not a mapping of sections")
    filler = _Filler(name, environment)
    try:
        return Config.model_validate(filler.filled(data))
    except ValidationError as error:
        faults = error.errors(include_url=False)
    lines = [filler.hidden(f"{name}: {_told(fault)}") for fault in faults]
    raise ConfigError("\n".join(lines))


class _Filler:
    """Puts the environment into `${NAME}`; after parsing, so a secret cannot change the shape."""

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self._name, self._environment = name, environment
        self._used: dict[str, str] = {}

    def filled(self, value: Any, path: str = "") -> Any:
        """The same tree with every `${NAME}` replaced. Raises ConfigError where one is not set."""
        if isinstance(value, dict):
            return {
                key: self.filled(item, f"{path}.{key}" if path else str(key))
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.filled(item, f"{path}.{i}") for i, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        return _VARIABLE.sub(lambda found: self._value(found[1], path), value)

    def hidden(self, message: str) -> str:
        """The message with the names of variables in place of their values."""
        if not self._used:
            return message
        longest_first = sorted(self._used, key=len, reverse=True)
        return re.sub("|".join(map(_as_told, longest_first)), self._variable, message)

    def _variable(self, found: re.Match[str]) -> str:
        return self._used[found[0]]

    def _value(self, variable: str, path: str) -> str:
        if variable not in self._environment:
            raise ConfigError(f"{self._name}: {path}: environment variable {variable} is not set")
        value = self._environment[variable]
        if not is_unicode(value):
            raise ConfigError(f"{self._name}: {path}: variable {variable} is not UTF-8")
        if value:
            self._used[value] = self._used[repr(value)[1:-1]] = f"${{{variable}}}"
        return value


def _as_told(value: str) -> str:
    """Finds a value in a message; a very short one only as a word of its own."""
    return re.escape(value) if len(value) > 3 else rf"(?<!\w){re.escape(value)}(?!\w)"


def _told(fault: Any) -> str:
    """One validation fault as `path: value: what is wrong; what would be valid`."""
    place = [str(part) for part in fault["loc"] if part != "[key]"]
    path = ".".join(place)
    if fault["type"] == "extra_forbidden":
        return f"{path}: unknown key {place[-1]!r}; {_choices(place)}"
    if fault["type"] == "missing":
        return f"{path}: missing"
    message = fault["msg"].removeprefix("Value error, ")
    value = fault["input"]
    if isinstance(value, str | int | float | bool) and not _secret(path):
        return f"{path}: {_shown(value)}: {message}"
    return f"{path}: {message}" if path else message


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _secret(path: str) -> bool:
    return path.rpartition(".")[2] in {"password", "key_password"}


def _choices(place: list[str]) -> str:
    """The keys that are valid where an unknown one stands, the nearest first."""
    known = sorted(_keys_at(place[:-1]))
    near = difflib.get_close_matches(place[-1], known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}valid keys: {', '.join(known)}"


def _keys_at(place: list[str]) -> set[str]:
    """Walk the models along a path; names of streams and places in lists are steps without a
    field.
    """
    model: type[BaseModel] = Config
    for part in place:
        by_key = {field.alias or name: field for name, field in model.model_fields.items()}
        if part in by_key:
            inner = _model_in(by_key[part].annotation)
            model = inner or model
    return {field.alias or name for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings class inside `X | None`, `list[X]`, `dict[str, X]` or `Annotated[...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(inner) for inner in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)
