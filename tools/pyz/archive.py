"""A zip file that has the same bytes for the same content: sorted, one fixed time, one permission."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Callable, Final

from tools.pyz.unit import Unit

__all__ = ["packed", "write"]

SHEBANG: Final = b"#!/usr/bin/env python3\n"
TIME: Final = (1980, 1, 1, 0, 0, 0)  # the first that the format can tell


def packed(
    files: Mapping[str, bytes], units: Mapping[str, Unit], main: Callable[[Mapping[str, tuple[int, int, int]]], bytes]
) -> bytes:
    """The archive, with the line in front that makes it a program.

    `units` are by magic number in hex, "" for the sources. They go in as they are, first, and `main` makes __main__.py
    of where they lie: magic number → (offset in the file, bytes of the packed table of contents, bytes of it unpacked).
    """
    places: dict[str, tuple[int, int, int]] = {}
    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    with zipfile.ZipFile(buffer, "w") as archive:
        for magic in sorted(units):
            _add(archive, f"modules/{magic or 'source'}", units[magic].data, zipfile.ZIP_STORED)
            offset = buffer.tell() - len(units[magic].data)
            places[magic] = (offset, units[magic].table, units[magic].table_size)
        for name, content in sorted({**files, "__main__.py": main(places)}.items()):
            _add(archive, name, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes, method: int) -> None:
    entry = zipfile.ZipInfo(name, TIME)
    entry.compress_type = method
    entry.create_system = 3  # Unix, whatever builds it
    entry.external_attr = 0o100644 << 16
    archive.writestr(entry, content, compresslevel=9)


def write(data: bytes, target: Path) -> str:
    """Put the program and `<target>.sha256` in place, each by a rename; the digest in hex.

    By a rename, so that an agent that runs from the old file keeps it.
    """
    digest = hashlib.sha256(data).hexdigest()
    target.parent.mkdir(parents=True, exist_ok=True)
    checksum = target.with_name(target.name + ".sha256")
    for path, content, mode in ((target, data, 0o755), (checksum, f"{digest}  {target.name}\n".encode(), 0o644)):
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_bytes(content)
        temporary.chmod(mode)
        os.replace(temporary, path)
    return digest
