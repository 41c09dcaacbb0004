"""YAML text -> plain data, with the doors shut that YAML leaves open: bombs, doubled keys, tags.

Errors name the line and never quote the text, which may hold a password.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from monitor.errors import ConfigError

MOST_CHARACTERS = 1_000_000
MOST_VALUES = 50_000
# Nobody writes a longer number; YAML 1.1 has a kind (1:59:59) that takes quadratic time to read.
_LONGEST_NUMBER = 100
_DEEPEST = 100


def read_yaml(text: str, name: str) -> Any:
    """The data of a text called `name`. Raises ConfigError for what is not sound YAML."""
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(f"{name}: longer than {MOST_CHARACTERS} characters")
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = _unquoted(error.problem or error.context or "")
        raise ConfigError(f"{name}: not YAML: {place}{problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{name}: not YAML: nested too deeply") from None


class _Loader(yaml.SafeLoader):
    """Counts what aliases and merges would expand to before anything is expanded."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._sizes: dict[int, int] = {}

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        """Brackets in brackets take quadratic time to scan."""
        if self.flow_level >= _DEEPEST:
            raise RecursionError
        super().fetch_flow_collection_start(token)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if node is None:
            return None
        if not alias:
            self._sizes[id(node)] = self._size(node)
            if len(self._sizes) > MOST_VALUES:  # at once: a list of a million takes a minute
                raise _fault(f"more than {MOST_VALUES} values", node)
        elif id(node) not in self._sizes:
            raise _fault("an alias to what it is a part of", node)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        kind = node.tag.rpartition(":")[2]
        if kind in ("int", "float") and len(node.value) > _LONGEST_NUMBER:
            raise _fault("a number that is too long", node)
        try:
            value = super().construct_object(node, deep)
        except (ValueError, OverflowError, LookupError, AttributeError):  # of !!bool, !!timestamp
            raise _fault(f"looks like a value of type {kind} but is none", node) from None
        if isinstance(value, str) and not _is_unicode(value):
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


def _unquoted(problem: str) -> str:
    """Without the word itself: a password may begin like an alias or a tag."""
    if problem == "second occurrence":
        return "an anchor of that name is there already"
    told = re.sub(r"\b(alias|anchor|tag|handle) ['\"].*['\"]", r"\1", problem, flags=re.DOTALL)
    return problem if told == problem else f"{told}; quote a text that begins with *, & or !"


def _is_unicode(text: str) -> bool:
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
