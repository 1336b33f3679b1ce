"""The reading of one text, as most tests here want it."""

from __future__ import annotations

from typing import Optional

from dockpal_agent.compose.load import load
from dockpal_agent.compose.project import Project, ReadRequest, TextFile

__all__ = ["FOLDER", "read", "request"]

FOLDER = "/srv/app"


def request(text: str, variables: Optional[dict[str, str]] = None, **others: str) -> ReadRequest:
    """A project of one file; `others` are files beside it by name, dots as underscores."""
    texts = {f"{FOLDER}/{name.replace('_', '.')}": content for name, content in others.items()}
    return ReadRequest(
        (TextFile(f"{FOLDER}/compose.yml", text),), FOLDER, "app", variables=variables or {}, texts=texts
    )


def read(text: str, variables: Optional[dict[str, str]] = None, **others: str) -> Project:
    """The project of one file."""
    return load(request(text, variables, **others))
