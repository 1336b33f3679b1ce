"""Stands for email.parser in agent.pyz: http.client has it read the head of an HTTP message.

As lenient as the real one: reading ends at the first line that is no field, and a line that continues one is added to
it with the end of line between them.
"""

from __future__ import annotations

import io
import re
from typing import Any, Callable, Final

__all__ = ["Parser"]

_FIELD: Final = re.compile(r"[!-9;-~]+:")  # RFC 5322 section 3.6.8
_IGNORED: Final = ("From ", ":")  # the first line of a mailbox, a field without a name
_CONTINUES: Final = (" ", "\t")


class Parser:
    """Makes messages of `_class`."""

    def __init__(self, _class: Callable[[], Any], **options: object) -> None:
        self._class = _class

    def parsestr(self, text: str, headersonly: bool = False) -> Any:
        """The message whose head is `text`."""
        message = self._class()
        name, value = "", ""
        for line in io.StringIO(text, newline=""):
            if line.startswith(_CONTINUES):
                value += line
                continue
            if name:
                message[name] = _clean(value)
            name, value = "", ""
            if line.startswith(_IGNORED):
                continue
            if not _FIELD.match(line):
                break
            name, _, value = line.partition(":")
        if name:
            message[name] = _clean(value)
        return message


def _clean(value: str) -> str:
    return value.lstrip(" \t").rstrip("\r\n")
