"""Viewers over server-sent events."""

from __future__ import annotations

import pytest

from dockpal_agent.api.messages import End
from dockpal_agent.transport.direct.connections import Phase
from tests.transport.direct.client import Client, get, wait_for
from tests.transport.direct.conftest import Running


def follow(running: Running) -> Client:
    client = running.client()
    client.send(b"GET /feed HTTP/1.0\r\n\r\n")  # without chunks
    client.until(b"\r\n\r\n")
    return client


def test_an_event_stream_says_what_it_is(running: Running) -> None:
    client = running.client()
    client.send(get("/feed", "Accept: text/event-stream"))
    head = client.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type: text/event-stream\r\n" in head
    assert b"Cache-Control: no-store\r\n" in head
    assert b"Transfer-Encoding: chunked\r\n" in head


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"stage": "pulling", "at": 1}, b'data: {"stage":"pulling","at":1}\n\n'),
        ("two\nlines\r\n", b"data: two\ndata: lines\ndata: \n\n"),
        (b"bytes \xff", "data: bytes \ufffd\n\n".encode()),
    ],
)
def test_each_message_is_one_event(running: Running, message: object, event: bytes) -> None:
    client = follow(running)
    running.service.feed().put(message)  # type: ignore[arg-type]
    assert client.until(b"\n\n") == event


def test_a_silent_stream_carries_comments(hasty: Running) -> None:
    client = follow(hasty)
    assert client.until(b"\n\n") == b":\n\n"
    assert client.until(b"\n\n") == b":\n\n"


def test_the_end_of_a_stream_is_the_end_of_the_answer(running: Running) -> None:
    client = running.client()
    client.send(get("/feed"))
    client.until(b"\r\n\r\n")
    feed = running.service.feed()
    feed.put("a", End())
    assert client.rest() == b"9\r\ndata: a\n\n\r\n0\r\n\r\n"
    assert feed.closed.wait(5)


def test_a_viewer_that_leaves_is_noticed_while_the_stream_is_silent(running: Running) -> None:
    client = follow(running)
    feed = running.service.feed()
    client.close()
    assert feed.closed.wait(1.0)


def test_what_a_stream_raises_when_it_is_opened_is_a_status(running: Running) -> None:
    assert running.client().get("/no-feed")[0] == 404


def test_when_the_server_stops_the_stream_ends_properly(running: Running) -> None:
    client = running.client()
    client.send(get("/feed"))
    client.until(b"\r\n\r\n")
    wait_for(lambda: running.server.connections.count(Phase.STREAMING) == 1)
    assert running.server.stop(5.0)
    assert client.rest().endswith(b"0\r\n\r\n")
