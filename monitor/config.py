"""One YAML file -> typed settings. Every mistake is told with its path, its value and the valid
choices.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from monitor.errors import ConfigError
from monitor.settings import Config
from monitor.substitution import Substitution
from monitor.windowing import KINDS
from monitor.yaml_reader import MOST_CHARACTERS, read_yaml

MOST_TOLD = 20


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read and check a file. Raises ConfigError with one line for each mistake."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_CHARACTERS + 1)
        if len(data) > MOST_CHARACTERS:
            raise ConfigError(f"{path}: cannot be read: larger than {MOST_CHARACTERS} bytes")
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return parse(text, str(path), environment)


def parse(text: str, name: str, environment: Mapping[str, str] = os.environ) -> Config:
    """Check the text of a file called `name`; `${NAME}` inside a value is taken from
    `environment`, and `${file:PATH}` inside a secret from a file. No message shows what came from
    there, or a password.
    """
    data = read_yaml(text, name)
    if not isinstance(data, dict):
        found = "is empty" if data is None else f"holds {type(data).__name__}"
        raise ConfigError(f"{name}: {found}, not a mapping of sections")
    outside = Substitution(name, environment, _secret)
    try:
        return Config.model_validate(outside.filled(data))
    except ValidationError as error:
        faults = error.errors(include_url=False)
    lines = [f"{name}: {_told(fault, outside)}" for fault in faults[:MOST_TOLD]]
    if len(faults) > MOST_TOLD:
        lines.append(f"{name}: and {len(faults) - MOST_TOLD} more mistakes")
    raise ConfigError("\n".join(lines))


def _told(fault: Any, outside: Substitution) -> str:
    """One validation fault as `path: value: what is wrong; what would be valid`."""
    place = [str(part) for part in fault["loc"] if part != "[key]"]
    path = ".".join(_short(part) for part in place if part not in KINDS)
    if fault["type"] == "extra_forbidden":
        return f"{path}: unknown key {_shown(place[-1])}; {_choices(place)}"
    if fault["type"] == "missing":
        return f"{path}: missing"
    message = outside.hidden(fault["msg"].removeprefix("Value error, "))
    value = outside.written(fault["input"])
    if isinstance(value, str | int | float | bool) and not _secret(place):
        return f"{path}: {_shown(value)}: {message}"
    return f"{path}: {message}" if path else message


def _shown(value: object) -> str:
    """In quotes, and without the user of a URL, who may come with a password."""
    return _short(re.sub(r"(?<=://)[^/]*@", "***@", repr(value)))


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."


def _secret(place: Sequence[str]) -> bool:
    """Whether what stands at a path is kept from being shown, or is a part of it."""
    return any("SecretStr" in str(annotation) for annotation in _annotations(place))


def _choices(place: Sequence[str]) -> str:
    """The keys that are valid where an unknown one stands, the nearest first."""
    *_, model = _models(place[:-1])
    known = sorted(_fields(model))
    near = difflib.get_close_matches(place[-1][:100], known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}valid keys: {', '.join(known)}"


def _annotations(place: Sequence[str]) -> Iterator[Any]:
    """The types of the fields that a path leads through."""
    for model, part in zip(_models(place), place, strict=False):
        if part in _fields(model):
            yield _fields(model)[part]


def _models(place: Sequence[str]) -> Iterator[type[BaseModel]]:
    """The sections that a path leads through, one for each step and then where it ends; names of
    streams and places in lists are steps that stay.
    """
    model: type[BaseModel] = Config
    yield model
    for part in place:
        model = KINDS.get(part) or _model_in(_fields(model).get(part)) or model
        yield model


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """The types of a section's values by their keys."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings class inside `X | None`, `list[X]`, `dict[str, X]` or `Annotated[...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(inner) for inner in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)
