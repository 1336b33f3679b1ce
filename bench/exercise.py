"""Every call of the agent once, those that watch included: what an agent keeps in memory of them shows afterwards."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, Union

from bench.agents import TOKEN, Client

__all__ = ["CALLS_LEFT_OUT", "exercise"]

IMAGE: Final = "dockpal-test/busybox:latest"
NOBODY: Final = "127.0.0.1:1/nobody/listens"  # an image of a registry that refuses at once
COMPOSE: Final = f"""\
services:
  web: {{image: "{IMAGE}", command: ["sleep", "1000"], stop_grace_period: 0s}}
"""
MULTIPART: Final = (
    '--cut\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    '--cut\r\nContent-Disposition: form-data; name="path"\r\n\r\n/tmp/sent\r\n'
    '--cut\r\nContent-Disposition: form-data; name="file"; filename="sent"\r\n\r\ntext\r\n--cut--\r\n'
)
CALLS_LEFT_OUT: Final = frozenset({("POST", "/docker/images/prune")})  # it would take what is not ours
UPDATE_LIMIT: Final = 60.0  # seconds for an update that finds nothing newer


class _Call(NamedTuple):
    """One call; `status` is what it should answer. Paths have no `/agent` in front."""

    method: str
    path: str
    body: Union[dict[str, Any], bytes, None] = None
    status: int = 200
    content_type: str = ""


def exercise(port: int, container: str, project: str) -> list[str]:
    """Use every call, on `container` and on a `project` that is deployed for it and removed; what went otherwise."""
    deploy = {"name": project, "compose_yaml": COMPOSE}
    deploys = [_Call("POST", f"/docker/deploy/{kind}", deploy) for kind in ("plan", "compose")]
    wrong = _made(port, [*_host(), *_container(container), *_files(container), *_images(project), *deploys])
    with contextlib.closing(Client(port)) as client:
        deploy_id = json.loads(client.call("POST", "/agent/docker/deploy/stream", deploy)[1])["deploy_id"]
    streams = [f"/docker/containers/{container}/{kind}" for kind in ("logs", "stats/ws")]
    for path in [*streams, f"/docker/deploy/stream/{deploy_id}", "/docker/apps/updates/stream"]:
        _look_at(port, path)
    return [*wrong, *_made(port, _app(project)), *_update(port, project), *_made(port, _end(project))]


def _host() -> Iterator[_Call]:
    for path in ("/ping", "/host/info", "/host/stats", "/host-info", "/docker/containers?all=true"):
        yield _Call("GET", path)
    yield _Call("POST", "/enroll")


def _container(container: str) -> Iterator[_Call]:
    at = f"/docker/containers/{container}"
    yield _Call("GET", at)
    yield _Call("GET", f"{at}/stats")
    yield _Call("POST", f"{at}/restart?timeout=0")


def _files(container: str) -> Iterator[_Call]:
    form = MULTIPART.format("container", container).encode()
    where = f"container={container}&path=/tmp"
    yield _Call("POST", "/docker/files/write", {"container": container, "path": "/tmp/written", "content": "text"})
    yield _Call("POST", f"/docker/containers/{container}/files/write", {"path": "/tmp/written", "content": "text"})
    yield _Call("POST", "/docker/files/upload", form, content_type="multipart/form-data; boundary=cut")
    yield _Call("GET", f"/docker/files?{where}")
    yield _Call("GET", f"/docker/files/read?{where}/written")
    yield _Call("GET", f"/docker/files/download?{where}/sent")
    yield _Call("DELETE", f"/docker/files?{where}/sent")


def _images(project: str) -> Iterator[_Call]:
    yield _Call("GET", "/docker/images")
    yield _Call("GET", f"/docker/images/check?image={IMAGE}")
    yield _Call("POST", f"/docker/images/pull?image={NOBODY}", status=502)
    yield _Call("POST", f"/docker/images/pull-force?image={NOBODY}", status=502)
    yield _Call("DELETE", f"/docker/images/{project}:none", status=404)


def _app(project: str) -> Iterator[_Call]:
    web = f"/docker/containers/{project}-web-1"
    yield _Call("PUT", web, {"restart_policy": "unless-stopped"})
    yield _Call("PUT", web, {"env": ["A=1"]})
    yield _Call("POST", f"{web}-gone/update-image", status=404)  # of the real one it is a pull, and an edit as above
    yield _Call("POST", f"{web}/stop?timeout=0")
    yield _Call("POST", f"{web}/start")
    yield _Call("GET", "/docker/apps")
    yield _Call("PATCH", f"/docker/apps/{project}/auto-update", {"enabled": True})
    yield _Call("PATCH", f"/docker/apps/{project}/auto-update", {"enabled": False})
    yield _Call("GET", f"/docker/apps/{project}/updates")


def _update(port: int, project: str) -> list[str]:
    """An update by hand that finds nothing newer."""
    with contextlib.closing(Client(port)) as client:
        status, answer = client.call("POST", f"/agent/docker/apps/{project}/update", {"app": project})
        if status != 202:
            return [f"POST update: {status} {answer[:120]!r}"]
        attempt = f"/agent/docker/apps/updates/{json.loads(answer)['attempt_id']}"
        end = time.monotonic() + UPDATE_LIMIT
        while json.loads(client.call("GET", attempt)[1])["stage"] != "completed":
            if time.monotonic() > end:
                return [f"GET {attempt}: not completed"]
            time.sleep(0.1)
    return []


def _end(project: str) -> Iterator[_Call]:
    yield _Call("POST", "/docker/compose/stop", {"name": project})
    yield _Call("DELETE", f"/docker/containers/{project}-web-1?force=true")
    yield _Call("POST", "/docker/compose/remove", {"name": project})


def _made(port: int, calls: Iterable[_Call]) -> list[str]:
    """Make the calls on one connection; those whose answer has another status."""
    wrong = []
    with contextlib.closing(Client(port)) as client:
        for call in calls:
            status, answer = client.call(call.method, f"/agent{call.path}", call.body, call.content_type)
            if status != call.status:
                wrong.append(f"{call.method} {call.path}: {status} {answer[:200]!r}")
    return wrong


def _look_at(port: int, path: str) -> None:
    """Open a stream, wait a little for a message, and leave."""
    import websocket

    viewer = websocket.create_connection(
        f"wss://127.0.0.1:{port}/agent{path}?token={TOKEN}",
        sslopt={"cert_reqs": 0, "check_hostname": False},
        timeout=5,
    )
    try:
        with contextlib.suppress(websocket.WebSocketTimeoutException):  # a quiet log, a feed without updates
            viewer.recv()
    finally:
        viewer.close(timeout=1)
