"""Files of a container, running or not (Engine API, /containers/{id}/archive). They travel as tar."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final, Optional

from dockpal_agent.engine.answers import Stream, parse
from dockpal_agent.engine.cancel import Cancel
from dockpal_agent.engine.client import Data, Engine, segment
from dockpal_agent.engine.errors import EngineBroken, NotFound
from dockpal_agent.engine.shapes import object_of

__all__ = ["PathStat", "get", "put", "stat"]

STAT_FIELD: Final = "X-Docker-Container-Path-Stat"
PUT_LIMIT: Final = 600.0  # seconds for an upload as a whole
IDLE_LIMIT: Final = 60.0  # seconds the daemon may be silent while it sends files

# Bits of Go's os.FileMode, which is how the daemon tells kinds.
_DIRECTORY: Final = 1 << 31
_SYMLINK: Final = 1 << 27
_NOT_REGULAR: Final = _DIRECTORY | _SYMLINK | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19
_SPECIAL: Final = ((1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000))  # setuid, setgid, sticky


@dataclass(frozen=True)
class PathStat:
    """What is at a path. `mode` is Go's os.FileMode, `size` bytes, `modified` RFC 3339; a link is not followed."""

    name: str
    size: int
    mode: int
    modified: str
    link_target: str

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory; a link to one is not."""
        return bool(self.mode & _DIRECTORY)

    @property
    def is_symlink(self) -> bool:
        """Whether it is a symbolic link; `link_target` is then where it leads, resolved within the container."""
        return bool(self.mode & _SYMLINK)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return not self.mode & _NOT_REGULAR

    @property
    def permissions(self) -> int:
        """The twelve permission bits as Unix has them."""
        return (self.mode & 0o777) | sum(unix for go, unix in _SPECIAL if self.mode & go)


def stat(engine: Engine, container: str, path: str) -> PathStat:
    """What is at `path`. Engine API: HEAD /containers/{id}/archive. Raises NotFound with the daemon's words."""
    target, query = f"/containers/{segment(container)}/archive", {"path": path}
    try:
        answer = engine.head(target, query, ok=(200,))
    except NotFound:  # an answer to HEAD has no body and so no words; the same question by GET has
        with engine.stream("GET", target, query, ok=(200,)) as stream:
            return _path_stat(stream.headers.get(STAT_FIELD, ""))
    return _path_stat(answer.headers.get(STAT_FIELD, ""))


def get(engine: Engine, container: str, path: str, *, cancel: Optional[Cancel] = None) -> Stream:
    """The file or directory at `path` as a tar stream. Engine API: GET /containers/{id}/archive.

    There is no limit of depth or size: the root is the whole file system. Raises NotFound.
    """
    target = f"/containers/{segment(container)}/archive"
    return engine.stream("GET", target, {"path": path}, ok=(200,), idle=IDLE_LIMIT, cancel=cancel)


def put(
    engine: Engine,
    container: str,
    directory: str,
    tar: Data,
    *,
    keep_kind: bool = True,
    within: float = PUT_LIMIT,
    cancel: Optional[Cancel] = None,
) -> None:
    """Unpack a tar (bytes, a file, or pieces) into a directory that exists. Engine API: PUT /containers/{id}/archive.

    Not atomic: broken off, it leaves a mixture where a file was. With `keep_kind` a directory is not replaced by a file
    nor a file by a directory. Raises NotFound, Denied for a read-only one, and another EngineRefused
    where `directory` is none.
    """
    query = {"path": directory}
    if keep_kind:
        query["noOverwriteDirNonDir"] = "true"
    headers = {"Content-Type": "application/x-tar"}
    target = f"/containers/{segment(container)}/archive"
    engine.put(target, query, data=tar, headers=headers, ok=(200,), within=within, cancel=cancel)


def _path_stat(text: str) -> PathStat:
    """Decode the header field: base64 of a JSON object."""
    try:
        value = object_of(parse(base64.b64decode(text, validate=True)))
        return PathStat(
            name=str(value["name"]),
            size=int(value["size"]),
            mode=int(value["mode"]),
            modified=str(value.get("mtime", "")),
            link_target=str(value.get("linkTarget", "")),
        )
    except (binascii.Error, KeyError, TypeError, ValueError) as error:
        raise EngineBroken(f"the Docker daemon's {STAT_FIELD} field cannot be read") from error
