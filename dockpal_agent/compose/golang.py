"""Values as Go prints them: Compose is written in Go, and what it prints is what its hash is made of.

Sources: the packages fmt, strconv and encoding/json of Go's standard library.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator
from typing import Final, Optional

from dockpal_agent.compose.tree import Value

__all__ = [
    "compact",
    "float_text",
    "indented",
    "parse_float",
    "parse_integer",
    "quoted",
    "sprint",
    "to_float32",
]

_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NAMED: Final = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}
_INT64: Final = range(-(2**63), 2**63)
_EXPONENT_FROM: Final = 6  # %v writes 1e+06, and every number below it without an exponent
_ESCAPED: Final = re.compile("[&<>\u2028\u2029\x7f]")
_DIGITS_AT_MOST: Final = 400  # no number of a Compose file is longer; int() of a huge text is slow


def _round32(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def to_float32(value: float) -> float:
    """A number that Go keeps in 32 bits, as the number that has just the digits which Go then prints."""
    rounded = _round32(value)
    shorter = (float(f"{rounded:.{precision}e}") for precision in range(17))
    return next((short for short in shorter if _round32(short) == rounded), rounded)


def _digits(size: float) -> tuple[str, int]:
    """The fewest digits that give a positive number back, and the exponent of the first: 1234.5 -> ("12345", 3)."""
    written = (f"{size:.{precision}e}" for precision in range(17))
    mantissa, _, exponent = next(text for text in written if float(text) == size).partition("e")
    return mantissa.replace(".", "").rstrip("0") or "0", int(exponent)


def float_text(value: float, *, as_json: bool = False) -> str:
    """A float as %v prints it (1e+06, 1.5), or as encoding/json does (1000000, 1e+21)."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if value == 0:
        return f"{sign}0"
    digits, exponent = _digits(abs(value))
    plain = 1e-6 <= abs(value) < 1e21 if as_json else -4 <= exponent < _EXPONENT_FROM
    if not plain:
        return sign + _exponential(digits, exponent, padded=not as_json or exponent > 0)
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole, rest = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{sign}{whole}.{rest}" if rest else sign + whole


def _exponential(digits: str, exponent: int, *, padded: bool) -> str:
    """1.5e+06; JSON writes small ones without the zero: 1e-9."""
    point = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{point}e{'-' if exponent < 0 else '+'}{abs(exponent):0{2 if padded else 1}d}"


def sprint(value: Value) -> str:
    """A value as fmt.Sprint prints it: what becomes of numbers and booleans in environments, labels and options."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{sprint(item)}' for key, item in sorted(value.items()))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(sprint, value))}]"
    return str(value)


def quoted(text: str) -> str:
    """Text as %q prints it."""
    return json.dumps(text, ensure_ascii=False)


def parse_integer(text: str) -> Optional[int]:
    """A whole number of 64 bits, as strconv.Atoi reads it; None when it is not one."""
    if len(text) > _DIGITS_AT_MOST or not _WHOLE.fullmatch(text):
        return None
    number = int(text)
    return number if number in _INT64 else None


def parse_float(text: str) -> Optional[float]:
    """A number as strconv.ParseFloat reads it; None when it is not one or does not fit."""
    if len(text) > _DIGITS_AT_MOST:
        return None
    if _DECIMAL.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else None
    special = _NAMED.get(text.lstrip("+-").lower()) if len(text.lstrip("+-")) >= len(text) - 1 else None
    return special if special is None else math.copysign(special, -1 if text.startswith("-") else 1)


def compact(value: Value) -> str:
    """JSON as json.Marshal writes it: no blanks, keys in the order they have, HTML's special characters escaped."""
    return "".join(_json(value, "", ""))


def indented(value: Value) -> str:
    """JSON as json.MarshalIndent writes it, two blanks a level."""
    return "".join(_json(value, "\n", "  "))


def _json(value: Value, newline: str, indent: str) -> Iterator[str]:
    if isinstance(value, (dict, list, tuple)):
        yield from _container(value, newline, indent)
    elif value is None or isinstance(value, bool):
        yield "null" if value is None else str(value).lower()
    elif isinstance(value, float):
        yield float_text(value, as_json=True)
    elif isinstance(value, int):
        yield str(value)
    else:
        yield _text(str(value))


def _container(value: Value, newline: str, indent: str) -> Iterator[str]:
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    yield opening
    inner = newline + indent
    colon = ": " if newline else ":"
    for index, item in enumerate(value.items() if isinstance(value, dict) else value):
        yield ("," if index else "") + inner
        if isinstance(value, dict):
            yield _text(item[0]) + colon
            item = item[1]
        yield from _json(item, inner, indent)
    yield (newline if value else "") + closing


def _text(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match.group()):04x}" if match.group() != "\x7f" else "\x7f", written)
