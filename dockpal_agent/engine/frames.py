"""The frames in which the Engine sends stdout and stderr over one stream (Engine API, POST /containers/{id}/attach).

Each has a header of 8 bytes: the channel, three zeros, and the length of what follows, big-endian. A container or a
command with a TTY has no frames: its stream is what it wrote.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from dockpal_agent.engine.errors import EngineBroken

__all__ = ["STDERR", "STDIN", "STDOUT", "demultiplex"]

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
SYSTEM_ERROR: Final = 3  # the daemon's own failure, in the place of output

HEADER: Final = struct.Struct(">BxxxL")


def demultiplex(parts: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """(channel, bytes) as they come; a frame in several parts is passed on in several parts, never held back.

    Raises EngineBroken for what is no frame, for a stream that ends within one, and with the daemon's words where it
    reports a failure of its own.
    """
    rest = b""
    channel = left = 0
    for part in parts:
        rest += part
        while rest:
            if not left:
                if len(rest) < HEADER.size:
                    break
                channel, left = _header(rest)
                rest = rest[HEADER.size :]
                continue
            piece, rest = rest[:left], rest[left:]
            left -= len(piece)
            if channel == SYSTEM_ERROR:
                raise EngineBroken(piece.decode("utf-8", "replace").strip())
            yield channel, piece
    if left or rest:
        raise EngineBroken("the Docker daemon broke the stream off within a frame")


def _header(data: bytes) -> tuple[int, int]:
    """The channel and the length of the frame that begins here."""
    channel, length = HEADER.unpack_from(data)
    if channel > SYSTEM_ERROR or data[1:4] != b"\0\0\0":
        raise EngineBroken("the Docker daemon's stream is not made of frames")
    return channel, length
