"""The content of one file, as a stream and as text."""

from __future__ import annotations

import base64
import contextlib
import stat as modes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable, Final, Optional

from dockpal_agent.engine import Engine, EngineBroken, archive, execs
from dockpal_agent.engine.deadline import Deadline
from dockpal_agent.engine.frames import STDOUT
from dockpal_agent.files import commands
from dockpal_agent.files.errors import NoProgram, OutOfReach, PathNotFound, TooLarge, WrongKind
from dockpal_agent.files.paths import clean
from dockpal_agent.files.place import Place, examine, find
from dockpal_agent.files.tar import Archive

__all__ = ["READ_LIMIT", "OpenFile", "open_file", "read_text"]

READ_LIMIT: Final = 5 << 20  # bytes that are given as JSON; what is larger is downloaded
STAT_LIMIT: Final = 20.0  # seconds
CAT_LIMIT: Final = 60.0  # seconds for a file that only the container itself can read


@dataclass(frozen=True)
class OpenFile:
    """A file's content as it comes. `size` is bytes, None where only reading tells; `close` must be called."""

    path: str
    size: Optional[int]
    chunks: Iterator[bytes]
    close: Callable[[], None]


def open_file(engine: Engine, container: str, path: str) -> OpenFile:
    """Open a file, or the one that a link leads to, in the container's own root.

    Raises PathNotFound, WrongKind for anything but a regular file, BadPath, NotFound for the container.
    """
    place = find(engine, examine(engine, container), clean(path))
    if place.hidden and place.container.can_exec:
        return _by_program(engine, place)
    if place.stat is None:
        raise PathNotFound(f"no such file in container {place.container.name}: {place.path}")
    if place.stat.is_directory:
        raise WrongKind(f"{place.path} is a directory")
    if not place.stat.is_file:
        raise WrongKind(f"{place.path} is not a regular file")
    return _by_archive(engine, place)


def read_text(engine: Engine, container: str, path: str) -> dict[str, Any]:
    """{"content", "encoding", "size", "path"}; `encoding` is utf-8, or base64 for what is no text.

    Text is valid UTF-8 without NUL; it comes back byte for byte. Raises TooLarge past READ_LIMIT, as open_file else.
    """
    file = open_file(engine, container, path)
    with contextlib.closing(file):
        if file.size is not None and file.size > READ_LIMIT:
            raise _too_large(file.path)
        data = bytearray()
        for part in file.chunks:
            data += part
            if len(data) > READ_LIMIT:
                raise _too_large(file.path)
    content, encoding = _as_text(bytes(data))
    return {"content": content, "encoding": encoding, "binary": encoding != "utf-8", "size": len(data)}


def _as_text(data: bytes) -> tuple[str, str]:
    if b"\0" not in data:
        try:
            return data.decode("utf-8"), "utf-8"
        except UnicodeDecodeError:
            pass  # then it is no text
    return base64.b64encode(data).decode("ascii"), "base64"


def _too_large(path: str) -> TooLarge:
    return TooLarge(f"{path} is larger than {READ_LIMIT >> 20} MB, too large to be read as text: download it")


def _by_archive(engine: Engine, place: Place) -> OpenFile:
    stream = archive.get(engine, place.container.id, place.path)
    try:
        tar = Archive(stream)
        member = tar.next()
        if member is None or not member.isreg():
            raise WrongKind(f"{place.path} is not a regular file any more")
        return OpenFile(place.path, member.size, tar.content(member), stream.close)
    except BaseException:
        stream.close()
        raise


def _by_program(engine: Engine, place: Place) -> OpenFile:
    """What the archive API cannot see (a tmpfs, /proc), read by the container's own cat.

    Its kind is asked for first: to read a fifo or a device would leave a process behind that nobody can end.
    """
    container, path = place.container, place.path
    try:
        done = commands.run(engine, container, ("stat", "-L", "-c", "%f", path), within=STAT_LIMIT, most=4096)
    except NoProgram as error:
        raise OutOfReach(
            f"{path} is on a mount ({place.hidden}) that only the running container itself sees, and {error}"
        ) from error
    if done.exit_code != 0:
        raise commands.failure(container, path, done)
    mode = int(done.stdout.strip() or b"0", 16)
    if modes.S_ISDIR(mode):
        raise WrongKind(f"{path} is a directory")
    if not modes.S_ISREG(mode):
        raise WrongKind(f"{path} is not a regular file")
    deadline = Deadline(CAT_LIMIT)
    execution = execs.start(engine, container.id, ("cat", path), user=commands.ROOT, working_dir="/", deadline=deadline)
    closed = contextlib.ExitStack()
    closed.enter_context(execution)
    try:
        parts = _output(execution, path)
        first = next(parts, b"")  # so that what fails at once still gets a status of its own
    except BaseException:
        closed.close()
        raise
    return OpenFile(path, None, _chain(first, parts), closed.close)


def _output(execution: execs.Execution, path: str) -> Iterator[bytes]:
    words = b""
    for channel, part in execution.output():
        if channel == STDOUT:
            yield part
        elif len(words) < 4096:
            words += part
    if execution.exit_code() != 0:
        text = words.decode("utf-8", "replace").strip()
        raise EngineBroken(f"{path} cannot be read: {text}" if text else f"{path} cannot be read")


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest
