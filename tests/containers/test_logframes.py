"""From the engine's bytes to frames that the Server's demultiplexer and a browser take."""

from __future__ import annotations

import struct
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.containers.logframes import PAYLOAD_LIMIT, Frames, Lines, Record, Splitter, Text, frames, pieces
from dockpal_agent.engine import EngineBroken

STAMP = b"2026-11-24T00:03:53.929395335Z "
LATER = b"2026-11-24T00:03:54.000000000Z "


def frame(channel: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxL", channel, len(payload)) + payload


def fed(splitter: Splitter, data: bytes, cut: Optional[int] = None) -> list[Record]:
    """What comes of `data`, whole or in pieces of `cut` bytes."""
    size = cut or max(len(data), 1)
    records: list[Record] = []
    for start in range(0, len(data), size):
        records.extend(splitter.feed(data[start : start + size]))
    records.extend(splitter.end())
    return records


@pytest.mark.parametrize("cut", [None, 1, 7, 13])
def test_frames_are_split_wherever_the_bytes_are_cut(cut: Optional[int]) -> None:
    data = frame(1, STAMP + b"one\n") + frame(2, STAMP + b"two\n") + frame(1, b"") + frame(1, LATER + b"three\n")

    assert fed(Frames(True), data, cut) == [
        (1, STAMP, b"one\n", True),
        (2, STAMP, b"two\n", True),
        (1, LATER, b"three\n", True),
    ]


def test_the_pieces_of_a_long_line_are_told_from_its_beginning_on_each_channel() -> None:
    data = frame(1, STAMP + b"a" * 16384) + frame(2, STAMP + b"err\n") + frame(1, STAMP + b"end\n")

    assert [(record.channel, record.begins) for record in fed(Frames(True), data)] == [(1, True), (2, True), (1, False)]


def test_without_timestamps_what_looks_like_one_is_the_containers_own() -> None:
    assert fed(Frames(False), frame(1, STAMP + b"x\n")) == [(1, b"", STAMP + b"x\n", True)]
    assert fed(Lines(False), STAMP + b"x\n") == [(1, b"", STAMP + b"x\n", True)]


def test_podman_s_shorter_timestamps_with_a_zone_are_taken_off_too() -> None:
    stamp = b"2026-11-24T00:03:53.9293+01:00 "

    assert fed(Frames(True), frame(1, stamp + b"x\n")) == [(1, stamp, b"x\n", True)]


def test_the_daemons_own_failure_comes_as_a_line_of_stderr() -> None:
    assert fed(Frames(True), frame(3, b"Error grabbing logs: EOF")) == [(2, b"", b"Error grabbing logs: EOF\n", True)]


@pytest.mark.parametrize("data", [b"plain text, no frames at all\n", frame(9, b"x"), struct.pack(">BxxxL", 1, 2 << 20)])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(EngineBroken, match="not made of frames"):
        fed(Frames(True), data)


def test_an_end_within_a_frame_is_no_proper_end() -> None:
    with pytest.raises(EngineBroken, match="within a frame"):
        fed(Frames(True), frame(1, b"whole\n")[:-2])


@pytest.mark.parametrize("cut", [None, 1, 5])
def test_a_tty_s_lines_become_records_of_stdout(cut: Optional[int]) -> None:
    data = STAMP + b"one\r\n" + LATER + b"two\r\n" + LATER + b"no end"

    assert fed(Lines(True), data, cut) == [
        (1, STAMP, b"one\r\n", True),
        (1, LATER, b"two\r\n", True),
        (1, LATER, b"no end", True),
    ]


@pytest.mark.parametrize("cut", [None, 1000, 16384, 4099])
def test_a_tty_s_long_line_loses_the_timestamps_within_and_nothing_else(cut: Optional[int]) -> None:
    line = bytes(65 + number % 26 for number in range(100_000)) + b"\n"
    stored = b"".join(STAMP + line[start : start + 16384] for start in range(0, len(line), 16384))

    records = fed(Lines(True), stored + LATER + b"next\n", cut)

    assert b"".join(record.payload for record in records) == line + b"next\n"
    assert [record.begins for record in records if record.stamp == STAMP] == [True] + [False] * (len(records) - 2)
    assert records[-1] == (1, LATER, b"next\n", True)
    assert max(len(record.payload) for record in records) <= 2 * 65536


def test_a_tty_s_line_without_an_end_is_passed_on_in_parts_with_bounded_memory() -> None:
    splitter = Lines(False)

    passed = sum(len(record.payload) for _ in range(64) for record in splitter.feed(b"x" * 16384))

    assert passed > (1 << 20) - 2 * PAYLOAD_LIMIT
    assert len(splitter._rest) <= PAYLOAD_LIMIT + 36


def test_a_character_cut_between_two_pieces_comes_whole_with_the_second() -> None:
    text = Text()
    word = "naïve €".encode()

    assert (text.clean(1, word[:3]), text.clean(1, word[3:])) == (b"na", "ïve €".encode())
    assert list(text.end()) == []


def test_the_channels_do_not_mix_their_unfinished_characters() -> None:
    text = Text()

    assert text.clean(1, b"\xe2\x82") == b""
    assert text.clean(2, b"plain") == b"plain"
    assert text.clean(1, b"\xac") == "€".encode()


def test_what_is_not_utf_8_is_replaced() -> None:
    text = Text()

    assert text.clean(1, b"a\xff\xfeb\n") == "a\ufffd\ufffdb\n".encode()
    assert text.clean(1, b"end\xe2\x82") == b"end"
    assert list(text.end()) == [(1, "\ufffd".encode())]


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=30))
def test_every_frame_is_valid_utf_8_whatever_the_container_wrote(records: list[tuple[int, bytes]]) -> None:
    text = Text()
    out = {1: b"", 2: b""}
    made = [(channel, text.clean(channel, payload)) for channel, payload in records] + list(text.end())
    for channel, clean in made:
        for piece in frames(channel, clean):
            assert piece[0] == channel and struct.unpack(">L", piece[4:8])[0] == len(piece) - 8
            piece[8:].decode("utf-8")
            out[channel] += piece[8:]

    for channel, whole in out.items():
        written = b"".join(payload for on, payload in records if on == channel)
        assert whole.decode("utf-8") == written.decode("utf-8", "replace")


@given(st.text(alphabet="aé€😀", min_size=0, max_size=40).map(lambda text: text * 1500))
def test_a_long_text_is_cut_between_characters(text: str) -> None:
    cut = list(pieces(text.encode()))

    assert b"".join(cut) == text.encode()
    assert all(0 < len(piece) <= PAYLOAD_LIMIT for piece in cut)
    for piece in cut:
        piece.decode("utf-8")
