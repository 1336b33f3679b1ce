"""ruamel.yaml's scanner, made to divide a text as go-yaml v3 does where the two differ.

Tabs may stand after a value and before a comment; `"a":b` in a list in brackets is a map; an escaped `'` is one and an
escaped `/` is an error. Each method takes the place of the one of that name in ruamel.yaml.scanner.Scanner.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ruamel.yaml.scanner import Scanner, ScannerError
from ruamel.yaml.tokens import ScalarToken

__all__ = ["GoScanner"]

_BREAKS: Final = "\r\n\x85\u2028\u2029"
_BLANK_OR_END: Final = f"\0 \t{_BREAKS}"
_NO_PLAIN_START: Final = f"{_BLANK_OR_END}-?:,[]{{}}#&*!|>'\"%@`"
_BLOCK_RUN: Final = re.compile(rf"(?:[^{_BLANK_OR_END}:]|:(?![{_BLANK_OR_END}]))+")
_FLOW_RUN: Final = re.compile(rf"(?:[^{_BLANK_OR_END}:,?\[\]{{}}]|:(?![{_BLANK_OR_END}]))+")


class GoScanner(Scanner):
    """See the module."""

    ESCAPE_REPLACEMENTS: Final = {  # type: ignore[misc]
        **{sign: value for sign, value in Scanner.ESCAPE_REPLACEMENTS.items() if sign != "/"},
        "'": "'",
    }

    def check_key(self) -> bool:
        """`?` begins a key."""
        return bool(self.flow_level) or self.reader.peek(1) in _BLANK_OR_END

    def check_value(self) -> bool:
        """`:` begins a value."""
        return bool(self.flow_level) or self.reader.peek(1) in _BLANK_OR_END

    def check_plain(self) -> bool:
        """Whether a word without quotes begins here."""
        first, second = self.reader.peek(), self.reader.peek(1)
        if first not in _NO_PLAIN_START:
            return True
        if first == "-":
            return second not in " \t"
        return not self.flow_level and first in "?:" and second not in _BLANK_OR_END

    def scan_to_next_token(self) -> None:
        """Over blanks, comments and line ends; a tab counts as a blank where no key may begin."""
        reader = self.reader
        if reader.index == 0 and reader.peek() == "\ufeff":
            reader.forward()
        while True:
            while reader.peek() == " " or (reader.peek() == "\t" and (self.flow_level or not self.allow_simple_key)):
                reader.forward()
            if reader.peek() == "#":
                while reader.peek() not in f"\0{_BREAKS}":
                    reader.forward()
            if not self.scan_line_break():
                return
            if not self.flow_level:
                self.allow_simple_key = True

    def scan_plain(self) -> Any:
        """A word without quotes, perhaps over several lines."""
        reader = self.reader
        start = end = reader.get_mark()
        indent = self.indent + 1
        run = _FLOW_RUN if self.flow_level else _BLOCK_RUN
        chunks: list[str] = []
        between = ""
        broken = False
        while not (self._document_ends() or reader.peek() == "#"):
            match = run.match(reader.buffer, reader.pointer)
            if match is None:
                break
            self.allow_simple_key = False
            chunks += [between, match.group()]
            reader.forward(len(match.group()))
            end = reader.get_mark()
            between, broken = self._between(indent, start)
            if not between or (not self.flow_level and reader.column < indent):
                break
        if broken:
            self.allow_simple_key = True
        return ScalarToken("".join(chunks), True, start, end)

    def _document_ends(self) -> bool:
        reader = self.reader
        return reader.column == 0 and reader.prefix(3) in ("---", "...") and reader.peek(3) in _BLANK_OR_END

    def _between(self, indent: int, start: Any) -> tuple[str, bool]:
        """What blanks and line ends within a word come to, and whether there was a line end."""
        reader = self.reader
        blanks = ""
        breaks: list[str] = []
        while reader.peek() in f" \t{_BREAKS}":
            if reader.peek() in " \t":
                if breaks and reader.column < indent and reader.peek() == "\t":
                    words = "found a tab character that violates indentation"
                    raise ScannerError("while scanning a plain scalar", start, words, reader.get_mark())
                blanks += "" if breaks else reader.peek()
                reader.forward()
            else:
                breaks.append(self.scan_line_break())
        if not breaks:
            return blanks, False
        first, *rest = breaks
        return (first if first != "\n" else "" if rest else " ") + "".join(rest), True
