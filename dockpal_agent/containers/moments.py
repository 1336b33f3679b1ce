"""Moments as the Engine writes them (RFC 3339, nine decimals) and as it takes them (Unix time, nine decimals)."""

from __future__ import annotations

import datetime
import re
from typing import Final, Optional

__all__ = ["parse_moment", "unix_text"]

_EPOCH: Final = datetime.datetime(1970, 1, 1)
_SECOND: Final = datetime.timedelta(seconds=1)
_MOMENT: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII | re.IGNORECASE
)


def parse_moment(text: str) -> Optional[int]:
    """Unix nanoseconds of an RFC 3339 time; None for what is none. Go's zero time is far below zero."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    second, fraction, sign, hours, minutes = match.groups()
    try:
        # Not strptime nor calendar: the tables of month names and the locale would stay in memory.
        seconds = (datetime.datetime.fromisoformat(second) - _EPOCH) // _SECOND
    except ValueError:  # the 31st of February
        return None
    if sign:
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds -= offset if sign == "+" else -offset
    return seconds * 10**9 + int((fraction or "0").ljust(9, "0"))


def unix_text(nanoseconds: int) -> str:
    """Unix time as the Engine takes it in a query: seconds, a dot, nine digits."""
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"
