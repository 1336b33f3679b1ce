"""Stands for email.message in agent.pyz: http.client makes its HTTPMessage from the class, and asks it for fields.

The real one brings MIME, charsets, addresses and calendars, 0.7 MB of memory that stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

__all__ = ["Message"]


class Message:
    """The fields of an HTTP head in their order, found without regard to case."""

    def __init__(self, policy: object = None) -> None:
        self._fields: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return self.get(str(name)) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __getitem__(self, name: str) -> Optional[str]:
        """The first field of this name; None where there is none, as in the real one."""
        found: Optional[str] = self.get(name)
        return found

    def __setitem__(self, name: str, value: str) -> None:
        """Adds a field; none is replaced."""
        self._fields.append((name, value))

    def get(self, name: str, failobj: Any = None) -> Any:
        """The first field of this name, else `failobj`."""
        name = name.lower()
        return next((value for field, value in self._fields if field.lower() == name), failobj)

    def get_all(self, name: str, failobj: Any = None) -> Any:
        """A list of all fields of this name, else `failobj`."""
        name = name.lower()
        return [value for field, value in self._fields if field.lower() == name] or failobj

    def keys(self) -> list[str]:
        """The names as they came, with repetitions."""
        return [name for name, _ in self._fields]

    def values(self) -> list[str]:
        """The values in the same order."""
        return [value for _, value in self._fields]

    def items(self) -> list[tuple[str, str]]:
        """Names and values."""
        return list(self._fields)
