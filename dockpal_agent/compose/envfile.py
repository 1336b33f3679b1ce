"""Files of variables: `.env`, `env_file`, `label_file`.

Compose Specification, `.env` file syntax; compose-go's dotenv package, and docker's own format for `format: raw`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, Optional

from dockpal_agent.compose.template import InvalidTemplate, Lookup, MissingVariable, substitute

__all__ = ["EnvFileError", "parse_env", "parse_raw"]

_BLANK: Final = "\t\v\f\r \x85\xa0"  # blanks within a line
_EXPORT: Final = re.compile(r"export[\t\v\f\r \x85\xa0]+")
_KEY: Final = re.compile(r"(?:[^\W]|[\t\v\f\r \x85\xa0_.\[\]-])*")
_ESCAPE: Final = re.compile(r"\\(?:[abcfnrtv$\"\\]|0\d{0,3})")
_OCTAL: Final = re.compile(r"[0-3][0-7]{2}")
_ESCAPED: Final = {"a": "\a", "b": "\b", "c": "\\c", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "$": "$$"}


class EnvFileError(Exception):
    """A line is not `KEY=value`; the text says which."""


class _Quoted(NamedTuple):
    value: str
    end: int


def parse_env(text: str, lookup: Lookup, known: Optional[Mapping[str, str]] = None) -> dict[str, str]:
    """The variables of a file, on top of `known`, which the file's own references may use too; `lookup` goes first.

    Raises EnvFileError.
    """
    return _Reader(text.lstrip("\ufeff") if text.startswith("\ufeff") else text, lookup, dict(known or {})).read()


class _Reader:
    def __init__(self, text: str, lookup: Lookup, values: dict[str, str]) -> None:
        self._text = text
        self._lookup = lookup
        self._values = values
        self._at = 0

    def read(self) -> dict[str, str]:
        while self._skip_to_statement():
            key, separator = self._key()
            if separator == "\n":
                inherited = self._lookup(key)
                if inherited is not None:
                    self._values[key] = inherited
            else:
                self._values[key] = self._value()
        return self._values

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _skip_to_statement(self) -> bool:
        """Over blanks and comments; False at the end."""
        while True:
            rest = len(self._text) - len(self._text[self._at :].lstrip()) if self._at < len(self._text) else -1
            if rest in (-1, len(self._text)):
                return False
            self._at = rest
            if self._text[rest] != "#":
                return True
            end = self._text.find("\n", rest)
            if end < 0:
                return False
            self._at = end

    def _key(self) -> tuple[str, str]:
        """A name and what ended it: `=`, `:` or the end of the line."""
        export = _EXPORT.match(self._text, self._at)
        self._at = export.end() if export else self._at
        match = _KEY.match(self._text, self._at)
        end = match.end() if match else self._at
        separator = self._text[end : end + 1] or "\n"
        if separator not in "=:\n":
            line = self._text[self._at :].split("\n", 1)[0]
            raise EnvFileError(f'line {self._line()}: unexpected character "{separator}" in variable name "{line}"')
        key = self._text[self._at : end].rstrip()
        if " " in key:
            raise EnvFileError(f"line {self._line()}: key cannot contain a space")
        self._at = end + 1
        return key, separator

    def _value(self) -> str:
        while self._text[self._at : self._at + 1] and self._text[self._at] in _BLANK:
            self._at += 1
        if self._text[self._at : self._at + 1] in ("'", '"') and self._at < len(self._text):
            quote = self._text[self._at]
            quoted = self._quoted(quote)
            self._at = quoted.end
            return quoted.value if quote == "'" else self._expand(_unescape(quoted.value))
        end = self._text.find("\n", self._at)
        end = len(self._text) if end < 0 else end
        value = self._text[self._at : end].split(" #", 1)[0].rstrip()
        self._at = end + 1
        return self._expand(value)

    def _quoted(self, quote: str) -> _Quoted:
        """Text up to the closing quote, over lines; a backslash keeps the quote from closing."""
        made: list[str] = []
        position = self._at + 1
        escaped = False
        while position < len(self._text):
            character = self._text[position]
            position += 1
            if character == "\\" and not escaped:
                escaped = True
                continue
            if character == quote and not escaped:
                return _Quoted("".join(made), position)
            made.append(f"\\{character}" if escaped and character != quote else character)
            escaped = False
        line = self._text[self._at :].split("\n", 1)[0]
        raise EnvFileError(f"line {self._line()}: unterminated quoted value {line}")

    def _expand(self, value: str) -> str:
        def lookup(name: str) -> Optional[str]:
            found = self._lookup(name)
            return self._values.get(name) if found is None else found

        try:
            return substitute(value, lookup, lambda name: None)
        except InvalidTemplate as error:
            raise EnvFileError(f'Invalid template: "{error.template}"') from None
        except MissingVariable as error:
            raise EnvFileError(str(error)) from None


def _unescape(text: str) -> str:
    def meaning(match: re.Match[str]) -> str:
        letter = match.group()[1]
        if letter == "0":
            digits = match.group()[2:]
            return chr(int(digits, 8)) if _OCTAL.fullmatch(digits) else f"\\{digits}"
        return _ESCAPED.get(letter, letter)

    return _ESCAPE.sub(meaning, text)


def parse_raw(text: str, lookup: Lookup, known: Optional[Mapping[str, str]] = None) -> dict[str, str]:
    """The variables of a file of `format: raw`: each line as it stands, nothing expanded. Raises EnvFileError."""
    values = dict(known or {})
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        line = line.lstrip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not key or any(character.isspace() for character in key):
            raise EnvFileError(f"line {number}: variable '{key}' contains whitespaces")
        inherited = value if equals else lookup(key)
        if inherited is not None:
            values[key] = inherited
    return values
