"""What can be wrong with a Compose file, and with reading it.

ComposeError            root; str() is what the user sees
├─ ComposeTooLarge      past a cap on size, counts or nesting; nothing of the file was looked at beyond that
├─ ComposeInvalid       the file is wrong; `.problems` are all that were found, in Compose's own words
├─ ComposeUneditable    a label cannot be set or removed in the file's text without changing more of it
├─ ComposeUnsupported   the file is right, but asks for what the agent does not do; `.problems` name it
└─ ComposeUnread        the reading itself failed: the child died, or took too long; `.busy` when none was free
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Optional

from dockpal_agent.compose.tree import Path, path_text

__all__ = [
    "ComposeError",
    "ComposeInvalid",
    "ComposeTooLarge",
    "ComposeUneditable",
    "ComposeUnread",
    "ComposeUnsupported",
    "Findings",
    "Problem",
]

MOST_SHOWN: Final = 50  # problems in one message; the rest is counted
LONGEST_SHOWN: Final = 2000  # characters of one of them


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: Compose's words, the attribute's path, and the line where it stands."""

    message: str
    path: Path = ()
    file: str = ""
    line: Optional[int] = None

    def __str__(self) -> str:
        place = [] if not self.path or self._names_its_place() else [path_text(self.path)]
        if self.line is not None and f"line {self.line}:" not in self.message:
            place.append(f"line {self.line}")
        return f"{self.message} ({', '.join(place)})" if place else self.message

    def _names_its_place(self) -> bool:
        """Whether the message says already which service or resource it is about."""
        named = self.path[1] if len(self.path) > 1 else self.path[0]
        return path_text(self.path) in self.message or str(named) in self.message


class ComposeError(Exception):
    """Root of all; the message is for the user."""


class ComposeTooLarge(ComposeError):
    """A cap on size, number of services or nesting is passed."""


class ComposeUneditable(ComposeError):
    """A label cannot be switched by an edit of the text; it says what to do instead."""


class ComposeInvalid(ComposeError):
    """The file is wrong. `heading` is Compose's first line above such problems, or empty."""

    def __init__(self, problems: Sequence[Problem], heading: str = "") -> None:
        self.problems: Final = tuple(problems)
        self.heading: Final = heading
        lines = [_shown(problem) for problem in self.problems[:MOST_SHOWN]]
        if len(self.problems) > MOST_SHOWN:
            lines.append(f"and {len(self.problems) - MOST_SHOWN} more")
        super().__init__("\n".join([heading, *lines] if heading else lines))


def _shown(problem: Problem) -> str:
    """Its text, its middle left out where the file's own words in it are endless."""
    text, half = str(problem), LONGEST_SHOWN // 2
    return text if len(text) <= LONGEST_SHOWN else f"{text[:half]} … {text[-half:]}"


class ComposeUnsupported(ComposeError):
    """The file asks for what the agent does not do."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems: Final = tuple(problems)


class ComposeUnread(ComposeError):
    """The file could not be read: not its fault, or it took more time or memory than one file may."""

    def __init__(self, message: str, *, busy: bool = False) -> None:
        super().__init__(message)
        self.busy: Final = busy


class Findings:
    """Collects what the stages find, so that all problems of a stage are reported at once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self._noted: set[Problem] = set()
        self._warned: set[str] = set()

    def problem(self, message: str, path: Path = (), *, file: str = "", line: Optional[int] = None) -> None:
        """Note a problem, once; raise_if_any() reports it."""
        problem = Problem(message, path, file, line)
        if problem not in self._noted:
            self._noted.add(problem)
            self.problems.append(problem)

    def warn(self, message: str) -> None:
        """Note a warning, once."""
        if message not in self._warned:
            self._warned.add(message)
            self.warnings.append(message)

    def raise_if_any(self, heading: str = "") -> None:
        """Raise ComposeInvalid with all problems noted so far."""
        if self.problems:
            raise ComposeInvalid(self.problems, heading)
