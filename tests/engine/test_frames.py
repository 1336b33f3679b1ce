"""stdout and stderr in one stream."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.engine import EngineBroken
from dockpal_agent.engine.frames import STDERR, STDOUT, demultiplex


def frame(channel: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", channel, len(data)) + data


@given(st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=40))), st.integers(1, 50))
def test_frames_come_apart_the_same_however_the_stream_is_cut(frames: list[tuple[int, bytes]], size: int) -> None:
    data = b"".join(frame(channel, text) for channel, text in frames)
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    for wanted in (STDOUT, STDERR):
        got = b"".join(text for channel, text in demultiplex(parts) if channel == wanted)
        assert got == b"".join(text for channel, text in frames if channel == wanted)


def test_a_long_frame_is_not_held_back() -> None:
    arrived = demultiplex(iter([frame(STDOUT, b"x" * 1000)[:10]]))
    assert next(arrived) == (STDOUT, b"xx")


@pytest.mark.parametrize(
    "data", [b"\x01\0\0", frame(STDOUT, b"abc")[:-1], b"plain text from a TTY", b"\x09\0\0\0\0\0\0\0"]
)
def test_what_ends_within_a_frame_or_is_none_is_broken(data: bytes) -> None:
    with pytest.raises(EngineBroken):
        list(demultiplex([data]))


def test_a_failure_of_the_daemon_itself_is_told_in_its_words() -> None:
    with pytest.raises(EngineBroken, match="error reading logs"):
        list(demultiplex([frame(3, b"error reading logs\n")]))
