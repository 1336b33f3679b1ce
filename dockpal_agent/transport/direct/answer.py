"""Answers as bytes: status line, header fields, JSON, chunks (RFC 9112 section 4, RFC 9110 section 6.6)."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

__all__ = ["answer_head", "chunk", "has_no_body"]

LAST_CHUNK: Final = b"0\r\n\r\n"

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ALWAYS: Final = (
    ("Server", "dockpal-agent"),
    ("Cache-Control", "no-store"),  # the environment of containers holds secrets
    ("X-Content-Type-Options", "nosniff"),
)


def has_no_body(status: int) -> bool:
    """Statuses that never carry a body: RFC 9110 section 6.4.1."""
    return status < 200 or status in (204, 304)


def answer_head(status: int, fields: Mapping[str, str]) -> bytes:
    """The head of an answer, blank line included; `fields` replace ours of the same name.

    Control characters in a value (a file name in Content-Disposition) become spaces: they would end the field.
    """
    lines = [f"HTTP/1.1 {status} {_reason(status)}", f"Date: {_date()}"]
    given = {name.lower() for name in fields}
    lines += [f"{name}: {value}" for name, value in _ALWAYS if name.lower() not in given]
    lines += [f"{name}: {_UNSAFE.sub(' ', value)}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _date() -> str:
    """The moment as RFC 9110 section 5.6.7 has it. email.utils would bring 0.5 MB for this line."""
    year, month, day, hour, minute, second, weekday = time.gmtime()[:7]
    return f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month - 1]} {year:04d} {hour:02d}:{minute:02d}:{second:02d} GMT"


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


def chunk(data: bytes) -> bytes:
    """One chunk of the chunked transfer coding; `data` must not be empty, which would end the body."""
    return b"%x\r\n%s\r\n" % (len(data), data)
