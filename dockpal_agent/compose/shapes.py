"""What a value may look like, as small values that combine, and the check of a tree against them.

A subset of JSON Schema (draft 7), with Compose's words for what is wrong. Every problem is reported, not only the
first; of several forms that a value may have, the problems of the form that it comes nearest to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Optional, Protocol

from dockpal_agent.compose.tree import Path, Timestamp, Value

__all__ = ["Fault", "Items", "Keys", "Kinds", "Object", "OneOf", "Shape", "named", "text"]

MOST_HINTS: Final = 20  # unknown keys for which a known one is looked for that is meant
_NAME: Final = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
    "mapping": (dict,),
    "array": (list,),
}


@dataclass(frozen=True)
class Fault:
    """One thing that does not fit, and how deep it lies: unknown keys count one deeper, as they name a place best."""

    path: Path
    message: str
    depth: int


class Shape(Protocol):
    """What a value may look like."""

    def faults(self, value: Value, path: Path) -> list[Fault]:
        """Everything in the value that does not fit."""


def _is(value: Value, kind: str) -> bool:
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _wrong_kind(value: Value, kinds: Sequence[str], path: Path) -> Optional[Fault]:
    if isinstance(value, Timestamp):
        return Fault(path, "invalid jsonType time.Time", len(path))
    if any(_is(value, kind) for kind in kinds):
        return None
    names = sorted(kinds)
    wanted = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    return Fault(path, f"must be a {wanted}", len(path))


@dataclass(frozen=True)
class Kinds:
    """A scalar of one of some kinds, perhaps with a choice of values, a pattern to be found, or limits."""

    kinds: tuple[str, ...]
    choice: tuple[str, ...] = ()
    pattern: str = ""
    least: Optional[int] = None
    most: Optional[int] = None

    def faults(self, value: Value, path: Path) -> list[Fault]:
        """At most one."""
        wrong = _wrong_kind(value, self.kinds, path)
        if wrong is not None:
            return [wrong]
        message = self._refusal(value)
        return [Fault(path, message, len(path))] if message else []

    def _refusal(self, value: Value) -> str:
        if self.choice and value not in self.choice:
            choices = ", ".join(f"'{choice}'" for choice in self.choice)
            return f"value must be one of {choices}" if len(self.choice) > 1 else f"value must be {choices}"
        if self.pattern and isinstance(value, str) and not re.search(self.pattern, value):
            return f"'{value}' does not match pattern '{self.pattern}'"
        if self.least is not None and value < self.least:
            return f"must be greater than or equal to {self.least}"
        if self.most is not None and value > self.most:
            return f"must be less than or equal to {self.most}"
        return ""


@dataclass(frozen=True)
class Items:
    """A list of one shape; `unique` refuses a repeat."""

    item: Shape
    unique: bool = False

    def faults(self, value: Value, path: Path) -> list[Fault]:
        """Of the list, then of its items."""
        wrong = _wrong_kind(value, ("array",), path)
        if wrong is not None:
            return [wrong]
        found = []
        repeat = _repeat(value) if self.unique else None
        if repeat is not None:
            found.append(Fault(path, f"items at {repeat[0]} and {repeat[1]} are equal", len(path)))
        for index, item in enumerate(value):
            found.extend(self.item.faults(item, (*path, index)))
        return found


def _repeat(values: list[Value]) -> Optional[tuple[int, int]]:
    """The places of two equal items."""
    first: dict[str, int] = {}
    for index, value in enumerate(values):
        key = f"{type(value).__name__ if not isinstance(value, float) else 'int'} {value!r}"
        if key in first:
            return first[key], index
        first[key] = index
    return None


@dataclass(frozen=True)
class Object:
    """A map with known keys, or a scalar of one of the kinds in `also`.

    Other keys must begin with `x-` where the map is `extensible`; where it is `open` they may be anything.
    """

    keys: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    extensible: bool = True
    open: bool = False
    also: tuple[str, ...] = ()

    def faults(self, value: Value, path: Path) -> list[Fault]:
        """Of the map: a missing key, the unknown ones together; then of each value."""
        wrong = _wrong_kind(value, ("mapping", *self.also), path)
        if wrong is not None or not isinstance(value, dict):
            return [wrong] if wrong else []
        found = self._missing(value, path)
        unknown = []
        for key, item in value.items():
            if key in self.keys:
                found.extend(self.keys[key].faults(item, (*path, key)))
            elif not (self.open or (self.extensible and key.startswith("x-"))):
                unknown.append(key)
        if unknown:
            found.append(Fault(path, _not_allowed(unknown, self.keys), len(path) + 1))
        return found

    def _missing(self, value: Value, path: Path) -> list[Fault]:
        missing = [f"'{key}'" for key in self.required if key not in value]
        if not missing:
            return []
        noun = "property" if len(missing) == 1 else "properties"
        return [Fault(path, f"missing {noun} {', '.join(missing)}", len(path))]


def _not_allowed(unknown: list[str], known: Mapping[str, Shape]) -> str:
    listed = ", ".join(f"'{key}'" for key in sorted(unknown))
    near = [match for key in unknown[:MOST_HINTS] for match in _near(key, known)]
    hint = f" (did you mean {', '.join(repr(match) for match in near)}?)" if near else ""
    return f"additional properties {listed} not allowed{hint}"


def _near(key: str, known: Mapping[str, Shape]) -> list[str]:
    import difflib  # only here: few files have a key that nobody knows, and all wait for the reading's start

    return difflib.get_close_matches(key.lower().replace("-", "_")[:100], list(known), 1, 0.75)


@dataclass(frozen=True)
class Keys:
    """A map whose keys the user names, all of one shape; a name that is not the pattern's is refused if `closed`."""

    value: Shape
    pattern: re.Pattern[str] = field(default=re.compile(r".+", re.DOTALL))
    closed: bool = True

    def faults(self, value: Value, path: Path) -> list[Fault]:
        """Of the map, then of each value."""
        wrong = _wrong_kind(value, ("mapping",), path)
        if wrong is not None:
            return [wrong]
        found: list[Fault] = []
        unknown = []
        for key, item in value.items():
            if self.pattern.fullmatch(key):
                found.extend(self.value.faults(item, (*path, key)))
            elif self.closed:
                unknown.append(key)
        if unknown:
            found.append(Fault(path, _not_allowed(unknown, {}), len(path) + 1))
        return found


@dataclass(frozen=True)
class OneOf:
    """One of several forms."""

    forms: tuple[Shape, ...]

    def faults(self, value: Value, path: Path) -> list[Fault]:
        """None when a form fits; else those of the form whose deepest fault lies deepest, the first of equals."""
        tried = []
        for form in self.forms:
            found = form.faults(value, path)
            if not found:
                return []
            tried.append(found)
        return max(tried, key=lambda found: max(fault.depth for fault in found))


def named(value: Shape, *, closed: bool = True) -> Keys:
    """A map whose keys are names of services, networks and the like."""
    return Keys(value, _NAME, closed)


def text(choice: Sequence[str] = (), pattern: str = "") -> Kinds:
    """Text that must be quoted where it looks like something else."""
    return Kinds(("string",), tuple(choice), pattern)
