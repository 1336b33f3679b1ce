"""Readers of single values into the model: text to numbers, sizes, durations, and what Compose leaves out as empty.

A reader takes a value that the schema allowed and gives what `docker compose config --format json` prints for it, or
OMIT. A wrong value is noted with the words and the name of the place that Compose uses (`services[web].mem_limit`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable, Final, Union

from dockpal_agent.compose.errors import Findings
from dockpal_agent.compose.golang import parse_float, parse_integer, sprint, to_float32
from dockpal_agent.compose.shellwords import split_words
from dockpal_agent.compose.tree import Path, Timestamp, Value, go_type
from dockpal_agent.compose.units import duration_text, parse_bool, parse_bytes, parse_duration

__all__ = [
    "OMIT",
    "Field",
    "Place",
    "Reader",
    "Record",
    "command",
    "decimal",
    "duration",
    "each",
    "extensions_of",
    "flag",
    "flag_or_unset",
    "host_list",
    "mapping",
    "mapping_of_texts",
    "mapping_with_unset",
    "mode",
    "number",
    "number_or_unset",
    "record",
    "size",
    "strings",
    "strings_of_any",
    "table",
    "text",
    "unsigned",
    "unsigned_or_unset",
]

OMIT: Final = object()  # the value is not in the model


@dataclass(frozen=True)
class Place:
    """Where a value stands, for messages, and where findings and extensions go."""

    path: Path
    name: str
    findings: Findings
    extensions: dict[Path, Value]

    def key(self, key: str) -> Place:
        """A place below, in a map whose keys the user names."""
        return Place((*self.path, key), f"{self.name}[{key}]", self.findings, self.extensions)

    def attribute(self, key: str) -> Place:
        """A place below, in a map with known keys."""
        return Place((*self.path, key), f"{self.name}.{key}" if self.name else key, self.findings, self.extensions)

    def item(self, index: int) -> Place:
        """A place in a list."""
        return Place((*self.path, index), f"{self.name}[{index}]", self.findings, self.extensions)

    def refuse(self, reason: str) -> Value:
        """Note what is wrong here; the value is left out."""
        self.findings.problem(f"'{self.name}' {reason}", self.path)
        return OMIT


Reader = Callable[[Value, Place], Value]


def _guarded(read: Callable[[Value], Value], value: Value, place: Place) -> Value:
    try:
        return read(value)
    except ValueError as error:
        return place.refuse(str(error))


def _unexpected(kind: str, value: Value, place: Place) -> Value:
    return place.refuse(f"expected type '{kind}', got unconvertible type '{go_type(value)}'")


def text(value: Value, place: Place) -> Value:
    """Text; empty is left out."""
    if isinstance(value, (bool, float)) or not isinstance(value, (str, int)):
        return OMIT if value is None else _unexpected("string", value, place)
    return str(value) or OMIT


def flag_or_unset(value: Value, place: Place) -> Value:
    """A boolean; false is not the same as absent."""
    if isinstance(value, str):
        return _guarded(parse_bool, value, place)
    return value if isinstance(value, bool) else OMIT if value is None else _unexpected("bool", value, place)


def flag(value: Value, place: Place) -> Value:
    """A boolean; false is left out."""
    return flag_or_unset(value, place) or OMIT


def number_or_unset(value: Value, place: Place) -> Value:
    """A whole number; 0 is not the same as absent."""
    if value is None or isinstance(value, bool):
        return OMIT if value is None else _unexpected("int", value, place)
    if isinstance(value, (int, float)):
        return int(value)
    found = parse_integer(str(value))
    return place.refuse(f'strconv.Atoi: parsing "{value}": invalid syntax') if found is None else found


def number(value: Value, place: Place) -> Value:
    """A whole number; 0 is left out."""
    return number_or_unset(value, place) or OMIT


def unsigned(kind: str) -> Reader:
    """A whole number that Go keeps without a sign (`uint16`): 0 is left out, text is not a number here."""

    def read(value: Value, place: Place) -> Value:
        return unsigned_or_unset(kind)(value, place) or OMIT

    return read


def unsigned_or_unset(kind: str) -> Reader:
    """The same, where 0 is not the same as absent."""

    def read(value: Value, place: Place) -> Value:
        if isinstance(value, (str, bool)):
            return _unexpected(kind, value, place)
        if isinstance(value, (int, float)) and value < 0:
            return place.refuse(f"cannot parse, {sprint(value)} overflows uint")
        return number_or_unset(value, place)

    return read


def decimal(value: Value, place: Place) -> Value:
    """A number of 32 bits; 0 is left out."""
    if isinstance(value, str):
        found = parse_float(value)
        if found is None:
            return place.refuse(f'strconv.ParseFloat: parsing "{value}": invalid syntax')
        value = found
    if value is None or isinstance(value, bool):
        return OMIT
    return to_float32(value) or OMIT


def size(value: Value, place: Place) -> Value:
    """Bytes, as text; 0 is left out."""
    if isinstance(value, str):
        value = _guarded(parse_bytes, value, place)
    if isinstance(value, (bool, float)) or not isinstance(value, int) or value == 0:
        return OMIT
    return str(value)


def duration(value: Value, place: Place) -> Value:
    """A duration, as Go prints it."""
    return OMIT if value is None else _guarded(lambda given: duration_text(parse_duration(sprint(given))), value, place)


def mode(value: Value, place: Place) -> Value:
    """A file's mode, as octal text: text is read as octal, a number is a number."""
    if isinstance(value, str):
        try:
            value = int(value, 8)
        except ValueError:
            return place.refuse(f'strconv.ParseInt: parsing "{value}": invalid syntax')
    return f"0{value:o}" if isinstance(value, int) else place.refuse("unexpected value type float64 for mode")


def command(value: Value, place: Place) -> Value:
    """A command's words; absent is None, as Compose prints it."""
    if value is None or value is OMIT:
        return None
    if not isinstance(value, str):
        return [str(word) for word in value]
    words = _guarded(split_words, value, place)
    if words is OMIT:
        return OMIT
    if words.cut:
        place.findings.warn(
            f"{place.name}: the command ends before an unquoted ; & | < or >, as Compose does not use a shell; "
            'write ["sh", "-c", "..."] for one'
        )
    return words.words


def strings(value: Value, place: Place) -> Value:
    """A list of texts, or one; an empty one is left out."""
    if isinstance(value, str):
        return [value]
    return [str(item) for item in value or ()] or OMIT


def strings_of_any(value: Value, place: Place) -> Value:
    """A list of texts and numbers, as texts."""
    return [sprint(item) for item in value or ()] or OMIT


def _pairs(value: Value, place: Place) -> dict[str, Value]:
    """A map, or a list of `key=value`; a key alone has None."""
    if isinstance(value, dict):
        return value
    made: dict[str, Value] = {}
    for item in value or ():
        key, equals, rest = sprint(item).partition("=")
        made[key] = rest if equals else None
    return made


def mapping(value: Value, place: Place) -> Value:
    """Keys with texts, in the keys' order; a key alone has an empty one."""
    pairs = _pairs(value, place)
    return {key: "" if pairs[key] is None else sprint(pairs[key]) for key in sorted(pairs)} or OMIT


def mapping_of_texts(value: Value, place: Place) -> Value:
    """Keys with texts or whole numbers."""
    made = {key: text(value[key], place.key(key)) for key in sorted(value or {})}
    return {key: "" if item is OMIT else item for key, item in made.items()} or OMIT


def mapping_with_unset(value: Value, place: Place) -> Value:
    """Keys with texts or None (`environment`): None where the value is to come from the outside."""
    pairs = _pairs(value, place)
    if isinstance(value, list):
        for key in pairs:
            if key and key[-1].isspace():
                place.refuse(f"environment variable {key} is declared with a trailing space")
    return {key: None if pairs[key] is None else sprint(pairs[key]) for key in sorted(pairs)} or OMIT


def host_list(value: Value, place: Place) -> Value:
    """Extra hosts as sorted `host=address`."""
    hosts: dict[str, list[str]] = {}
    if isinstance(value, dict):
        for host, given in value.items():
            hosts[host] = [sprint(item) for item in given] if isinstance(given, list) else [given or ""]
    else:
        for item in value or ():
            separator = "=" if "=" in item else ":"
            host, found, addresses = item.partition(separator)
            if not found:
                return place.refuse(f"invalid additional host, missing IP: {item}")
            hosts.setdefault(host, []).extend(addresses.split(","))
    for host in hosts:
        if not host or ":" in host or "=" in host:
            return place.refuse(f"bad host name '{host}'")
    listed = [f"{host}={_unbracketed(item)}" for host, found in hosts.items() for item in found]
    return sorted(listed) or OMIT


def _unbracketed(address: str) -> str:
    return address[1:-1] if len(address) > 2 and address[0] == "[" and address[-1] == "]" else address


def each(reader: Reader) -> Reader:
    """A list of values of one kind; an empty one is left out."""

    def read(value: Value, place: Place) -> Value:
        made = [reader(item, place.item(index)) for index, item in enumerate(value or ())]
        return [item for item in made if item is not OMIT] or OMIT

    return read


def table(reader: Reader) -> Reader:
    """A map whose keys the user names, in the keys' order; None stays None; an empty one is left out."""

    def read(value: Value, place: Place) -> Value:
        made = {}
        for key in sorted(value or {}):
            item = None if value[key] is None else reader(value[key], place.key(key))
            if item is not OMIT:
                made[key] = item
        return made or OMIT

    return read


@dataclass(frozen=True)
class Field:
    """One attribute of a record. `always` calls the reader for an absent one, too."""

    read: Reader
    always: bool = False


Record = Mapping[str, Union[Field, Reader]]


def record(rows: Record, *, names: Mapping[str, str] = {}) -> Reader:
    """A map with known keys, in the order of the rows; `names` are keys that are printed otherwise.

    Its `x-` fields are kept aside: Compose prints them in YAML only, and they are not part of the hash.
    """

    def read(value: Value, place: Place) -> Value:
        made: dict[str, Value] = {}
        given = value if isinstance(value, dict) else {}
        for key, row in rows.items():
            field = row if isinstance(row, Field) else Field(row)
            if key not in given and not field.always:
                continue
            item = field.read(given.get(key), place.attribute(names.get(key, key)))
            if item is not OMIT:
                made[names.get(key, key)] = item
        extensions = extensions_of(given)
        if extensions:
            place.extensions[place.path] = extensions
        return made

    return read


def extensions_of(value: Value) -> Value:
    """The `x-` fields of a map, in the keys' order at every level."""
    return {key: _ordered(value[key]) for key in sorted(value) if key.startswith("x-")}


def _ordered(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return value.text if isinstance(value, Timestamp) else value
