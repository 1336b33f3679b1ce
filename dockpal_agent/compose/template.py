"""Variables in text: `$NAME`, `${NAME}`, `${NAME:-default}` and the others.

Compose Specification, Interpolation; compose-go's template package, whose order of decisions is kept: the first
operator in the text counts, the operand goes to the brace that balances, a `$` before anything else stays.
"""

from __future__ import annotations

import re
from typing import Callable, Final, NamedTuple, Optional

__all__ = ["InvalidTemplate", "Lookup", "MissingVariable", "substitute"]

Lookup = Callable[[str], Optional[str]]

_START: Final = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<named>[_a-zA-Z][_a-zA-Z0-9]*)"
    r"|\{(?:(?P<braced>[_a-zA-Z][_a-zA-Z0-9]*)(?:(?P<end>\})|(?P<operator>:?[-+?])))?)"
    r"|\$\{",
    re.ASCII,
)
_BRACE: Final = re.compile(r"[{}]")
_DEEPEST: Final = 20  # variables within the operand of a variable


class InvalidTemplate(Exception):
    """`${` is not followed by a variable; `template` is the text."""

    def __init__(self, template: str) -> None:
        super().__init__(template)
        self.template: Final = template


class MissingVariable(Exception):
    """A variable that the file says is required has no value."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"required variable {name} is missing a value" + (f": {reason}" if reason else ""))


class _Operand(NamedTuple):
    """What stands after the operator in braces, and where the text goes on."""

    text: str
    end: int


def substitute(text: str, lookup: Lookup, unset: Callable[[str], None], depth: int = 0) -> str:
    """The text with its variables replaced. `unset` is told each name that has no value and no default.

    Raises InvalidTemplate, MissingVariable.
    """
    if "$" not in text:
        return text
    if depth > _DEEPEST:
        raise InvalidTemplate(text[:100])
    made: list[str] = []
    position = 0
    while True:
        start = _START.search(text, position)
        if start is None:
            return "".join([*made, text[position:]])
        made.append(text[position : start.start()])
        position = start.end()
        if start["escaped"]:
            made.append("$")
        elif start["operator"]:
            operand = _operand(text, start)
            position = operand.end
            made.append(_apply(start["braced"], start["operator"], operand.text, lookup, unset, depth))
        elif start["named"] or start["end"]:
            made.append(_value(start["named"] or start["braced"], lookup, unset))
        else:
            raise InvalidTemplate(text)


def _value(name: str, lookup: Lookup, unset: Callable[[str], None]) -> str:
    value = lookup(name)
    if value is None:
        unset(name)
    return value or ""


def _operand(text: str, start: re.Match[str]) -> _Operand:
    """The text up to the brace that closes the variable.

    The brace must stand on the same line. Where braces do not balance, the line's last one closes it.
    """
    begin = start.end("operator")
    line_end = text.find("\n", begin)
    last = text.rfind("}", begin, line_end if line_end >= 0 else len(text))
    if last < 0:
        raise InvalidTemplate(text)
    level, skip = 0, -1
    for brace in _BRACE.finditer(text, start.start(), last + 1):
        if brace.group() == "{" and brace.start() != skip:
            level += 1
            skip = brace.end()  # as Compose counts: what follows an opening brace directly is not looked at
        elif brace.group() == "}" and brace.start() != skip:
            level -= 1
            if level == 0:
                return _Operand(text[begin : brace.start()], brace.end())
    return _Operand(text[begin:last], last + 1)


def _apply(name: str, operator: str, operand: str, lookup: Lookup, unset: Callable[[str], None], depth: int) -> str:
    """`:` counts an empty value as none; `-` is a default, `+` a replacement, `?` an error's text."""
    other = substitute(operand, lookup, unset, depth + 1)
    value = lookup(name)
    present = value is not None and (value != "" or not operator.startswith(":"))
    if operator.endswith("+"):
        return other if present else value or ""
    if present:
        return value or ""
    if operator.endswith("?"):
        raise MissingVariable(name, other)
    return other
