"""Request bodies off the wire: lengths, chunks, invitations, and how slowly they may come."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.transport.direct.body import BodyTimeout, BrokenBody, RequestBody
from dockpal_agent.transport.direct.limits import Limits
from dockpal_agent.transport.direct.wire import Wire

LIMITS = Limits(stall=0.2, drain=0.2)


class Pair:
    """Both ends of a connection: `far` is the client's."""

    def __init__(self) -> None:
        near, self.far = socket.socketpair()
        self.wire = Wire(near)

    def close(self) -> None:
        self.wire.socket.close()
        self.far.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    both = Pair()
    yield both
    both.close()


def read_all(body: RequestBody, step: int = 1000) -> bytes:
    return b"".join(iter(lambda: body.read_some(step), b""))


def chunked(text: bytes) -> bytes:
    """What the text of a chunked body is read as; raises what reading raises."""
    pair = Pair()
    try:
        pair.far.sendall(text)
        pair.far.shutdown(socket.SHUT_WR)
        return read_all(RequestBody(pair.wire, None, LIMITS))
    finally:
        pair.close()


def test_a_body_of_a_known_length_ends_there_and_what_follows_stays(pair: Pair) -> None:
    pair.far.sendall(b"12345GET /")
    body = RequestBody(pair.wire, 5, LIMITS)
    assert body.read_some(3) == b"123"
    assert (body.read_some(9), body.read_some(9), body.ended) == (b"45", b"", True)
    assert pair.wire.read_some(100) == b"GET /"


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"00A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b'3;name=value;other="x"\r\nabc\r\n0\r\n\r\n', b"abc"),
        (b"3 ;a\r\nabc\r\n0;b\r\n\r\n", b"abc"),
        (b"3\r\nabc\r\n0\r\nX-Trailer: a\r\nY: b\r\n\r\n", b"abc"),
    ],
)
def test_chunks_are_put_together_and_extensions_and_trailers_left_out(text: bytes, body: bytes) -> None:
    assert chunked(text) == body


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"3\r\nab",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"3_0\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nabc",
        b"3;" + b"a" * 300 + b"\r\nabc\r\n0\r\n\r\n",
        (b"1;" + b"a" * 200 + b"\r\nx\r\n") * 100 + b"0\r\n\r\n",
        b"0\r\n",
        b"0\r\nno trailer\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 400 + b"\r\n",
    ],
)
def test_malformed_chunks_are_refused(text: bytes) -> None:
    with pytest.raises(BrokenBody):
        chunked(text)


@given(st.lists(st.binary(min_size=1, max_size=3000), max_size=8), st.integers(1, 5000))
def test_any_split_into_chunks_is_read_back(parts: list[bytes], step: int) -> None:
    pair = Pair()
    try:
        pair.far.sendall(b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\nrest")
        assert read_all(RequestBody(pair.wire, None, LIMITS), step) == b"".join(parts)
        assert pair.wire.read_some(100) == b"rest"
    finally:
        pair.close()


def test_a_body_that_ends_too_early_is_broken_and_stays_so(pair: Pair) -> None:
    pair.far.sendall(b"123")
    pair.far.close()
    body = RequestBody(pair.wire, 5, LIMITS)
    with pytest.raises(BrokenBody):
        read_all(body)
    with pytest.raises(BrokenBody):
        body.read_some(1)
    assert not body.drain()


def test_a_body_that_stalls_times_out(pair: Pair) -> None:
    pair.far.sendall(b"123")
    with pytest.raises(BodyTimeout):
        read_all(RequestBody(pair.wire, 5, LIMITS))


def test_a_body_that_trickles_times_out_after_its_grace(pair: Pair) -> None:
    pair.far.sendall(b"x" * 1000)
    body = RequestBody(pair.wire, 1000, replace(LIMITS, body_grace=0.0, body_rate=1 << 40))
    with pytest.raises(BodyTimeout):
        read_all(body, 1)


def test_a_waiting_client_is_invited_when_the_body_is_first_asked_for_and_once(pair: Pair) -> None:
    invited: list[int] = []
    pair.far.sendall(b"12345")
    body = RequestBody(pair.wire, 5, LIMITS, lambda: invited.append(1))
    assert not body.drainable
    assert invited == []
    assert read_all(body, 2) == b"12345"
    assert invited == [1]


def test_what_nobody_read_is_drained_when_it_is_little_and_comes_at_once(pair: Pair) -> None:
    pair.far.sendall(b"x" * 5000 + b"next")
    body = RequestBody(pair.wire, 5000, LIMITS)
    assert body.drain()
    assert pair.wire.read_some(100) == b"next"


def test_what_nobody_read_is_not_drained_when_it_is_much_or_late_or_of_unknown_length(pair: Pair) -> None:
    assert not RequestBody(pair.wire, LIMITS.drain_bytes + 1, LIMITS).drainable
    assert not RequestBody(pair.wire, None, LIMITS).drainable
    assert not RequestBody(pair.wire, 10, LIMITS).drain()
