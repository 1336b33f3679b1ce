"""Containers of the Engine API (https://docs.docker.com/engine/api/, section Container).

`container` is an id, a unique prefix of one, or a name. Every call raises NotFound for an unknown one, EngineRefused
with the daemon's words, EngineUnavailable, EngineTimeout, EngineBroken. What is created or changed is given as Docker's
own JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Optional

from dockpal_agent.engine.answers import Stream
from dockpal_agent.engine.cancel import Cancel
from dockpal_agent.engine.client import Engine, segment
from dockpal_agent.engine.errors import EngineBroken
from dockpal_agent.engine.shapes import Filters, filter_text, flag, object_of, objects_of, text_of

__all__ = [
    "create",
    "inspect",
    "kill",
    "list_containers",
    "logs",
    "pause",
    "remove",
    "rename",
    "restart",
    "start",
    "stats_once",
    "stats_stream",
    "stop",
    "unpause",
    "update",
    "wait",
]

START_LIMIT: Final = 120.0  # seconds: a volume driver or a device may be slow
STOP_LIMIT: Final = 600.0  # seconds, where the container's own stop timeout, unknown to us, decides
MARGIN: Final = 30.0  # seconds on top of a stop timeout: SIGKILL, unmounting
REMOVE_LIMIT: Final = 120.0  # seconds: a large writable layer takes time to delete


def list_containers(
    engine: Engine,
    *,
    all: bool = False,  # Docker's word
    filters: Optional[Filters] = None,
    size: bool = False,
) -> list[dict[str, Any]]:
    """The running containers, or all; with `size` their disk use, which is slow. Engine API: GET /containers/json."""
    query = {}
    if all:
        query["all"] = "true"
    if size:
        query["size"] = "true"
    if filters:
        query["filters"] = filter_text(filters)
    return objects_of(engine.get("/containers/json", query).json())


def inspect(engine: Engine, container: str, *, size: bool = False) -> dict[str, Any]:
    """All about one container. Engine API: GET /containers/{id}/json."""
    return object_of(engine.get(f"/containers/{segment(container)}/json", {"size": "true"} if size else None).json())


def create(engine: Engine, name: Optional[str], body: Mapping[str, Any], platform: Optional[str] = None) -> str:
    """Create a container and return its id. Engine API: POST /containers/create.

    `body` is Docker's ContainerConfig with HostConfig and NetworkingConfig; without a name Docker gives one. Raises
    NotFound for an image that is not there, Conflict for a name in use.
    """
    query = {}
    if name:
        query["name"] = name
    if platform:
        query["platform"] = platform
    answer = object_of(engine.post("/containers/create", query, body=dict(body), ok=(201,), within=START_LIMIT).json())
    return text_of(answer, "Id")


def start(engine: Engine, container: str) -> bool:
    """Start a container; False if it ran already. Engine API: POST /containers/{id}/start."""
    return engine.post(f"/containers/{segment(container)}/start", ok=(204, 304), within=START_LIMIT).status == 204


def stop(engine: Engine, container: str, timeout: Optional[float] = None) -> bool:
    """Stop a container; False if it was stopped already. Engine API: POST /containers/{id}/stop.

    `timeout` is seconds until SIGKILL; None leaves the container's own.
    """
    path = f"/containers/{segment(container)}/stop"
    return engine.post(path, _timeout(timeout), ok=(204, 304), within=_limit(timeout)).status == 204


def restart(engine: Engine, container: str, timeout: Optional[float] = None) -> None:
    """Stop a container, as stop() does, and start it. Engine API: POST /containers/{id}/restart."""
    path = f"/containers/{segment(container)}/restart"
    engine.post(path, _timeout(timeout), ok=(204,), within=_limit(timeout) + START_LIMIT)


def _timeout(seconds: Optional[float]) -> dict[str, str]:
    """The daemon takes whole seconds only."""
    return {} if seconds is None else {"t": str(math.ceil(seconds))}


def _limit(timeout: Optional[float]) -> float:
    """How long a stop may take; a negative timeout is Docker's for never killing."""
    return STOP_LIMIT if timeout is None or timeout < 0 else timeout + MARGIN


def kill(engine: Engine, container: str, signal: Optional[str] = None) -> None:
    """Send a signal, SIGKILL unless named. Engine API: POST /containers/{id}/kill. Raises Conflict if stopped."""
    engine.post(f"/containers/{segment(container)}/kill", {"signal": signal} if signal else None, ok=(204,))


def pause(engine: Engine, container: str) -> None:
    """Freeze all processes. Engine API: POST /containers/{id}/pause."""
    engine.post(f"/containers/{segment(container)}/pause", ok=(204,))


def unpause(engine: Engine, container: str) -> None:
    """Thaw them. Engine API: POST /containers/{id}/unpause."""
    engine.post(f"/containers/{segment(container)}/unpause", ok=(204,))


def wait(
    engine: Engine,
    container: str,
    *,
    within: float,
    condition: Optional[str] = None,
    cancel: Optional[Cancel] = None,
) -> int:
    """The exit code, once `condition` holds: not-running (the default), next-exit or removed.

    Engine API: POST /containers/{id}/wait. Raises EngineTimeout after `within` seconds, EngineCancelled.
    """
    query = {"condition": condition} if condition else None
    path = f"/containers/{segment(container)}/wait"
    answer = object_of(engine.post(path, query, ok=(200,), within=within, cancel=cancel).json())
    code = answer.get("StatusCode")
    if not isinstance(code, int):
        raise EngineBroken("the Docker daemon's answer lacks StatusCode")
    return code


def rename(engine: Engine, container: str, name: str) -> None:
    """Give a container another name. Engine API: POST /containers/{id}/rename. Raises Conflict for a name in use."""
    engine.post(f"/containers/{segment(container)}/rename", {"name": name}, ok=(204,))


def update(engine: Engine, container: str, body: Mapping[str, Any]) -> list[str]:
    """Change limits or the restart policy in place; Docker's warnings. Engine API: POST /containers/{id}/update.

    `body` holds the keys of HostConfig that are to change (Memory, CpuShares, RestartPolicy, …).
    """
    answer = object_of(engine.post(f"/containers/{segment(container)}/update", body=dict(body), ok=(200,)).json())
    return [str(warning) for warning in answer.get("Warnings") or []]


def remove(engine: Engine, container: str, *, force: bool = False, volumes: bool = False) -> None:
    """Delete a container, with `force` also a running one, with `volumes` its anonymous volumes too.

    Engine API: DELETE /containers/{id}. Raises Conflict for a running one, and for one whose removal is under way.
    """
    query = {}
    if force:
        query["force"] = "true"
    if volumes:
        query["v"] = "true"
    engine.delete(f"/containers/{segment(container)}", query, ok=(204,), within=REMOVE_LIMIT)


def logs(
    engine: Engine,
    container: str,
    *,
    follow: bool = False,
    stdout: bool = True,
    stderr: bool = True,
    tail: Optional[int] = None,
    since: Optional[str] = None,
    until: Optional[str] = None,
    timestamps: bool = False,
    idle: Optional[float] = None,
    cancel: Optional[Cancel] = None,
) -> Stream:
    """The log as a stream: raw where the container has a TTY, else frames (see frames.py). `tail` is lines, None all.

    `since` and `until` are Unix times with up to nine decimals. Engine API: GET /containers/{id}/logs.
    """
    query = {
        "follow": flag(follow),
        "stdout": flag(stdout),
        "stderr": flag(stderr),
        "timestamps": flag(timestamps),
        "tail": "all" if tail is None else str(tail),
    }
    if since is not None:
        query["since"] = since
    if until is not None:
        query["until"] = until
    path = f"/containers/{segment(container)}/logs"
    return engine.stream("GET", path, query, ok=(200,), idle=idle, cancel=cancel)


def stats_once(engine: Engine, container: str, *, within: float = 20.0) -> dict[str, Any]:
    """One sample, without the CPU figures of a sample before (`precpu_stats` is empty), from 28 on without id and name.

    Engine API: GET /containers/{id}/stats?stream=false&one-shot=true, from 1.41 on. It may wait for the daemon's next
    tick, up to a second.
    """
    query = {"stream": "false", "one-shot": "true"}
    return object_of(engine.get(f"/containers/{segment(container)}/stats", query, ok=(200,), within=within).json())


def stats_stream(
    engine: Engine, container: str, *, idle: Optional[float] = None, cancel: Optional[Cancel] = None
) -> Stream:
    """A sample a second; read it by json_lines(). Engine API: GET /containers/{id}/stats."""
    path = f"/containers/{segment(container)}/stats"
    return engine.stream("GET", path, {"stream": "true"}, ok=(200,), idle=idle, cancel=cancel)
