"""What an unquoted word of YAML means, as go-yaml v3 reads it: YAML 1.2 with a little of 1.1.

`yes`, `on` and the like are text, `22:22` is text, `010` is 8, `1_000` is 1000, an unquoted date is a date.
"""

from __future__ import annotations

import datetime
import math
import re
from typing import Final, Optional, Union

from dockpal_agent.compose.golang import parse_float
from dockpal_agent.compose.tree import Timestamp, Value

__all__ = ["resolve_plain", "resolve_tagged"]

_WORDS: Final[dict[str, Value]] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER: Final = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))", re.ASCII)
_BASES: Final = (16, 2, 8, 10)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_DATE: Final = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:(?:[Tt]([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2}))"
    r"|(?: +([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]+)?))?",
    re.ASCII,
)
_LONGEST_NUMBER: Final = 400


def resolve_plain(text: str) -> Value:
    """The value of a word that stands without quotes and without a tag."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER:
        return text
    if text[0] == ".":
        number = parse_float(text)
        return text if number is None else number
    return _date(text) or _number(text)


def resolve_tagged(tag: str, text: str) -> Value:
    """The value of a word with an explicit tag (`!!int`). Raises ValueError when it is not of that kind.

    A tag of another's invention makes it text, as for go-yaml.
    """
    wanted: dict[str, tuple[type, ...]] = {"int": (int,), "float": (float, int), "bool": (bool,), "null": (type(None),)}
    if tag not in wanted:
        return text
    value = resolve_plain(text)
    if not isinstance(value, wanted[tag]) or (isinstance(value, bool) and tag != "bool"):
        raise ValueError(f"cannot decode `{text}` as a !!{tag}")
    return float(str(value)) if tag == "float" else value


def _number(text: str) -> Union[int, float, str]:
    plain = text.replace("_", "")
    whole = _INTEGER.fullmatch(plain)
    if whole is not None:
        number = next(int(digits, base) for digits, base in zip(whole.groups()[1:], _BASES) if digits is not None)
        number = -number if whole[1] == "-" else number
        if -(2**63) <= number < 2**64:
            return number
    if _FLOAT.fullmatch(plain):
        decimal = parse_float(plain)
        return text if decimal is None else decimal
    return text


def _date(text: str) -> Optional[Timestamp]:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    parts = [int(part) for part in match.groups() if part is not None]
    try:
        datetime.datetime(*parts)  # type: ignore[arg-type]
    except ValueError:
        return None
    return Timestamp(text)
