"""What is in a directory.

In a running container its own find and stat are asked: they see every mount, and a directory costs its entries only. An
archive of the directory, which holds everything below it too, is the way for all others, within limits.
"""

from __future__ import annotations

import secrets
import stat as modes
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Optional

from dockpal_agent.engine import Engine, archive
from dockpal_agent.engine.execs import Finished
from dockpal_agent.files import commands
from dockpal_agent.files.errors import NoProgram, OutOfReach, PathNotFound, TooLarge, TooSlow, WrongKind
from dockpal_agent.files.paths import clean, join
from dockpal_agent.files.place import Container, Place, examine, find, look
from dockpal_agent.files.tar import Archive

if TYPE_CHECKING:
    import tarfile

__all__ = ["Entry", "list_directory", "parse_records"]

EXEC_LIMIT: Final = 20.0  # seconds
OUTPUT_LIMIT: Final = 16 << 20  # bytes of find's output: some 100,000 entries
ARCHIVE_LIMIT: Final = 256 << 20  # bytes of an archive that is read for its headers
ARCHIVE_TIME: Final = 20.0  # seconds; the Server gives up after 30
HARD_LINKS: Final = 100  # entries whose size is asked for one by one

_KINDS: Final = {
    modes.S_IFREG: "file",
    modes.S_IFDIR: "directory",
    modes.S_IFLNK: "link",
    modes.S_IFIFO: "fifo",
    modes.S_IFSOCK: "socket",
    modes.S_IFCHR: "device",
    modes.S_IFBLK: "device",
}


@dataclass(frozen=True)
class Entry:
    """One name in a directory. `size` is bytes (0 but for files), `mode` the twelve bits, `modified` unix seconds.

    `name` is exact: bytes that are no UTF-8 are lone surrogates (os.fsdecode). `link` is where a symbolic link points,
    as it stands in it; None for all else, and where it could not be told.
    """

    name: str
    kind: str
    size: int
    mode: int
    uid: int
    gid: int
    modified: int
    link: Optional[str] = None

    def as_json(self) -> dict[str, Any]:
        """The wire's entry: `size` is decimal text (protocol 1.4), what the Server does not know comes behind."""
        value: dict[str, Any] = {
            "name": self.name,
            "size": str(self.size),
            "is_dir": self.kind == "directory",
            "type": self.kind,
            "mode": f"{self.mode:04o}",
            "uid": self.uid,
            "gid": self.gid,
            "modified": self.modified,
        }
        if self.link is not None:
            value["link"] = self.link
        return value


def list_directory(engine: Engine, container: str, path: str) -> list[Entry]:
    """The entries of a directory, or of the one that a link leads to, sorted by name.

    Raises PathNotFound, WrongKind for a file, TooLarge, TooSlow, BadPath, NotFound for the container.
    """
    place = find(engine, examine(engine, container), clean(path))
    if place.stat is None and not (place.hidden and place.container.can_exec):
        raise PathNotFound(f"no such directory in container {place.container.name}: {place.path}")
    if place.stat is not None and not place.stat.is_directory:
        raise WrongKind(f"{place.path} is not a directory")
    entries = _by_program(engine, place) if place.container.can_exec else None
    if entries is None:
        if place.hidden and place.container.can_exec:
            raise OutOfReach(
                f"{place.path} is on a mount ({place.hidden}) that only the running container itself sees, and it has "
                f"no find and stat programs to list it"
            )
        entries = list(_by_archive(engine, place))
    return sorted(entries, key=lambda entry: entry.name)


def _by_program(engine: Engine, place: Place) -> Optional[list[Entry]]:
    """Ask find and stat; None when the container lacks them, or has ones that do not know what they are asked."""
    top = join(place.path, ".")  # a link would be listed itself, `link/.` is what it leads to
    mark = f"/{secrets.token_hex(8)}/"  # no name holds a slash, and nobody can guess the rest
    form = f"%f %s %Y %u %g %n{mark}%N{mark}"
    command = ("find", top, "-mindepth", "1", "-maxdepth", "1", "-exec", "stat", "-c", form, "{}", "+")
    try:
        done = commands.run(engine, place.container, command, within=EXEC_LIMIT, most=OUTPUT_LIMIT)
    except NoProgram:
        return None
    if done.exit_code is None:
        raise TooLarge(f"{place.path} has too many entries to be listed")
    entries = parse_records(done.stdout, top + "/", mark)
    if done.exit_code == 0 or entries:  # what vanished meanwhile makes find fail, but not the rest wrong
        return entries
    _raise_reason(place, done)
    return None


def _raise_reason(place: Place, done: Finished) -> None:
    """Raise what is wrong with a directory that only the container sees: there the program's words are all there is."""
    if place.stat is None:
        reason = commands.failure(place.container, place.path, done)
        if not isinstance(reason, OutOfReach):
            raise reason


def parse_records(output: bytes, top: str, mark: str) -> list[Entry]:
    """Entries from records of `<mode hex> <size> <mtime> <uid> <gid> <path><mark><path, or path -> target><mark>`."""
    separator = mark.encode("ascii")
    fields = output.split(separator)
    entries = []
    for facts, shown in zip(fields[0::2], fields[1::2]):
        head = facts.lstrip(b"\n").split(b" ", 5)
        if len(head) != 6:
            continue
        try:
            mode, size, modified, uid, gid = int(head[0], 16), *(int(float(number)) for number in head[1:5])
        except ValueError:
            continue
        path, whole = (text.decode("utf-8", "surrogateescape") for text in (head[5], shown))
        kind = _KINDS.get(modes.S_IFMT(mode), "other")
        link = _target(path, whole) if kind == "link" else None
        size = size if kind == "file" else 0
        name = path[len(top) :] if path.startswith(top) else path.rpartition("/")[2]
        entries.append(Entry(name, kind, size, modes.S_IMODE(mode), uid, gid, modified, link))
    return entries


def _target(path: str, shown: str) -> Optional[str]:
    """The target in `path -> target` (GNU) or `'path' -> 'target'` (busybox); None where it is quoted otherwise."""
    plain, quoted = f"{path} -> ", f"'{path}' -> '"
    if shown.startswith(plain):
        return shown[len(plain) :]
    if shown.startswith(quoted) and shown.endswith("'"):
        return shown[len(quoted) : -1]
    return None


def _by_archive(engine: Engine, place: Place) -> Iterator[Entry]:
    """The first level of an archive of the directory. Raises TooSlow when the whole of it is too much."""
    end = time.monotonic() + ARCHIVE_TIME

    def before(count: int) -> None:
        if count > ARCHIVE_LIMIT or time.monotonic() > end:
            raise TooSlow(_too_slow(place, count))

    sizes: dict[str, int] = {}
    asked = 0
    with archive.get(engine, place.container.id, place.path) as stream:
        tar = Archive(stream, before)
        top = tar.next()
        base = _normal(top.name) if top is not None else ""
        for member in tar.members():
            name = _child(_normal(member.name), base)
            if member.isreg():
                sizes[member.name] = member.size
            if not name:
                continue
            size = sizes.get(member.linkname, -1) if member.islnk() else member.size if member.isreg() else 0
            if size < 0:
                asked += 1
                size = _size(engine, place, name) if asked <= HARD_LINKS else 0
            yield _entry(member, name, size)


def _entry(member: tarfile.TarInfo, name: str, size: int) -> Entry:
    link = member.linkname if member.issym() else None
    return Entry(name, _kind(member), size, member.mode & 0o7777, member.uid, member.gid, int(member.mtime), link)


def _kind(member: tarfile.TarInfo) -> str:
    if member.isreg() or member.islnk():  # a hard link is a file like its first name
        return "file"
    if member.isdir():
        return "directory"
    if member.issym():
        return "link"
    return "fifo" if member.isfifo() else "device"


def _normal(name: str) -> str:
    """A member's name without the `./`, `/` and trailing slash that engines write in different ways."""
    while name.startswith("./"):
        name = name[2:]
    name = name.strip("/")
    return "" if name == "." else name


def _child(name: str, base: str) -> str:
    """The name if it is one directly below base, else ""."""
    if base:
        if not name.startswith(base + "/"):
            return ""
        name = name[len(base) + 1 :]
    return "" if "/" in name else name


def _size(engine: Engine, place: Place, name: str) -> int:
    """The size of a hard link whose first name did not come along."""
    found = look(engine, place.container, join(place.path, name))
    return found.size if found is not None else 0


def _too_slow(place: Place, count: int) -> str:
    way = _why_archive(place.container)
    return (
        f"{place.path} cannot be listed: {way}, so Docker must send all that is below it, and {count >> 20} MB in "
        f"{ARCHIVE_TIME:g} s were not the end; list a directory further down"
    )


def _why_archive(container: Container) -> str:
    if container.can_exec:
        return f"container {container.name} has no find and stat programs"
    return f"container {container.name} is {container.state}, not running"
