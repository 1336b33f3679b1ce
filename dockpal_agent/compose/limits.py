"""The caps on a Compose file (design rule 9) and the check that runs before the parser sees it."""

from __future__ import annotations

from typing import Final

from dockpal_agent.compose.errors import ComposeInvalid, ComposeTooLarge, Problem

__all__ = [
    "LARGEST_FILE",
    "LARGEST_MODEL",
    "MOST_ALIASED_NODES",
    "MOST_ALIASED_TEXT",
    "MOST_CONTAINERS",
    "MOST_LEVELS",
    "MOST_SERVICES",
    "READING_SECONDS",
    "check_size",
    "check_text",
]

LARGEST_FILE: Final = 512 * 1024  # bytes of one file, and of all files of a project together
LARGEST_MODEL: Final = 16 * 1024 * 1024  # bytes of the model as JSON; only aliases or variables can make it so large
MOST_SERVICES: Final = 1000  # keys below `services`, or any other top-level key
MOST_CONTAINERS: Final = 1000  # of a project, all replicas together
MOST_LEVELS: Final = 100  # of nesting, aliases put in
MOST_ALIASED_NODES: Final = 100_000  # nodes that aliases repeat, as in compose-go
MOST_ALIASED_TEXT: Final = 4 * 1024 * 1024  # characters that aliases repeat
READING_SECONDS: Final = 10  # of processor time


def check_size(size: int, file: str) -> None:
    """Raises ComposeTooLarge for a file of more bytes than one may have."""
    if size > LARGEST_FILE:
        raise ComposeTooLarge(f"{file}: {size} bytes are too many: a Compose file may have {LARGEST_FILE}")


def check_text(text: str, file: str) -> None:
    """Size and NULs, before anything else is done with a text. Raises ComposeTooLarge, ComposeInvalid."""
    check_size(len(text), file)
    check_size(len(text.encode("utf-8", "surrogatepass")), file)
    nul = text.find("\0")
    if nul >= 0:
        line = text.count("\n", 0, nul) + 1
        raise ComposeInvalid(
            [Problem(f"failed to parse {file}: yaml: line {line}: control characters are not allowed: NUL", file=file)]
        )
