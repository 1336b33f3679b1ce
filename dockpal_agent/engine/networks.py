"""Networks of the Engine API (section Network). `network` is an id or a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Optional

from dockpal_agent.engine.client import Engine, segment
from dockpal_agent.engine.shapes import Filters, filter_text, object_of, objects_of, text_of

__all__ = ["connect", "create", "disconnect", "inspect", "list_networks", "remove"]

CREATE_LIMIT: Final = 60.0  # seconds: a network driver may be slow


def list_networks(engine: Engine, *, filters: Optional[Filters] = None) -> list[dict[str, Any]]:
    """The networks, without their containers. Engine API: GET /networks."""
    query = {"filters": filter_text(filters)} if filters else None
    return objects_of(engine.get("/networks", query).json())


def inspect(engine: Engine, network: str) -> dict[str, Any]:
    """All about one network. Engine API: GET /networks/{id}. Raises NotFound, BadParameter for an ambiguous name."""
    return object_of(engine.get(f"/networks/{segment(network)}").json())


def create(engine: Engine, body: Mapping[str, Any]) -> str:
    """Create a network and return its id. Engine API: POST /networks/create.

    `body` needs Name. Before 1.44 the daemon allows two networks of one name unless CheckDuplicate is set; later ones
    never do. Raises Conflict for a name in use.
    """
    value = dict(body)
    if not engine.supports(1, 44):
        value["CheckDuplicate"] = True
    return text_of(object_of(engine.post("/networks/create", body=value, ok=(201,), within=CREATE_LIMIT).json()), "Id")


def remove(engine: Engine, network: str) -> None:
    """Delete a network. Engine API: DELETE /networks/{id}. Raises Denied or Conflict while it is in use, NotFound."""
    engine.delete(f"/networks/{segment(network)}", ok=(204,))


def connect(engine: Engine, network: str, container: str, endpoint_config: Optional[Mapping[str, Any]] = None) -> None:
    """Attach a container, with Docker's EndpointSettings (aliases, …). Engine API: POST /networks/{id}/connect."""
    body: dict[str, Any] = {"Container": container}
    if endpoint_config is not None:
        body["EndpointConfig"] = dict(endpoint_config)
    engine.post(f"/networks/{segment(network)}/connect", body=body, ok=(200,), within=CREATE_LIMIT)


def disconnect(engine: Engine, network: str, container: str, *, force: bool = False) -> None:
    """Detach a container. Engine API: POST /networks/{id}/disconnect."""
    body = {"Container": container, "Force": force}
    engine.post(f"/networks/{segment(network)}/disconnect", body=body, ok=(200,), within=CREATE_LIMIT)
