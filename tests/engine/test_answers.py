"""Streams: an end, a failure and a cancellation are three things; and what counts as JSON."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, Union

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockpal_agent.engine import Cancel, Engine, EngineBroken, EngineCancelled, EngineTimeout
from dockpal_agent.engine import answers as answers_module
from dockpal_agent.engine.answers import DEPTH_LIMIT, parse
from dockpal_agent.engine.deadline import Deadline
from tests.engine.scripted import ScriptedDaemon, chunked, raw, said


@pytest.fixture
def scripted() -> Iterator[ScriptedDaemon]:
    with ScriptedDaemon() as daemon:
        yield daemon


@pytest.fixture
def client(scripted: ScriptedDaemon) -> Iterator[Engine]:
    client = Engine(scripted.socket_path)
    yield client
    client.close()


def silent(scripted: ScriptedDaemon, first: bytes = b"") -> Any:
    """A stream that begins and then says nothing more."""

    def reply(connection: socket.socket) -> bool:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + (b"%x\r\n%b\r\n" % (len(first), first) if first else b""))
        scripted.done.wait(30)
        return False

    return reply


def test_bytes_come_as_soon_as_there_are_any_and_the_end_is_an_end(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/x"] = silent(scripted, b"first")
    with client.stream("GET", "/x") as stream:
        assert stream.read_some(3) == b"fir"
        assert stream.read_some() == b"st"
        assert not stream.complete

    scripted.replies["/x"] = chunked(b"one", b"two")
    with client.stream("GET", "/x") as stream:
        assert (b"".join(stream.chunks()), stream.complete) == (b"onetwo", True)
        assert stream.read_some() == b""


def test_an_answer_of_known_length_ends_there_and_the_connection_is_kept(
    scripted: ScriptedDaemon, client: Engine
) -> None:
    scripted.replies["/x"] = said(200, b"x" * 100_000)
    for _ in range(3):
        with client.stream("GET", "/x") as stream:
            assert len(b"".join(stream.chunks())) == 100_000
    assert scripted.accepted == 1


def test_an_answer_that_ends_with_its_connection_ends(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/x"] = raw(b"HTTP/1.1 200 OK\r\n\r\nall there is")
    with client.stream("GET", "/x") as stream:
        assert b"".join(stream.chunks()) == b"all there is"


@pytest.mark.parametrize(
    "reply",
    [
        chunked(b"one", end=False),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\non"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\nzz\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\none"),
    ],
)
def test_a_broken_stream_is_broken_not_ended(scripted: ScriptedDaemon, client: Engine, reply: Any) -> None:
    scripted.replies["/x"] = reply
    with client.stream("GET", "/x") as stream, pytest.raises(EngineBroken):
        list(stream.chunks())


def test_silence_is_bounded_where_a_bound_is_given(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/x"] = silent(scripted, b"first")
    with client.stream("GET", "/x", idle=0.1) as stream:
        assert stream.read_some() == b"first"
        with pytest.raises(EngineTimeout, match="silent"):
            stream.read_some()


def test_the_limit_for_the_header_is_none_for_what_follows(scripted: ScriptedDaemon, client: Engine) -> None:
    def late(connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        scripted.done.wait(0.6)
        connection.sendall(b"late")
        return True

    scripted.replies["/x"] = late
    with client.stream("GET", "/x", within=0.3) as stream:
        assert stream.read_some() == b"late"


def test_a_deadline_bounds_all_of_the_rest_together(scripted: ScriptedDaemon, client: Engine) -> None:
    def drip(connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not scripted.done.wait(0.02):
            connection.sendall(b"1\r\nx\r\n")
        return False

    scripted.replies["/x"] = drip
    with client.stream("GET", "/x") as stream:
        stream.bound(Deadline(0.2))
        with pytest.raises(EngineTimeout):
            list(stream.chunks())


@pytest.mark.parametrize("by_token", [True, False])
def test_a_read_that_waits_in_silence_ends_at_once_when_another_thread_cancels(
    scripted: ScriptedDaemon, client: Engine, by_token: bool
) -> None:
    scripted.replies["/x"] = silent(scripted, b"first")
    token = Cancel()
    with client.stream("GET", "/x", cancel=token) as stream:
        assert stream.read_some() == b"first"
        waiting = threading.Event()
        caught: list[BaseException] = []

        def read() -> None:
            waiting.set()
            try:
                stream.read_some()
            except EngineCancelled as error:
                caught.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        waiting.wait(5)
        (token.cancel if by_token else stream.cancel)()
        thread.join(5)
        assert len(caught) == 1
        with pytest.raises(EngineCancelled):
            stream.read_some()


def test_cancelling_one_stream_leaves_another_of_the_same_token_alone(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/x"] = chunked(b"one", b"two")
    token = Cancel()
    with client.stream("GET", "/x", cancel=token) as one, client.stream("GET", "/x", cancel=token) as two:
        one.cancel()
        assert b"".join(two.chunks()) == b"onetwo"
        assert not token.cancelled
        with pytest.raises(EngineCancelled):
            one.read_some()


def test_a_closed_stream_says_so_and_can_be_closed_again(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/x"] = silent(scripted)
    stream = client.stream("GET", "/x")
    stream.close()
    stream.close()
    with pytest.raises(EngineBroken, match="closed"):
        stream.read_some()


def test_lines_are_whole_however_they_are_cut(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/x"] = chunked(b'{"a"', b': 1}\r\n\n{"b": 2}\n{"c"', b": 3}")
    with client.stream("GET", "/x") as stream:
        assert list(stream.json_lines()) == [{"a": 1}, {"b": 2}, {"c": 3}]


@pytest.mark.parametrize("line", [b"{", b"[1]", b"7", b"<html>", b"[" * 10_000])
def test_a_line_that_is_no_object_is_broken(scripted: ScriptedDaemon, client: Engine, line: bytes) -> None:
    scripted.replies["/x"] = chunked(line + b"\n")
    with client.stream("GET", "/x") as stream, pytest.raises(EngineBroken):
        list(stream.json_lines())


def test_a_line_without_end_is_cut_off(
    scripted: ScriptedDaemon, client: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_module, "LINE_LIMIT", 1000)
    scripted.replies["/x"] = chunked(*[b"x" * 400] * 4)
    with client.stream("GET", "/x") as stream, pytest.raises(EngineBroken, match="does not end"):
        list(stream.lines())


# --- JSON

Nested = Union[None, bool, int, str, list, dict]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(alphabet='[]{}"\\ax\n'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='[{"\\a'), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_what_is_not_nested_too_deeply_is_read_as_json_reads_it(value: Nested) -> None:
    assert parse(json.dumps(value).encode()) == value


def nested(levels: int) -> bytes:
    return b'[{"a":' * (levels // 2) + b"1" + b"}]" * (levels // 2)


def test_depth_is_counted_in_levels_and_brackets_in_strings_are_not_levels() -> None:
    assert parse(nested(DEPTH_LIMIT))
    for deep in (
        nested(2 * DEPTH_LIMIT + 4),
        b"[" * 1000,
        b"[" * 1000 + b"]" * 1000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
    ):
        with pytest.raises(EngineBroken, match="too deeply"):
            parse(deep)
    assert parse(json.dumps({"label": "[" * 1000, "other": '{"\\' * 500}).encode())
