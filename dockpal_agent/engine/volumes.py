"""Volumes of the Engine API (section Volume)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Optional

from dockpal_agent.engine.client import Engine, segment
from dockpal_agent.engine.shapes import Filters, filter_text, object_of, objects_of

__all__ = ["create", "inspect", "list_volumes", "remove"]

CREATE_LIMIT: Final = 60.0  # seconds: a volume driver may be slow


def list_volumes(engine: Engine, *, filters: Optional[Filters] = None) -> list[dict[str, Any]]:
    """The volumes. Engine API: GET /volumes."""
    query = {"filters": filter_text(filters)} if filters else None
    return objects_of(object_of(engine.get("/volumes", query).json()).get("Volumes"))


def inspect(engine: Engine, volume: str) -> dict[str, Any]:
    """All about one volume. Engine API: GET /volumes/{name}. Raises NotFound."""
    return object_of(engine.get(f"/volumes/{segment(volume)}").json())


def create(engine: Engine, body: Mapping[str, Any]) -> dict[str, Any]:
    """Create a volume, or return the one of that name. Engine API: POST /volumes/create.

    `body` holds Name, Driver, DriverOpts, Labels. Raises Conflict where a volume of the name has another driver.
    """
    return object_of(engine.post("/volumes/create", body=dict(body), ok=(201,), within=CREATE_LIMIT).json())


def remove(engine: Engine, volume: str, *, force: bool = False) -> None:
    """Delete a volume and what is in it. Engine API: DELETE /volumes/{name}. Raises Conflict while it is in use."""
    query = {"force": "true"} if force else None
    engine.delete(f"/volumes/{segment(volume)}", query, ok=(204,), within=CREATE_LIMIT)
