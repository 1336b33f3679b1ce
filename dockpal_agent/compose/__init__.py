"""Compose projects: read a file, know what it asks for, make Docker hold it.

Reading is pure and happens in a child (child.py → load.py); what comes back is a `Project`. This room knows the engine,
not the API; nothing outside of it reads YAML of a Compose file.
"""

from __future__ import annotations

from dockpal_agent.compose.child import read_project
from dockpal_agent.compose.errors import (
    ComposeError,
    ComposeInvalid,
    ComposeTooLarge,
    ComposeUnread,
    ComposeUnsupported,
    Problem,
)
from dockpal_agent.compose.names import normalise_project_name
from dockpal_agent.compose.project import Dependency, Entry, Project, ReadRequest, TextFile
from dockpal_agent.compose.unsupported import unsupported

__all__ = [
    "ComposeError",
    "ComposeInvalid",
    "ComposeTooLarge",
    "ComposeUnread",
    "ComposeUnsupported",
    "Dependency",
    "Entry",
    "Problem",
    "Project",
    "ReadRequest",
    "TextFile",
    "normalise_project_name",
    "read_project",
    "unsupported",
]
