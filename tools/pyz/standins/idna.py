"""Stands for idna in agent.pyz: requests and urllib3 import it and ask it about host names that are not ASCII.

The agent uses them on the Engine's socket only, where there is no such name. The real one's tables of Unicode would be
0.3 MB of the file.
"""

from __future__ import annotations

__all__ = ["IDNAError", "encode"]


class IDNAError(UnicodeError):
    """A host name that is not ASCII."""


def encode(name: str, *arguments: object, **options: object) -> bytes:
    """The name as bytes. Raises IDNAError when it is not ASCII."""
    try:
        return name.encode("ascii")
    except UnicodeEncodeError as error:
        raise IDNAError(f"{name!r} is not an ASCII host name") from error
