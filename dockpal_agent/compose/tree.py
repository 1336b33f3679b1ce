"""The shape that YAML gives a file, places in it, and tables from a place to a rule.

A tree is what JSON knows: dictionaries with text keys, lists, text, whole and decimal numbers, booleans, None; and
`Timestamp`, which go-yaml makes of an unquoted date and Compose refuses. Stages never change a tree they were given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Callable, Final, Generic, Optional, TypeVar, Union

__all__ = ["Path", "Rules", "Timestamp", "Value", "go_type", "path_text", "pattern_text", "rewrite"]

Value = Any  # the JSON edge: what a file holds is checked by the schema, not by types
Path = tuple[Union[str, int], ...]
T = TypeVar("T")

ANY: Final = "*"  # in a pattern: every key and every index


@dataclass(frozen=True)
class Timestamp:
    """An unquoted date, as it was written."""

    text: str

    def __str__(self) -> str:
        return self.text


def path_text(path: Path) -> str:
    """A place as the schema's messages write it: `services.web.volumes.1`."""
    return ".".join(str(part) for part in path)


def pattern_text(path: Path) -> str:
    """A place as the other messages write it, indexes left out: `services.web.environment.[]`."""
    return ".".join("[]" if isinstance(part, int) else part for part in path)


def go_type(value: Value) -> str:
    """The name of a value's type in Compose's messages."""
    names = {bool: "bool", int: "int", float: "float64", str: "string", dict: "map[string]interface {}"}
    if value is None:
        return "<nil>"
    return "[]interface {}" if isinstance(value, list) else names.get(type(value), "time.Time")


class Rules(Generic[T]):
    """A table from patterns (`services.*.ports`) to rules, walked along with the tree: one step for each key."""

    __slots__ = ("_below", "rule")

    def __init__(self, table: Mapping[str, T]) -> None:
        self.rule: Optional[T] = None
        self._below: dict[str, Rules[T]] = {}
        for pattern, rule in table.items():
            node = self
            for part in pattern.split("."):
                node = node._below.setdefault(part, Rules({}))
            node.rule = rule

    def step(self, key: Union[str, int]) -> Optional[Rules[T]]:
        """The rules below a key or an index; None where there are none."""
        if isinstance(key, int):
            return self._below.get(ANY)
        return self._below.get(key) or self._below.get(ANY)

    def below(self, path: Path) -> Optional[Rules[T]]:
        """The rules for a place and what is below it."""
        node: Optional[Rules[T]] = self
        for part in path:
            node = node.step(part) if node is not None else None
        return node

    def find(self, value: Value, path: Path = ()) -> Iterator[tuple[T, Value, Path]]:
        """Every place of a tree that has a rule, not looking below it."""
        if self.rule is not None:
            yield self.rule, value, path
            return
        for key, item in items(value):
            below = self.step(key)
            if below is not None:
                yield from below.find(item, (*path, key))


def items(value: Value) -> Iterator[tuple[Union[str, int], Value]]:
    """Keys or indexes with what is under them; nothing for a scalar."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


Rewriter = Callable[[Value, Path], Value]


def rewrite(value: Value, rules: Rules[Rewriter], path: Path = ()) -> Value:
    """The tree with every place that has a rule replaced by what the rule makes of it.

    After a rule the rules below its place are applied to its result, so one table can hold both `services.*.build` and
    `services.*.build.ssh`.
    """
    if rules.rule is not None:
        value = rules.rule(value, path)
    if isinstance(value, dict):
        return {key: _below(item, rules, key, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_below(item, rules, index, path) for index, item in enumerate(value)]
    return value


def _below(item: Value, rules: Rules[Rewriter], key: Union[str, int], path: Path) -> Value:
    below = rules.step(key)
    return item if below is None else rewrite(item, below, (*path, key))
