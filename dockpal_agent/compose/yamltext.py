"""Trees as YAML text, as go-yaml v3 writes it: two blanks a level, lists indented below their key.

Only what a Compose model holds: texts, numbers, booleans, None, lists and maps.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Final

from dockpal_agent.compose.golang import float_text
from dockpal_agent.compose.scalars import resolve_plain
from dockpal_agent.compose.tree import Value

__all__ = ["as_yaml", "natural"]

_OLD_BOOLEANS: Final = frozenset(
    form for word in ("y", "yes", "on", "n", "no", "off") for form in (word, word.capitalize(), word.upper())
)
_BASE_60: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_BREAKS: Final = "\r\n\x85\u2028\u2029"
_SPECIAL: Final = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]")
_INDICATOR_FIRST: Final = "#,[]{}&*!|>'\"%@`"
_INDICATOR: Final = re.compile(rf"[:?-](?=[\s{_BREAKS}]|\Z)|---|\.\.\.")
_INDICATOR_WITHIN: Final = re.compile(rf":(?=[\s{_BREAKS}]|\Z)|(?<=[\s{_BREAKS}])#")
_ESCAPES: Final = {
    "\0": "0", "\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r", "\x1b": "e", '"': '"',
    "\\": "\\", "\x85": "N", "\xa0": "_", "\u2028": "L", "\u2029": "P",
}  # fmt: skip
_TO_ESCAPE: Final = re.compile('["\\\\\r\n\x85\u2028\u2029\ufeff]|[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd]')


def as_yaml(tree: Value, step: int = 2) -> str:
    """The text of a map, `step` blanks a level, keys in the order they have."""
    return "".join(f"{line}\n" for line in _lines(tree, 0, step)) if tree else "{}\n"


def _lines(value: Value, indent: int, step: int) -> Iterator[str]:
    blanks = " " * indent
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _entry(f"{blanks}{_key(key)}:", item, indent, step)
    else:
        for item in value:
            yield from _item(item, indent, step)


def _entry(start: str, value: Value, indent: int, step: int) -> Iterator[str]:
    if isinstance(value, (dict, list)) and value:
        yield start
        yield from _lines(value, indent + step, step)
    else:
        yield from _scalar(f"{start} ", value, indent + step, step)


def _item(value: Value, indent: int, step: int) -> Iterator[str]:
    """A list's item; a container begins on the dash's own line."""
    blanks = " " * indent
    if isinstance(value, (dict, list)) and value:
        inner = indent + step
        first = True
        for line in _lines(value, inner, step):
            yield f"{blanks}-{' ' * (step - 1)}{line[inner:]}" if first else line
            first = False
    else:
        yield from _scalar(f"{blanks}- ", value, indent + step, step)


def _scalar(start: str, value: Value, indent: int, step: int) -> Iterator[str]:
    if isinstance(value, str):
        if "\n" in value and _block_allowed(value):
            yield f"{start}|{_hints(value, step)}"
            for line in value[:-1].split("\n") if value.endswith("\n") else value.split("\n"):
                yield f"{' ' * indent}{line}" if line else ""
        else:
            yield start + _text(value)
    elif isinstance(value, bool) or value is None:
        yield start + {True: "true", False: "false", None: "null"}[value]
    elif isinstance(value, float):
        yield start + float_text(value)
    else:
        yield start + (str(value) if isinstance(value, int) else "{}" if isinstance(value, dict) else "[]")


def _key(key: str) -> str:
    """A key; an empty one in quotes."""
    return _text(key) if key else '""'


def _text(text: str) -> str:
    """One line: plain where that would be read as the same text again, else in quotes."""
    if "\n" in text or not _reads_as_text(text):
        return _double(text)
    if _plain_allowed(text):
        return text
    return f"'{text.replace(chr(39), chr(39) * 2)}'" if _single_allowed(text) else _double(text)


def _reads_as_text(text: str) -> bool:
    same = isinstance(resolve_plain(text), str)
    return same and not _BASE_60.fullmatch(text) and text not in _OLD_BOOLEANS


def _plain_allowed(text: str) -> bool:
    return not (
        text[0] in _INDICATOR_FIRST
        or _INDICATOR.match(text)
        or _INDICATOR_WITHIN.search(text)
        or text[0] in f" {_BREAKS}"
        or text[-1] in f" {_BREAKS}"
        or "\t" in text
        or _SPECIAL.search(text)
        or any(character in text for character in _BREAKS)
    )


def _single_allowed(text: str) -> bool:
    return not ("\t" in text or _SPECIAL.search(text) or any(f" {end}" in text or f"{end} " in text for end in _BREAKS))


def _block_allowed(text: str) -> bool:
    return not (text.endswith(" ") or _SPECIAL.search(text) or any(f" {end}" in text for end in _BREAKS))


def _hints(text: str, step: int) -> str:
    """Where the text begins with a blank its indent must be said; `-` for no break at the end, `+` for several."""
    indent = str(step) if text[0] in f" {_BREAKS}" else ""
    if text[-1] not in _BREAKS:
        return f"{indent}-"
    return f"{indent}+" if len(text) == 1 or text[-2] in _BREAKS else indent


def _double(text: str) -> str:
    return f'"{_TO_ESCAPE.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character in _ESCAPES:
        return f"\\{_ESCAPES[character]}"
    code = ord(character)
    return f"\\x{code:02X}" if code <= 0xFF else f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def natural(keys: Iterable[str]) -> list[str]:
    """Keys in go-yaml's order of a map: letters after other signs, numbers by their size."""
    return sorted(keys, key=functools.cmp_to_key(_compare))


def _compare(left: str, right: str) -> int:
    return 0 if left == right else -1 if _less(left, right) else 1


def _less(left: str, right: str) -> bool:
    digits = False
    for index, (a, b) in enumerate(zip(left, right)):
        if a == b:
            digits = a.isdigit()
        elif a.isalpha() and b.isalpha():
            return a < b
        elif a.isalpha() or b.isalpha():
            return a.isalpha() if digits else b.isalpha()
        else:
            return _less_number(left, right, index)
    return len(left) < len(right)


def _less_number(left: str, right: str, index: int) -> bool:
    """Both differ first at `index`, and neither has a letter there."""
    runs = [_DIGITS.match(text, index) for text in (left, right)]
    digits = [run.group() if run else "" for run in runs]
    before = left[:index]
    lead = "1" if before[len(before.rstrip("0123456789")) :].strip("0") and "0" in (left[index], right[index]) else ""
    numbers = [int(f"{lead}{run}" or 0) for run in digits]
    if numbers[0] != numbers[1]:
        return numbers[0] < numbers[1]
    return len(digits[0]) < len(digits[1]) if len(digits[0]) != len(digits[1]) else left[index] < right[index]
