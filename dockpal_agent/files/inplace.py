"""Writing what the archive API cannot: a file on a tmpfs, or one that is itself a mount (a bind of a single file).

The new content is put into the container's root by the archive API, under a name of ours, and copied over the file by
the container's own cp, which keeps the inode, owner and mode. The old content is copied aside first, and back when that
fails. Readers may see the file half written: there is no way to replace a mount at once.
"""

from __future__ import annotations

import logging
import secrets
import stat as modes
from typing import Final, Optional

from dockpal_agent.engine import BadParameter, Denied, Engine, EngineError, archive
from dockpal_agent.files import commands
from dockpal_agent.files.errors import FilesError, NoProgram, OutOfReach, PathNotFound, WriteFailed, WrongKind
from dockpal_agent.files.paths import join, name_of_upload, wants_directory
from dockpal_agent.files.place import KERNEL, Container, Place
from dockpal_agent.files.spool import Spool
from dockpal_agent.files.tar import archive_of

__all__ = ["write_in_place"]

NEW_MODE: Final = 0o644
COMMAND_LIMIT: Final = 60.0  # seconds
PUT_LIMIT: Final = 60.0  # seconds, and one more for each megabyte

log = logging.getLogger(__name__)


def write_in_place(engine: Engine, place: Place, asked: str, content: Spool, name: Optional[str]) -> str:
    """Copy `content` over the file at `place` within the running container; the path that was written.

    `asked` is the path as it was given: it may be a directory's, where the file gets `name`. Raises OutOfReach with the
    reason why it cannot be done, PathNotFound, WrongKind, WriteFailed, EngineError.
    """
    container = place.container
    if not container.can_exec or place.hidden in KERNEL:
        raise OutOfReach(_why(place))
    try:
        path, exists = _target(engine, container, place.path, asked, name)
        staged = f"/.dockpal-{secrets.token_hex(8)}"
        try:
            _stage(engine, container, staged, content)
            _copy_over(engine, container, staged, path, exists)
        finally:
            _tidy_up(engine, container, staged)
    except NoProgram as error:
        raise OutOfReach(f"{_why(place)}, and {error}") from error
    log.info("container %s: wrote %s in place, %d bytes", container.name, path, content.size)
    return path


def _why(place: Place) -> str:
    if place.hidden:
        return (
            f"{place.path} is on a mount ({place.hidden}) that only a running container itself sees: what Docker's "
            f"archive API writes there would be hidden under it"
        )
    return f"{place.path} is itself a mount: Docker cannot replace it. Edit what is mounted there"


def _target(engine: Engine, container: Container, path: str, asked: str, name: Optional[str]) -> tuple[str, bool]:
    """(the file to write, whether it is there), asked of the container itself."""
    mode = _mode(engine, container, path)
    if mode is not None and modes.S_ISDIR(mode) and name is not None:
        path = join(path, name_of_upload(name))
        mode = _mode(engine, container, path)
    elif wants_directory(asked) and (mode is None or not modes.S_ISDIR(mode)):
        if mode is None:
            raise PathNotFound(f"no such directory in container {container.name}: {path}")
        raise WrongKind(f"{path} is not a directory")
    if mode is not None and not modes.S_ISREG(mode):
        raise WrongKind(f"{path} is {'a directory' if modes.S_ISDIR(mode) else 'not a regular file'}")
    return path, mode is not None


def _mode(engine: Engine, container: Container, path: str) -> Optional[int]:
    """The mode of what a path leads to, None where nothing is."""
    done = commands.run(engine, container, ("stat", "-L", "-c", "%f", path), within=COMMAND_LIMIT, most=4096)
    if done.exit_code == 0:
        return int(done.stdout.strip() or b"0", 16)
    reason = commands.failure(container, path, done)
    if isinstance(reason, PathNotFound):
        return None
    raise reason


def _stage(engine: Engine, container: Container, staged: str, content: Spool) -> None:
    tar = archive_of(staged[1:], content.chunks(), content.size, mode=NEW_MODE, uid=0, gid=0)
    try:
        archive.put(engine, container.id, "/", tar, within=PUT_LIMIT + (content.size >> 20))
    except (BadParameter, Denied) as error:
        raise OutOfReach(f"container {container.name} has no room to prepare the file in: {error}") from error


def _copy_over(engine: Engine, container: Container, staged: str, path: str, exists: bool) -> None:
    old = f"{staged}.old"
    if exists:
        _copy(engine, container, path, old)
    try:
        _copy(engine, container, staged, path)
    except FilesError as error:
        if not exists:
            raise
        try:
            _copy(engine, container, old, path)
        except (FilesError, EngineError) as second:
            log.error("container %s: writing %s failed, and the old file is lost: %s", container.name, path, second)
            raise WriteFailed(
                f"{path} was not written: {error}; the old file could not be put back ({second})"
            ) from error
        raise type(error)(f"{path} was not written: {error}; the old file is as it was") from error


def _copy(engine: Engine, container: Container, source: str, target: str) -> None:
    done = commands.run(engine, container, ("cp", source, target), within=COMMAND_LIMIT, most=4096)
    if done.exit_code != 0:
        raise commands.failure(container, target, done)


def _tidy_up(engine: Engine, container: Container, staged: str) -> None:
    """Remove what was put into the root. What stays there is said in the log, and does no harm."""
    try:
        command = ("rm", "-f", staged, f"{staged}.old")
        done = commands.run(engine, container, command, within=COMMAND_LIMIT, most=4096)
        if done.exit_code != 0:
            raise commands.failure(container, staged, done)
    except (FilesError, EngineError) as error:
        log.warning("container %s: %s may be left in its root: %s", container.name, staged, error)
