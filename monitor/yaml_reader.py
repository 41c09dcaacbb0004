"""YAML text -> plain data, with the doors shut that YAML leaves open: bombs, doubled keys, tags.

Errors name the line and never quote the text, which may hold a password.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError

from monitor.errors import ConfigError

MOST_VALUES = 100_000


def read_yaml(text: str, name: str) -> Any:
    """The data of a text called `name`. Raises ConfigError for what is not sound YAML."""
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{name}: not YAML: {place}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{name}: not YAML: nested too deeply") from None


class _Loader(yaml.SafeLoader):
    """Counts what aliases and merges would expand to before anything is expanded."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if node is None:
            return None
        if not alias:
            self._sizes[id(node)] = self._size(node)
        elif id(node) not in self._sizes:
            raise _fault("an alias to what it is a part of", node)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, OverflowError):
            kind = node.tag.rpartition(":")[2]
            raise _fault(f"looks like a value of type {kind} but is none", node) from None
        if isinstance(value, str) and not is_unicode(value):
            raise _fault("half of a surrogate pair", node)
        return value

    def _size(self, node: yaml.Node) -> int:
        """How many values a node expands to; what aliases share counts wherever it occurs."""
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            parts = node.value
        elif isinstance(node, yaml.MappingNode):
            _refuse_doubled(node)
            parts = [part for pair in node.value for part in pair]
        size = 1 + sum(self._sizes[id(part)] for part in parts)
        if size > MOST_VALUES:
            raise _fault(f"more than {MOST_VALUES} values, aliases expanded", node)
        return size


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _refuse_doubled(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            raise _fault(f"key {key.value!r} occurs twice", key)
        seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))


def _fault(problem: str, node: yaml.Node) -> ConstructorError:
    return ConstructorError(None, None, problem, node.start_mark)
