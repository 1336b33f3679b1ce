"""Files of containers: list, read, write, upload, download, delete."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final, Optional
from urllib.parse import quote

from dockpal_agent.api import multipart
from dockpal_agent.api.agent import Agent
from dockpal_agent.api.errors import BadRequest, NotAvailable
from dockpal_agent.api.filebody import decode_base64, read_fields
from dockpal_agent.api.messages import ByteStream, Json, Request, Response
from dockpal_agent.api.router import Route
from dockpal_agent.files.deletion import delete
from dockpal_agent.files.errors import TooLarge
from dockpal_agent.files.listing import list_directory
from dockpal_agent.files.reading import open_file, read_text
from dockpal_agent.files.spool import Spool, directory_for
from dockpal_agent.files.writing import write

__all__ = ["ROUTES", "disposition"]

ENVELOPE: Final = 64 << 10  # bytes around the content: field names, container, path
AT_ONCE: Final = 8  # bodies that are received and written at a time: each may take its limit twice on the agent's disk
PLACE_LIMIT: Final = 10.0  # seconds that one more waits
ESCAPED: Final = 6  # bytes of JSON that one byte of content takes at the most (\u0000)

_PLACES: Final = threading.BoundedSemaphore(AT_ONCE)
_CONTAINER: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", re.ASCII)
_PLAIN: Final = re.compile(r"[A-Za-z0-9 !#$&'()+,\-.;=@\[\]^_`{}~]+", re.ASCII)


def list_files(agent: Agent, request: Request) -> Response:
    """GET /docker/files?container=&path= (default /) -> [{"name", "size": "<bytes>", "is_dir", …}]."""
    entries = list_directory(agent.engine, _container(request.query), request.query.get("path") or "/")
    return Json([entry.as_json() for entry in entries])


def read(agent: Agent, request: Request) -> Response:
    """GET /docker/files/read?container=&path= -> {"content", "encoding": "utf-8"|"base64", "binary", "size"}."""
    return Json(read_text(agent.engine, _container(request.query), _path(request.query)))


def download(agent: Agent, request: Request) -> Response:
    """GET /docker/files/download?container=&path= -> the bytes, as an attachment named like the file."""
    path = _path(request.query)
    file = open_file(agent.engine, _container(request.query), path)
    headers = {
        "Content-Disposition": disposition(path.rstrip("/").rpartition("/")[2]),
        "X-Content-Type-Options": "nosniff",
    }
    return ByteStream(file.chunks, length=file.size, headers=headers, close=file.close)


def write_file(agent: Agent, request: Request) -> Response:
    """POST /docker/files/write {"container", "path", "content", "encoding"?: "base64"} -> {"status": "written"}."""
    return _written(agent, request)


def write_container_file(agent: Agent, request: Request) -> Response:
    """POST /docker/containers/:id/files/write {"path", "content", "encoding"?} -> {"status": "written"}."""
    return _written(agent, request, container=request.path["id"])


def upload(agent: Agent, request: Request) -> Response:
    """POST /docker/files/upload, multipart: file, container, path, in any order -> {"status": "uploaded"}.

    `path` is the full target path, or a directory (it ends in a slash, or is one), which gets the file by its own name.
    """
    limit = agent.config.upload_limit
    if request.body.length is not None and request.body.length > limit + ENVELOPE:
        raise _too_large(limit)
    fields: dict[str, str] = {name: request.query[name] for name in ("container", "path") if name in request.query}
    filename: Optional[str] = None
    with _place(), Spool(directory_for(agent.config.data_dir)) as spool:
        for part in multipart.parts(request.body):
            if part.name == "file" and filename is None:
                filename = part.filename or ""
                _receive(part, spool, limit)
            elif part.name in ("container", "path"):
                fields[part.name] = part.text()
        if filename is None:
            raise BadRequest(f"file is required (max {_megabytes(limit)})")
        _put(agent, _container(fields), _path(fields), spool, filename or None)
    return Json({"status": "uploaded"})


def remove(agent: Agent, request: Request) -> Response:
    """DELETE /docker/files?container=&path= -> {"status": "deleted"}; directories with all that is in them."""
    delete(agent.engine, _container(request.query), _path(request.query))
    return Json({"status": "deleted"})


def disposition(filename: str) -> str:
    """`attachment` with the file's name, which may hold anything (RFC 6266, RFC 8187).

    A name of harmless characters stands as it is; another one gets a readable stand-in for old clients beside the exact
    form. Nothing in it can end the quotes or the header's line.
    """
    plain = "".join(character if _PLAIN.fullmatch(character) else "_" for character in filename) or "download"
    value = f'attachment; filename="{plain}"'
    if plain == filename:
        return value
    exact = quote(filename.encode("utf-8", "surrogateescape"), safe="!#$&+-.^_`|~")
    return f"{value}; filename*=UTF-8''{exact}"


@contextlib.contextmanager
def _place() -> Iterator[None]:
    """One of the places for bodies. Raises NotAvailable when none comes free."""
    if not _PLACES.acquire(timeout=PLACE_LIMIT):
        raise NotAvailable(f"{AT_ONCE} files are being written already", headers={"Retry-After": "10"})
    try:
        yield
    finally:
        _PLACES.release()


def _receive(part: multipart.Part, spool: Spool, limit: int) -> None:
    for chunk in part.chunks:
        if spool.size + len(chunk) > limit:
            raise _too_large(limit)
        spool.write(chunk)


def _written(agent: Agent, request: Request, container: Optional[str] = None) -> Response:
    """Write what the body holds. An absent content is refused: to empty a file must be said."""
    limit, directory = agent.config.upload_limit, directory_for(agent.config.data_dir)
    if request.body.length is not None and request.body.length > limit * ESCAPED + ENVELOPE:
        raise _too_large(limit)
    with _place(), Spool(directory) as text, Spool(directory) as decoded:
        try:
            fields = read_fields(request.body, text, limit * 4 // 3 + 4)
        except TooLarge as error:
            raise _too_large(limit) from error
        if fields.get("content") != "":
            raise BadRequest("content is required, as a string")
        content = _decode(text, decoded, fields.get("encoding"))
        if content.size > limit:
            raise _too_large(limit)
        _put(agent, _container({"container": container} if container else fields), _path(fields), content, None)
    return Json({"status": "written"})


def _decode(text: Spool, decoded: Spool, encoding: object) -> Spool:
    if encoding in (None, "", "utf-8"):
        return text
    if encoding != "base64":
        raise BadRequest("encoding must be utf-8 or base64")
    decode_base64(text, decoded)
    return decoded


def _put(agent: Agent, container: str, path: str, spool: Spool, name: Optional[str]) -> None:
    directory = directory_for(agent.config.data_dir)
    write(agent.engine, container, path, spool, name=name, spool_directory=directory)


def _container(values: Mapping[str, Any]) -> str:
    name = values.get("container")
    if not isinstance(name, str) or not name:
        raise BadRequest("container is required")
    if _CONTAINER.fullmatch(name) is None:
        raise BadRequest("a container id or name is 1 to 255 letters, digits, dots, dashes and underscores")
    return name


def _path(values: Mapping[str, Any]) -> str:
    path = values.get("path")
    if not isinstance(path, str) or not path:
        raise BadRequest("path is required")
    return path


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"file too large (max {_megabytes(limit)})")


def _megabytes(limit: int) -> str:
    """`50MB`: the texts of the original agent, with the limit that is configured."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if limit >= size and limit % size == 0:
            return f"{limit // size}{unit}"
    return f"{limit} bytes"


ROUTES: Final[tuple[Route[Agent], ...]] = (
    Route("GET", "/docker/files", list_files),
    Route("GET", "/docker/files/read", read),
    Route("GET", "/docker/files/download", download),
    Route("POST", "/docker/files/write", write_file),
    Route("POST", "/docker/files/upload", upload, content=("multipart/form-data",)),
    Route("DELETE", "/docker/files", remove),
    Route("POST", "/docker/containers/:id/files/write", write_container_file),
)
