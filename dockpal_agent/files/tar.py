"""The tar archives in which files travel to and from the Engine (POSIX.1-2001 pax), one member at a time.

tarfile is loaded when it is needed: an agent that nobody asks for files never has it in memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Callable, Final, Optional

from dockpal_agent.engine import EngineBroken, Stream

if TYPE_CHECKING:
    import tarfile

__all__ = ["Archive", "archive_of"]

BLOCK: Final = 512
CHUNK: Final = 64 << 10  # bytes


class _Readable:
    """A stream as tarfile reads one; `before` is called ahead of each read and may raise."""

    def __init__(self, stream: Stream, before: Callable[[int], None]) -> None:
        self._stream = stream
        self._before = before
        self._count = 0

    def read(self, size: int) -> bytes:
        self._before(self._count)
        part = self._stream.read_some(size)
        self._count += len(part)
        return part


class Archive:
    """An archive that comes from the Engine, member after member; content that is not asked for is skipped.

    `before` is told the bytes read so far ahead of each read, and may raise to end it.
    """

    def __init__(self, stream: Stream, before: Callable[[int], None] = lambda count: None) -> None:
        import tarfile

        self._errors = (tarfile.TarError, EOFError, ValueError)
        readable = _Readable(stream, before)
        try:
            open_stream: Any = tarfile.open  # typeshed asks more of a stream than tarfile does
            self._tar = open_stream(
                fileobj=readable, mode="r|", bufsize=CHUNK, encoding="utf-8", errors="surrogateescape"
            )
        except self._errors as error:
            raise _broken(error) from error

    def next(self) -> Optional[tarfile.TarInfo]:
        """The next member, None at the end. Raises EngineBroken, and what the stream and `before` raise."""
        try:
            member: Optional[tarfile.TarInfo] = self._tar.next()
        except self._errors as error:
            raise _broken(error) from error
        self._tar.members.clear()  # tarfile would remember them all
        return member

    def members(self) -> Iterator[tarfile.TarInfo]:
        """The rest, to the end."""
        while True:
            member = self.next()
            if member is None:
                return
            yield member

    def content(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        """The bytes of the member that came last. Raises EngineBroken when they end too early."""
        left = member.size
        file = self._tar.extractfile(member)
        while left:
            try:
                part = file.read(min(left, CHUNK)) if file is not None else b""
            except self._errors as error:
                raise _broken(error) from error
            if not part:
                raise EngineBroken(f"the Docker daemon's archive ends {left} bytes too early")
            left -= len(part)
            yield part


def archive_of(
    name: str, content: Iterable[bytes], size: int, *, mode: int, uid: int, gid: int, mtime: Optional[float] = None
) -> Iterator[bytes]:
    """An archive of one regular file. `content` must be of `size` bytes; `mtime` is unix seconds, now by default."""
    import tarfile

    header = tarfile.TarInfo(name)
    header.size, header.mode, header.uid, header.gid = size, mode, uid, gid
    header.mtime = int(time.time() if mtime is None else mtime)
    yield header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    written = 0
    for part in content:
        written += len(part)
        yield part
    if written != size:
        raise ValueError(f"{size} bytes were announced, {written} came")
    yield b"\0" * (-size % BLOCK + 2 * BLOCK)


def _broken(error: Exception) -> EngineBroken:
    return EngineBroken(f"the Docker daemon's archive cannot be read: {error}")
