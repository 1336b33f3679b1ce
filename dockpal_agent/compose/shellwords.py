"""A command written as one string, split as Compose splits it. Never through a shell.

mattn/go-shellwords, without variables and backticks: the splitting ends at an unquoted `;`, `&`, `|`, `<` or `>`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["Words", "split_words"]

_BLANK: Final = " \t\r\n"
_ENDING: Final = ";&|<>"


class Words(NamedTuple):
    """The words, and whether something that a shell would have run or opened was left off."""

    words: list[str]
    cut: bool


def split_words(line: str) -> Words:
    """Raises ValueError for unbalanced quotes and stray parentheses."""
    splitter = _Splitter()
    for character in line:
        if not splitter.take(character):
            break
    return splitter.result()


class _Splitter:
    """`_inside` is the quote that is open: a quote sign, a backtick, or `(` for `$(`; empty for none."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._word = ""
        self._begun = False
        self._escaped = False
        self._single = self._double = self._back = self._dollar = False
        self._cut = False

    def _quoted(self) -> bool:
        return self._single or self._double or self._back or self._dollar

    def take(self, character: str) -> bool:
        """One character; False where the splitting ends."""
        if self._escaped:
            self._escaped = False
            self._add(character)
        elif character == "\\" and not self._single:
            self._escaped = True
        elif character == "\\":
            self._word += character
        elif character in _BLANK:
            self._blank(character)
        elif character in "\"'" and self._toggles(character):
            pass
        elif character in _ENDING and not self._quoted():
            self._begun = self._begun and not (character == ">" and self._word[:1].isdigit())
            self._cut = True
            return False
        else:
            self._special(character)
            self._add(character)
        return True

    def _add(self, character: str) -> None:
        self._word += character
        self._begun = True

    def _blank(self, character: str) -> None:
        if self._quoted():
            self._word += character
        elif self._begun:
            self._words.append(self._word)
            self._word, self._begun = "", False

    def _toggles(self, character: str) -> bool:
        """A quote that opens or closes; False where it is a letter like any other."""
        if character == '"' and not self._single and not self._dollar:
            self._begun = self._begun or self._double
            self._double = not self._double
            return True
        if character == "'" and not self._double and not self._dollar:
            self._begun = self._begun or self._single
            self._single = not self._single
            return True
        return False

    def _special(self, character: str) -> None:
        """Backticks and `$( )` are kept as they stand, but must balance."""
        if character == "`" and not (self._single or self._double or self._dollar):
            self._back = not self._back
        elif character == ")" and not (self._single or self._double or self._back):
            self._dollar = not self._dollar
        elif character == "(" and not (self._single or self._double or self._back):
            if self._dollar or not self._word.endswith("$"):
                raise ValueError("invalid command line string")
            self._dollar = True

    def result(self) -> Words:
        """All words so far; raises ValueError when a quote is still open."""
        if self._escaped or self._quoted():
            raise ValueError("invalid command line string")
        return Words([*self._words, self._word] if self._begun else self._words, self._cut)
