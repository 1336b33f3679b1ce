"""All modules, as one Python's bytecode or as source, in one block: a table of contents, then each, packed by itself.

Single modules are small and much alike, so they are packed with a dictionary of what occurs in many of them; that is a
tenth less than zip entries, and a file of five versions has 2,000 entries and their headers fewer.
`tools/pyz/bootstrap.py` reads it.
"""

from __future__ import annotations

import marshal
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

__all__ = ["Unit", "packed"]

WINDOW: Final = 32768  # bytes that deflate looks back, so as much dictionary as is of use
# Marshal's short strings: a type byte (interned or not, referenced or not), a length, ASCII.
_STRING: Final = re.compile(rb"[\xda\xfa\x5a\x7a]([\x03-\x50])(?=([\x20-\x7e]{3,80}))", re.DOTALL)
HEADER: Final = 16  # bytes of a .pyc before the code
MARSHAL: Final = 4  # the format that every supported Python reads


@dataclass(frozen=True)
class Unit:
    """`data` starts with `table` bytes of packed table of contents, which unpack to `table_size`."""

    data: bytes
    table: int
    table_size: int


def packed(files: Mapping[str, bytes]) -> Unit:
    """The unit of `files`, path → content: all .pyc, or all .py."""
    files = {name: content[HEADER:] if name.endswith(".pyc") else content for name, content in files.items()}
    dictionary = _dictionary(files)
    modules: dict[str, tuple[int, int, bool]] = {}
    blocks: list[bytes] = []
    offset = 0
    for name in sorted(files):
        block = _deflate(files[name], dictionary)
        path = PurePosixPath(name).with_suffix("")
        package = path.name == "__init__"
        modules[".".join((path.parent if package else path).parts)] = (offset, len(block), package)
        blocks.append(block)
        offset += len(block)
    table = marshal.dumps((modules, dictionary), MARSHAL)
    table_packed = _deflate(table, b"")
    return Unit(b"".join([table_packed, *blocks]), len(table_packed), len(table))


def _dictionary(files: Mapping[str, bytes]) -> bytes:
    """What occurs in several modules, the most frequent last, where a match costs least."""
    seen: Counter[bytes] = Counter()
    for name, content in files.items():
        seen.update(set(_strings(content) if name.endswith(".pyc") else content.splitlines(keepends=True)))
    frequent = sorted((text for text, count in seen.items() if count > 1), key=lambda text: (seen[text], text))
    return b"".join(frequent)[-WINDOW:]


def _strings(content: bytes) -> Iterator[bytes]:
    """Marshalled strings with the byte of their type and that of their length."""
    for match in _STRING.finditer(content):
        length = match.group(1)[0]
        if len(match.group(2)) >= length:
            yield b"\xda" + match.group(1) + match.group(2)[:length]


def _deflate(data: bytes, dictionary: bytes) -> bytes:
    packing = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return packing.compress(data) + packing.flush()
