"""Images of the Engine API (sections Image and Distribution).

`reference` is repository:tag or repository@digest; `image` that, or an id. `auth` is an X-Registry-Auth value, ready
made; it goes into a header of this one call and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Optional

from dockpal_agent.engine.cancel import Cancel
from dockpal_agent.engine.client import Engine, segment
from dockpal_agent.engine.errors import refusal
from dockpal_agent.engine.shapes import Filters, filter_text, flag, object_of, objects_of

__all__ = [
    "distribution_inspect",
    "inspect",
    "list_images",
    "prune",
    "pull",
    "remove",
    "split_reference",
    "tag",
]

PULL_HEADER_LIMIT: Final = 120.0  # seconds: the daemon asks the registry before it answers
PULL_IDLE_LIMIT: Final = 600.0  # seconds without progress: a huge layer is unpacked in silence
DISTRIBUTION_LIMIT: Final = 60.0  # seconds for the registry to answer
REMOVE_LIMIT: Final = 120.0  # seconds
PRUNE_LIMIT: Final = 600.0  # seconds


def list_images(engine: Engine, *, all: bool = False, filters: Optional[Filters] = None) -> list[dict[str, Any]]:
    """The images, with `all` the intermediate ones too. Engine API: GET /images/json."""
    query = {}
    if all:
        query["all"] = "true"
    if filters:
        query["filters"] = filter_text(filters)
    return objects_of(engine.get("/images/json", query).json())


def inspect(engine: Engine, image: str) -> dict[str, Any]:
    """All about one image. Engine API: GET /images/{name}/json. Raises NotFound."""
    return object_of(engine.get(f"/images/{segment(image)}/json").json())


def pull(
    engine: Engine,
    reference: str,
    *,
    auth: Optional[str] = None,
    platform: Optional[str] = None,
    idle: float = PULL_IDLE_LIMIT,
    cancel: Optional[Cancel] = None,
) -> Iterator[dict[str, Any]]:
    """Pull an image; its progress objects as they come. Engine API: POST /images/create.

    Nothing happens before the first item is asked for, and the pull is complete when the iterator ends; closing it
    earlier ends the pull. A reference without tag or digest is :latest (the daemon would pull all tags). Raises what
    the daemon answered, be it by its status or, as an EngineRefused too, within the stream of a 200.
    """
    name, version = split_reference(reference)
    query = {"fromImage": name, "tag": version or "latest"}
    if platform:
        query["platform"] = platform
    with engine.stream(
        "POST",
        "/images/create",
        query,
        headers=_auth(auth),
        ok=(200,),
        within=PULL_HEADER_LIMIT,
        idle=idle,
        cancel=cancel,
    ) as stream:
        for progress in stream.json_lines():
            _raise_error(progress)
            yield progress


def _raise_error(progress: Mapping[str, Any]) -> None:
    """Raise what a progress object reports as the end of its work: `error`, and `errorDetail` with code and message."""
    detail = progress.get("errorDetail")
    detail = detail if isinstance(detail, dict) else {}
    message = detail.get("message") or progress.get("error")
    if not message:
        return
    code = detail.get("code")
    raise refusal(code if isinstance(code, int) and 400 <= code < 600 else 500, str(message))


def split_reference(reference: str) -> tuple[str, str]:
    """(repository, tag or digest, "" where there is none). A registry's port is no tag: `host:5000/app`."""
    name, at, digest = reference.partition("@")
    if at:
        return _without_tag(name), digest
    bare = _without_tag(name)
    return bare, name[len(bare) + 1 :]


def _without_tag(name: str) -> str:
    colon = name.rfind(":")
    return name[:colon] if colon > name.rfind("/") else name


def tag(engine: Engine, image: str, repository: str, tag: str) -> None:
    """Give an image one more reference. Engine API: POST /images/{name}/tag."""
    engine.post(f"/images/{segment(image)}/tag", {"repo": repository, "tag": tag}, ok=(201,))


def remove(engine: Engine, image: str, *, force: bool = False, keep_parents: bool = False) -> list[dict[str, Any]]:
    """Remove a reference, and the image with its last one; what was done. Engine API: DELETE /images/{name}.

    Raises Conflict while a container uses it, NotFound.
    """
    query = {"force": flag(force), "noprune": flag(keep_parents)}
    return objects_of(engine.delete(f"/images/{segment(image)}", query, ok=(200,), within=REMOVE_LIMIT).json())


def prune(engine: Engine, filters: Optional[Filters] = None) -> dict[str, Any]:
    """Remove dangling images, with filter dangling=false all unused ones. Engine API: POST /images/prune."""
    query = {"filters": filter_text(filters)} if filters else None
    return object_of(engine.post("/images/prune", query, ok=(200,), within=PRUNE_LIMIT).json())


def distribution_inspect(
    engine: Engine,
    reference: str,
    auth: Optional[str] = None,
    *,
    within: float = DISTRIBUTION_LIMIT,
    cancel: Optional[Cancel] = None,
) -> dict[str, Any]:
    """Descriptor (with the digest) and platforms as the registry has them. Engine API: GET /distribution/{name}/json.

    Raises what the registry said: Denied, NotFound, DaemonFailed.
    """
    path = f"/distribution/{segment(reference)}/json"
    answer = engine.get(path, headers=_auth(auth), ok=(200,), within=within, cancel=cancel)
    return object_of(answer.json())


def _auth(auth: Optional[str]) -> dict[str, str]:
    return {"X-Registry-Auth": auth} if auth else {}
