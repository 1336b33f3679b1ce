"""Files that survive a crash: written whole or not at all, and read back with that in mind."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Union

__all__ = ["make_private_directory", "read_json", "sync_directory", "write_atomic", "write_json"]


def write_atomic(path: Path, data: Union[bytes, str], *, mode: int = 0o600) -> None:
    """Put `data` at `path`: a temporary file beside it, fsync, rename, fsync of the directory.

    After a crash at any moment `path` holds the old content or the new, never a mixture. The permission bits are `mode`
    from the first byte on. Raises OSError (disk full, read-only); the temporary file is gone then, `path` as it was.
    """
    raw = data.encode("utf-8") if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name[:100]}.{os.urandom(8).hex()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def write_json(path: Path, value: Any, *, mode: int = 0o600) -> None:
    """`write_atomic` of compact JSON."""
    write_atomic(path, json.dumps(value, separators=(",", ":"), sort_keys=True) + "\n", mode=mode)


def read_json(path: Path) -> Any:
    """The JSON value at `path`, None where there is no such file. Raises ValueError for anything that is not JSON."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return json.loads(data)


def sync_directory(path: Path) -> None:
    """Make names in a directory durable. File systems that cannot sync a directory (some network ones) are left be."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_directory(path: Path) -> None:
    """Make `path` and what is missing above it; `path` itself is 0700 when it is new."""
    if path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
