"""Just enough DER (X.690) to find when a certificate ends (RFC 5280 section 4.1); the standard library cannot."""

from __future__ import annotations

import datetime
from typing import Final

__all__ = ["not_after"]

SEQUENCE: Final = 0x30
VERSION: Final = 0xA0  # [0], absent in version 1
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18


def not_after(der: bytes) -> float:
    """The end of a certificate's validity in Unix seconds. Raises ValueError for what is not a certificate."""
    _, certificate, _ = _element(der)
    _, rest, _ = _element(certificate)  # TBSCertificate
    tag, _, after_version = _element(rest)
    if tag == VERSION:
        rest = after_version
    for _ in ("serialNumber", "signature", "issuer"):
        _, _, rest = _element(rest)
    tag, validity, _ = _element(rest)
    if tag != SEQUENCE:
        raise ValueError("no validity where it should be")
    _, _, rest = _element(validity)
    tag, text, _ = _element(rest)
    return _time(tag, text)


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag, content and what follows of the first element (lengths of up to four bytes)."""
    if len(data) < 2:
        raise ValueError("it ends too early")
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4:
            raise ValueError("a length that cannot be")
        start += size
        length = int.from_bytes(data[2:start], "big")
    if len(data) < start + length:
        raise ValueError("it ends too early")
    return tag, data[start : start + length], data[start + length :]


def _time(tag: int, text: bytes) -> float:
    """RFC 5280 section 4.1.2.5: two digits of a year below 50 are of this century."""
    value = text.decode("ascii")
    if tag == UTC_TIME:
        value = ("20" if value[:2] < "50" else "19") + value
    elif tag != GENERALIZED_TIME:
        raise ValueError("no time where it should be")
    if len(value) != 15 or not value[:14].isdigit() or value[14] != "Z":
        raise ValueError("a time that is not YYYYMMDDHHMMSSZ")
    year, *rest = (int(value[start:end]) for start, end in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14)))
    return datetime.datetime(year, *rest, tzinfo=datetime.timezone.utc).timestamp()  # type: ignore[arg-type,misc]
