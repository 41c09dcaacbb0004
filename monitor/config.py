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

import yaml
from pydantic import BaseModel, ValidationError

from monitor.errors import ConfigError
from monitor.settings import Config


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read and check a file. Raises ConfigError with one line for each mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse(text, str(path), environment)


def parse(text: str, name: str, environment: Mapping[str, str] = os.environ) -> Config:
    """Check the text of a file called `name`; `${NAME}` inside a value is taken from
    `environment`.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{name}: holds {type(data).__name__}, not a mapping of sections")
    try:
        return Config.model_validate(_filled(data, name, environment))
    except ValidationError as error:
        lines = [f"{name}: {_told(fault)}" for fault in error.errors(include_url=False)]
        raise ConfigError("\n".join(lines)) from error


def _filled(value: Any, path: str, environment: Mapping[str, str]) -> Any:
    """The same tree with `${NAME}` replaced; after parsing, so that a secret cannot change the
    shape.
    """
    if isinstance(value, dict):
        return {key: _filled(item, f"{path}: {key}", environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, f"{path}[{i}]", environment) for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        if found[1] not in environment:
            raise ConfigError(f"{path}: environment variable {found[1]} is not set")
        return environment[found[1]]

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", replace, value)


def _told(fault: Any) -> str:
    """One validation fault as `path: value: what is wrong; what would be valid`."""
    place = [str(part) for part in fault["loc"]]
    path = ".".join(place)
    if fault["type"] == "extra_forbidden":
        return f"{path}: unknown key {place[-1]!r}; {_choices(place)}"
    if fault["type"] == "missing":
        return f"{path}: missing"
    message = fault["msg"].removeprefix("Value error, ")
    value = fault["input"]
    if isinstance(value, str | int | float | bool) and not _secret(path):
        return f"{path}: {value!r}: {message}"
    return f"{path}: {message}" if path else message


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
