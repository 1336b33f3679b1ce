"""Names of projects and of what belongs to them.

Compose Specification, Name top-level element; docker compose's `<project>_<key>` and `<project>-<service>-<number>`.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["container_name", "is_project_name", "normalise_project_name", "resource_name"]

_KEPT: Final = re.compile(r"[a-z0-9_-]")


def normalise_project_name(name: str) -> str:
    """A name as Compose allows it: lower case, other characters dropped, a letter or digit first; perhaps empty."""
    return "".join(_KEPT.findall(name.lower())).lstrip("_-")


def is_project_name(name: str) -> bool:
    """Whether Compose takes this name as it is."""
    return bool(name) and normalise_project_name(name) == name


def resource_name(project: str, key: str) -> str:
    """The Docker name of a network or volume that has no `name:`."""
    return f"{project}_{key}"


def container_name(project: str, service: str, number: int) -> str:
    """The Docker name of a service's container without `container_name:`; numbers begin at 1."""
    return f"{project}-{service}-{number}"
