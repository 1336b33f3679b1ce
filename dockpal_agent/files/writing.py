"""Writing a file whole or not at all, as far as the Engine allows.

The Engine's PUT of an archive removes the old file first and then writes: cut off in the middle, it leaves a mixture.
So the new content is complete on the agent's side before anything is touched, the old file is kept aside with its owner
and mode, and it is put back when the Engine fails. What could not be put back is said.

The new file is another inode: hard links to the old one keep the old content. A file that cannot be replaced, as it is
itself a mount or lies on a tmpfs, is written in place by the container's own cp, where it runs and has one.
"""

from __future__ import annotations

import contextlib
import logging
import posixpath
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Optional

from dockpal_agent.engine import Engine, EngineError, EngineRefused, archive
from dockpal_agent.files import commands
from dockpal_agent.files.errors import FilesError, OutOfReach, PathNotFound, TooLarge, WriteFailed, WrongKind
from dockpal_agent.files.inplace import write_in_place
from dockpal_agent.files.paths import clean, join, name_of_upload, wants_directory
from dockpal_agent.files.place import Place, examine, find, look
from dockpal_agent.files.spool import Spool
from dockpal_agent.files.tar import Archive, archive_of

__all__ = ["write"]

NEW_MODE: Final = 0o644  # of a file that was not there, which belongs to root
KEPT_LIMIT: Final = 1 << 30  # bytes of an old file that is kept aside
PUT_LIMIT: Final = 60.0  # seconds, and one more for each megabyte
LOCK_LIMIT: Final = 20.0  # seconds that a second writer of the same file waits
REMOVE_LIMIT: Final = 10.0  # seconds
BUSY: Final = "device or resource busy"  # what the kernel says when a mount is to be removed

_LOCKS: Final = tuple(
    threading.Lock() for _ in range(64)
)  # each guards the files whose hash it is: one writer at a time
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Kept:
    """The old file: what it was and where its content is."""

    content: Spool
    mode: int
    uid: int
    gid: int
    mtime: float
    size: int
    modified: str  # as the daemon told it: changes with every write


def write(
    engine: Engine,
    container: str,
    path: str,
    content: Spool,
    *,
    name: Optional[str] = None,
    spool_directory: Optional[str] = None,
) -> str:
    """Put `content` at `path`, and return where that is once links are followed.

    A file that is there keeps its owner and mode; a new one belongs to root, 0644. With `name`, the path may be a
    directory, or end in a slash, and the file gets that name in it. Raises PathNotFound for a missing directory,
    WrongKind, OutOfReach, TooLarge or SpoolFull when the old file cannot be kept aside, WriteFailed, EngineError.
    """
    place = _target(engine, container, path, name)
    with _alone(place), contextlib.ExitStack() as stack:
        if place.hidden:
            return write_in_place(engine, place, path, content, name)
        kept = None
        if place.stat is not None:
            kept = _keep(engine, place, stack.enter_context(Spool(spool_directory)))
        try:
            _put(engine, place, content, kept)
        except EngineError as error:
            if BUSY in str(error):  # it is a mount: nothing was touched
                return write_in_place(engine, place, place.path, content, None)
            raise _undo(engine, place, kept, error) from error
    log.info("container %s: wrote %s, %d bytes", place.container.name, place.path, content.size)
    return place.path


def _target(engine: Engine, container: str, path: str, name: Optional[str]) -> Place:
    """The place to write to: nothing or a regular file there, unless it is hidden."""
    place = find(engine, examine(engine, container), clean(path))
    is_directory = place.stat is not None and place.stat.is_directory
    if wants_directory(path) and not is_directory and not place.hidden:
        if place.stat is None:
            raise PathNotFound(f"no such directory in container {place.container.name}: {place.path}")
        raise WrongKind(f"{place.path} is not a directory")
    if is_directory and name is not None:
        place = find(engine, place.container, join(place.path, name_of_upload(name)))
    if place.stat is not None and not place.stat.is_file:
        kind = "a directory" if place.stat.is_directory else "not a regular file"
        raise WrongKind(f"{place.path} is {kind}")
    return place


@contextlib.contextmanager
def _alone(place: Place) -> Iterator[None]:
    """One writer of a file at a time: the old file that one puts back must not be older than another's new one."""
    lock = _LOCKS[hash((place.container.id, place.path)) % len(_LOCKS)]
    if not lock.acquire(timeout=LOCK_LIMIT):
        raise OutOfReach(f"{place.path} is being written by another request")
    try:
        yield
    finally:
        lock.release()


def _keep(engine: Engine, place: Place, spool: Spool) -> _Kept:
    """Copy the old file to the agent's side. Raises TooLarge, SpoolFull."""
    assert place.stat is not None
    if place.stat.size > KEPT_LIMIT:
        raise TooLarge(
            f"{place.path} is {place.stat.size >> 20} MB, too large to be kept aside while it is replaced: "
            f"delete it first"
        )
    with archive.get(engine, place.container.id, place.path) as stream:
        tar = Archive(stream)
        member = tar.next()
        if member is None or not member.isreg():
            raise WrongKind(f"{place.path} is not a regular file any more")
        spool.fill(tar.content(member))
    return _Kept(spool, member.mode & 0o7777, member.uid, member.gid, member.mtime, member.size, place.stat.modified)


def _put(engine: Engine, place: Place, content: Spool, kept: Optional[_Kept]) -> None:
    directory, name = posixpath.split(place.path)
    mode, uid, gid = (kept.mode, kept.uid, kept.gid) if kept is not None else (NEW_MODE, 0, 0)
    tar = archive_of(name, content.chunks(), content.size, mode=mode, uid=uid, gid=gid)
    archive.put(engine, place.container.id, directory, tar, within=PUT_LIMIT + (content.size >> 20))


def _undo(engine: Engine, place: Place, kept: Optional[_Kept], error: EngineError) -> Exception:
    """Make good what a failed PUT did, and what to raise about it."""
    if isinstance(error, EngineRefused) and error.status < 500:
        return error  # refused before it began: a read-only container or volume, the directory gone
    try:
        outcome = _clear(engine, place) if kept is None else _put_back(engine, place, kept)
    except (EngineError, FilesError, OSError) as second:
        state = "an incomplete file may be left there" if kept is None else "the old file could not be put back"
        log.error("container %s: writing %s failed, and %s: %s", place.container.name, place.path, state, second)
        outcome = f"{state} ({second})"
    return WriteFailed(f"{place.path} was not written: {error}; {outcome}")


def _put_back(engine: Engine, place: Place, kept: _Kept) -> str:
    """Restore the old file unless it was not touched; what to say about it."""
    now = look(engine, place.container, place.path)
    if now is not None and (now.size, now.modified) == (kept.size, kept.modified):
        return "the old file is as it was"
    directory, name = posixpath.split(place.path)
    content = kept.content.chunks()
    tar = archive_of(name, content, kept.size, mode=kept.mode, uid=kept.uid, gid=kept.gid, mtime=kept.mtime)
    archive.put(engine, place.container.id, directory, tar, within=PUT_LIMIT + (kept.size >> 20))
    return "the old file was put back"


def _clear(engine: Engine, place: Place) -> str:
    """Remove what is left of a new file, where a program of the container's can; what to say about it."""
    if look(engine, place.container, place.path) is None:
        return "nothing was left there"
    if not place.container.can_exec:
        raise OutOfReach("Docker can delete files only in a running container")
    done = commands.run(engine, place.container, ("rm", "-f", "--", place.path), within=REMOVE_LIMIT, most=4096)
    if done.exit_code != 0:
        raise commands.failure(place.container, place.path, done)
    return "nothing was left there"
