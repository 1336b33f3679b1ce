"""The short form of a service's volume: `[source:]target[:options]`.

Compose Specification, volumes; compose-go's format.ParseVolume, with its words.
"""

from __future__ import annotations

import posixpath
import re
from typing import Final

from dockpal_agent.compose.tree import Value

__all__ = ["clean", "is_path", "parse_mount"]

_PROPAGATION: Final = frozenset(("rprivate", "private", "rshared", "shared", "rslave", "slave"))
_SELINUX: Final = frozenset("zZ")
_DRIVE: Final = re.compile(r"[a-zA-Z]:(?:\\|/[^:]*:[^:,]*/)")


def clean(path: str) -> str:
    """A path without `.`, `..` and doubled slashes, as Go's path.Clean leaves it."""
    made = posixpath.normpath(path) if path else "."
    return made[1:] if made.startswith("//") else made


def parse_mount(text: str) -> Value:
    """The long form of a short volume. Raises ValueError."""
    if not text:
        raise ValueError("invalid empty volume spec")
    if len(text) <= 2:
        return {"type": "volume", "target": clean(text)}
    sections = _sections(text)
    if not all(sections):
        raise ValueError(f"invalid spec: {text}: empty section between colons")
    if len(sections) > 3:
        raise ValueError(f"invalid spec: {text}: too many colons")
    source = sections[0] if len(sections) > 1 else ""
    target = sections[1] if len(sections) > 1 else sections[0]
    return _long(source, clean(target), sections[2].split(",") if len(sections) > 2 else [])


def _sections(text: str) -> list[str]:
    """The parts between colons; a Windows drive's colon divides nothing.

    Compose takes every single letter for a drive; here only one that is followed like one, so that a volume may be
    called `v`.
    """
    drive = _DRIVE.match(text)
    rest = text[2:] if drive else text
    sections = rest.split(":")
    if drive:
        sections[0] = text[:2] + sections[0]
    return sections


def is_path(source: str) -> bool:
    """Whether a source is a path on the host, and not the name of a volume."""
    return (source[:1] in (".", "/", "~") and bool(source)) or source.startswith("\\\\") or source[1:3] in (":\\", ":/")


def _long(source: str, target: str, options: list[str]) -> Value:
    kind = "bind" if is_path(source) else "volume"
    bind = {}
    for option in options:
        if option in _PROPAGATION or option in _SELINUX:
            bind["selinux" if option in _SELINUX else "propagation"] = option
    access = [option for option in options if option in ("ro", "rw")]
    mount: Value = {"type": kind, "source": source, "target": target}
    if not source:
        del mount["source"]
    if access and access[-1] == "ro":
        mount["read_only"] = True
    if kind == "bind":
        bind["create_host_path"] = True  # type: ignore[assignment]
    if bind:
        mount["bind"] = bind
    if "nocopy" in options:
        mount["volume"] = {"nocopy": True}
    elif kind == "volume":
        mount["volume"] = {}
    return mount
