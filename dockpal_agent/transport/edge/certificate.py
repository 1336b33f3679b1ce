"""Whose certificate was not trusted: subject and issuer of a certificate in DER, read for a message to a person.

Python gives the names of verified certificates only. This reads X.509 (RFC 5280 section 4.1) just far enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["describe"]

_COMMON_NAME: Final = bytes((0x55, 0x04, 0x03))  # 2.5.4.3
_ORGANIZATION: Final = bytes((0x55, 0x04, 0x0A))  # 2.5.4.10
_CONTEXT_0: Final = 0xA0
_OBJECT_ID: Final = 0x06


class _Element(NamedTuple):
    tag: int
    content: bytes


def describe(der: bytes) -> str:
    """`"dockpal", issued by "Example CA" (SHA-256 ab:cd:…)`; a certificate that cannot be read has its hash only."""
    digest = hashlib.sha256(der).hexdigest()
    fingerprint = "SHA-256 " + ":".join(digest[at : at + 2] for at in range(0, 16, 2)) + ":…"
    try:
        certificate = next(_elements(der))
        fields = list(_elements(next(_elements(certificate.content)).content))
    except (ValueError, StopIteration):
        return fingerprint
    start = 1 if fields and fields[0].tag == _CONTEXT_0 else 0  # version, which v1 leaves out
    if len(fields) < start + 5:
        return fingerprint
    issuer, subject = _name(fields[start + 2].content), _name(fields[start + 4].content)
    by = "itself" if issuer == subject else f'"{issuer}"'
    return f'"{subject}", issued by {by} ({fingerprint})'


def _name(content: bytes) -> str:
    """The common name, else the organization, of a Name (RFC 5280 section 4.1.2.4)."""
    found: dict[bytes, str] = {}
    try:
        for part in _elements(content):
            for attribute in _elements(part.content):
                kind, value = list(_elements(attribute.content))[:2]
                if kind.tag == _OBJECT_ID:
                    found.setdefault(kind.content, value.content.decode("utf-8", "replace"))
    except ValueError:
        pass  # what was read so far is what there is to say
    text = found.get(_COMMON_NAME) or found.get(_ORGANIZATION) or "a certificate without a name"
    return "".join(character if character.isprintable() else "?" for character in text)[:100]


def _elements(data: bytes) -> Iterator[_Element]:
    """The elements of a constructed value (X.690 section 8.1). Raises ValueError where lengths do not fit."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("cut short")
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4:
                raise ValueError("not DER")
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + length > len(data):
            raise ValueError("cut short")
        yield _Element(tag, data[at : at + length])
        at += length
