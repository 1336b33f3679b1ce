"""Sizes, durations and booleans as Compose reads them, and durations as it prints them.

Sources: docker/go-units RAMInBytes (powers of 1024), xhit/go-str2duration (Go's durations, with days and weeks),
time.Duration.String. A reader raises ValueError with the words of the Go library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from dockpal_agent.compose.golang import parse_float

__all__ = ["BOOLEAN_WORDS", "duration_text", "nanoseconds", "parse_bool", "parse_bytes", "parse_duration"]

_POWERS: Final[Mapping[str, int]] = {letter: 1024**power for power, letter in enumerate("bkmgtp")}
_UNITS: Final[Mapping[str, int]] = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
    "w": 7 * 86400 * 10**9,
}
_TERM: Final = re.compile(r"([0-9]*)(?:(\.)([0-9]*))?([^0-9.]*)", re.ASCII)
_LONGEST: Final = 2**63 - 1

BOOLEAN_WORDS: Final = {"true": True, "y": True, "yes": True, "on": True, "false": False, "n": False, "no": False,
                        "off": False}  # fmt: skip


def parse_bool(text: str) -> bool:
    """A boolean written as text, in any case."""
    if text.lower() not in BOOLEAN_WORDS:
        raise ValueError(f"invalid boolean: {text}")
    return BOOLEAN_WORDS[text.lower()]


def parse_bytes(text: str) -> int:
    """Bytes of a size such as `1.5g`, `512 MiB`, `64`."""
    last = max(text.rfind(character) for character in "0123456789. ")
    if last == -1:
        raise ValueError(f"invalid size: '{text}'")
    number, suffix = (text[:last], text[last + 1 :]) if text[last] == " " else (text[: last + 1], text[last + 1 :])
    size = parse_float(number)
    if size is None:
        raise ValueError(f'strconv.ParseFloat: parsing "{number}": invalid syntax')
    if size < 0:
        raise ValueError(f"invalid size: '{text}'")
    factor = _factor(suffix)
    if not size * factor < 2**63:
        raise ValueError(f"invalid size: '{text}'")
    return int(size * factor)


def _factor(suffix: str) -> int:
    if not suffix:
        return 1
    low = suffix.lower() if len(suffix) <= 3 else suffix
    tails = ("",) if low[0] == "b" else ("", "b", "ib")
    if low[0] not in _POWERS or low[1:] not in tails:
        raise ValueError(f"invalid suffix: '{low}'")
    return _POWERS[low[0]]


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration such as `1h2m3.5s`, `1w2d`; `0` may stand alone."""
    rest = text[1:] if text[:1] in ("+", "-") and text else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = 0
    while rest:
        term = _TERM.match(rest)
        if term is None or not (term.group(1) or term.group(3)):
            raise ValueError(f'time: invalid duration "{text}"')
        whole, _, fraction, unit = term.groups()
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += int(whole[:40] or 0) * _UNITS[unit] + _part(fraction or "", _UNITS[unit])
        if total > _LONGEST or len(whole) > 40:
            raise ValueError(f'time: invalid duration "{text}"')
        rest = rest[term.end() :]
    return -total if text.startswith("-") else total


def _part(fraction: str, unit: int) -> int:
    """Nanoseconds of a decimal fraction of a unit, rounded down as Go does."""
    kept = fraction[:18]
    return int(kept) * unit // 10 ** len(kept) if kept else 0


def nanoseconds(text: str) -> int:
    """Nanoseconds of a duration as the model holds it (what duration_text wrote)."""
    return parse_duration(text)


def duration_text(duration: int) -> str:
    """Nanoseconds as time.Duration prints them: `1h0m0s`, `1.5s`, `100ms`."""
    sign, size = ("-" if duration < 0 else ""), abs(duration)
    if size < 10**9:
        if size == 0:
            return "0s"
        unit = next(unit for unit in ("ms", "us", "ns") if size >= _UNITS[unit])
        return f"{sign}{_decimal(size, _UNITS[unit])}{'µs' if unit == 'us' else unit}"
    minutes, rest = divmod(size, 60 * 10**9)
    seconds = f"{_decimal(rest, 10**9)}s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else sign + seconds


def _decimal(size: int, unit: int) -> str:
    whole, rest = divmod(size, unit)
    fraction = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)
