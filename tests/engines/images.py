"""Images without a registry: made from the machine's static busybox and imported by the Engine API."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

from tests.engines.daemon import Daemon

__all__ = ["BUSYBOX", "SCRATCH", "archive_of", "ensure_busybox", "ensure_scratch", "import_image"]

BUSYBOX: Final = "dockpal-test/busybox:latest"  # a shell and all applets
SCRATCH: Final = "dockpal-test/scratch:latest"  # one static binary, no shell under any name that is looked for
_PROGRAM: Final = Path("/bin/busybox")


def archive_of(
    files: Iterable[tuple[str, bytes]], links: Iterable[tuple[str, str]] = (), folders: Iterable[str] = ()
) -> bytes:
    """A tar archive: files (path, content) with mode 0755, symbolic links (path, target), empty folders."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in folders:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
        for name, target in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return buffer.getvalue()


def import_image(daemon: Daemon, reference: str, archive: bytes, *changes: str) -> str:
    """Make an image of a root filesystem; `changes` are Dockerfile lines (`ENV PATH=/bin`). Returns the reference.

    Engine API: POST /images/create?fromSrc=-.
    """
    repository, _, tag = reference.rpartition(":")
    query = [("fromSrc", "-"), ("repo", repository), ("tag", tag), *(("changes", change) for change in changes)]
    daemon.call("POST", "/images/create", query, body=archive)
    return reference


def ensure_busybox(daemon: Daemon) -> str:
    """BUSYBOX on this engine, imported when it is missing."""
    if daemon.answer("GET", f"/images/{BUSYBOX}/json").status != 200:
        import_image(daemon, BUSYBOX, _busybox_archive(), "ENV PATH=/bin", 'CMD ["sh"]')
    return BUSYBOX


def ensure_scratch(daemon: Daemon) -> str:
    """SCRATCH on this engine: a container of it sleeps, and nothing can be run in it by the usual names."""
    if daemon.answer("GET", f"/images/{SCRATCH}/json").status != 200:
        archive = archive_of([("busybox", _PROGRAM.read_bytes())])
        import_image(daemon, SCRATCH, archive, 'ENTRYPOINT ["/busybox","sleep","100000"]', "CMD []")
    return SCRATCH


@lru_cache(maxsize=1)
def _busybox_archive() -> bytes:
    listing = subprocess.run([str(_PROGRAM), "--list"], capture_output=True, check=True, timeout=10, text=True)
    links = [(f"bin/{applet}", "busybox") for applet in listing.stdout.split() if applet != "busybox"]
    accounts = [("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n"), ("etc/group", b"root:x:0:\n")]
    return archive_of(
        [("bin/busybox", _PROGRAM.read_bytes()), *accounts], links, ["bin", "etc", "tmp", "proc", "sys", "dev", "root"]
    )
