"""What every answer is checked for before it is passed on: that it is the kind of JSON the Engine API promises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Union

from dockpal_agent.engine.errors import EngineBroken

__all__ = ["Filters", "filter_text", "flag", "object_of", "objects_of", "text_of"]

Filters = Mapping[str, Union[str, list[str]]]


def filter_text(filters: Filters) -> str:
    """Filters as the Engine takes them in a query: a JSON object of lists of strings."""
    return json.dumps({name: [value] if isinstance(value, str) else value for name, value in filters.items()})


def flag(value: bool) -> str:
    """A boolean as the Engine takes it in a query."""
    return "true" if value else "false"


def object_of(value: Any) -> dict[str, Any]:
    """The answer as a JSON object. Raises EngineBroken when it is something else."""
    if not isinstance(value, dict):
        raise EngineBroken(f"the Docker daemon answered with a JSON {type(value).__name__} in the place of an object")
    return value


def objects_of(value: Any) -> list[dict[str, Any]]:
    """The answer as a list of JSON objects; Docker writes null for an empty one in places. Raises EngineBroken."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise EngineBroken(f"the Docker daemon answered with a JSON {type(value).__name__} in the place of a list")
    return [object_of(item) for item in value]


def text_of(value: Mapping[str, Any], name: str) -> str:
    """A text that must be there. Raises EngineBroken when it is not."""
    text = value.get(name)
    if not isinstance(text, str) or not text:
        raise EngineBroken(f"the Docker daemon's answer lacks {name}")
    return text
