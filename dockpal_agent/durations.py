"""Durations as Go writes them (`1m30s`, `500ms`): one parser for variables, queries and labels."""

from __future__ import annotations

import re
from typing import Final, Optional

__all__ = ["parse_duration", "parse_seconds"]

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TERM: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?", re.ASCII)


def parse_duration(text: str) -> Optional[float]:
    """Seconds of a duration with units (`1h2m3.5s`), `0` alone included; None when it is not one."""
    if text == "0":
        return 0.0
    total = 0.0
    end = 0
    for term in _TERM.finditer(text):
        if term.start() != end:
            return None
        total += float(term.group(1)) * _UNITS[term.group(2)]
        end = term.end()
    return total if text and end == len(text) else None


def parse_seconds(text: str) -> Optional[float]:
    """Like parse_duration, but a bare number counts as seconds."""
    return float(text) if _NUMBER.fullmatch(text) and len(text) < 32 else parse_duration(text)
