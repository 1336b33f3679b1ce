"""One Python's bytecode of all modules as one block: a table of contents, then each module, packed by itself.

Single modules are small and much alike, so they are packed with a dictionary of the strings that occur in many of them;
that is a tenth less than zip entries, and a file of five versions has 1,300 entries and their headers fewer.
`tools/pyz/bootstrap.py` reads it.
"""

from __future__ import annotations

import marshal
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

__all__ = ["Unit", "packed"]

WINDOW: Final = 32768  # bytes that deflate looks back, so as much dictionary as is of use
# Marshal's short strings: a type byte (interned or not, referenced or not), a length, ASCII.
_STRING: Final = re.compile(rb"[\xda\xfa\x5a\x7a]([\x03-\x50])(?=([\x20-\x7e]{3,80}))", re.DOTALL)
HEADER: Final = 16  # bytes of a .pyc before the code


@dataclass(frozen=True)
class Unit:
    """`data` starts with `table` bytes of packed table of contents, which unpack to `table_size`."""

    data: bytes
    table: int
    table_size: int


def packed(files: Mapping[str, bytes]) -> Unit:
    """The unit of `files`: path (`requests/__init__.pyc`) → .pyc."""
    dictionary = _dictionary(files)
    modules: dict[str, tuple[int, int, bool]] = {}
    blocks: list[bytes] = []
    offset = 0
    for name in sorted(files):
        block = _deflate(files[name][HEADER:], dictionary)
        path = PurePosixPath(name).with_suffix("")
        package = path.name == "__init__"
        modules[".".join((path.parent if package else path).parts)] = (offset, len(block), package)
        blocks.append(block)
        offset += len(block)
    table = marshal.dumps((modules, dictionary))
    table_packed = _deflate(table, b"")
    return Unit(b"".join([table_packed, *blocks]), len(table_packed), len(table))


def _dictionary(files: Mapping[str, bytes]) -> bytes:
    """The strings of several modules, the most frequent last, where a match costs least."""
    seen: Counter[bytes] = Counter()
    for content in files.values():
        seen.update({start[1:2] + rest for start, rest in _strings(content)})
    frequent = sorted((text for text, count in seen.items() if count > 1), key=lambda text: (seen[text], text))
    return b"".join(b"\xda" + text for text in frequent)[-WINDOW:]


def _strings(content: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    for match in _STRING.finditer(content):
        length = match.group(1)[0]
        if len(match.group(2)) >= length:
            found.append((match.group(0), match.group(2)[:length]))
    return found


def _deflate(data: bytes, dictionary: bytes) -> bytes:
    packing = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return packing.compress(data) + packing.flush()
