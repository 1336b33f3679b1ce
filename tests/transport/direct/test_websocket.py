"""Viewers over WebSocket, with another implementation as the client (websockets), and frames made by hand."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from dockpal_agent.api.messages import End
from dockpal_agent.transport.direct.connections import Phase
from dockpal_agent.transport.direct.limits import Limits
from tests.transport.direct.client import Client, get, trusting, wait_for
from tests.transport.direct.conftest import HASTY, Running, Start

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
OPENING = ("Upgrade: websocket", "Connection: keep-alive, Upgrade", KEY, "Sec-WebSocket-Version: 13")


@contextmanager
def viewing(running: Running, target: str = "/feed") -> Iterator[Connection]:
    address = f"{'wss' if running.tls else 'ws'}://127.0.0.1:{running.server.port}{target}"
    context = trusting() if running.tls else None
    with connect(address, ssl=context, compression=None, open_timeout=10, close_timeout=5, proxy=None) as viewer:
        yield viewer


def open_by_hand(running: Running, target: str = "/feed") -> Client:
    client = running.client()
    client.send(get(target, *OPENING))
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    return client


def frame(opcode: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    """A masked frame with a mask of zeros."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
    return bytes([(0x80 if final else 0) | opcode]) + length + b"\0\0\0\0" + payload


def closing(client: Client) -> tuple[int, str]:
    """Code and reason of the server's close frame, which has to be the next one."""
    opcode, length = client.until_bytes(2)
    assert opcode == 0x88
    payload = client.until_bytes(length)
    return struct.unpack("!H", payload[:2])[0], payload[2:].decode()


# -- the opening handshake --


def test_the_accept_field_is_the_one_of_rfc_6455(plain: Running) -> None:
    client = plain.client()
    client.send(get("/feed", *OPENING))
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in client.until(b"\r\n\r\n")


def test_neither_extension_nor_subprotocol_is_taken_up(running: Running) -> None:
    client = running.client()
    offers = ("Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: chat")
    client.send(get("/feed", *OPENING, *offers))
    head = client.until(b"\r\n\r\n").lower()
    assert b"extensions" not in head
    assert b"sec-websocket-protocol" not in head


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"), 400),
        (("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: abc", "Sec-WebSocket-Version: 13"), 400),
        (("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: YWJj", "Sec-WebSocket-Version: 13"), 400),
        (("Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: 8"), 426),
        (("Upgrade: websocket", "Connection: Upgrade", KEY), 426),
        ((*OPENING, "Content-Length: 3"), 400),
    ],
)
def test_a_malformed_opening_handshake_is_refused(plain: Running, fields: tuple[str, ...], status: int) -> None:
    found, names, body = plain.client().get("/feed", *fields)
    assert found == status
    assert json.loads(body)["error"]
    assert status != 426 or names["sec-websocket-version"] == "13"
    assert not plain.service.feeds


def test_another_upgrade_is_ignored(plain: Running) -> None:
    assert plain.client().get("/ping", "Upgrade: h2c", "Connection: Upgrade")[0] == 200


def test_the_service_knows_that_an_upgrade_was_asked_for(plain: Running) -> None:
    open_by_hand(plain)
    assert plain.service.requests[0].upgrade


def test_an_answer_other_than_messages_is_plain_http_and_the_connection_is_kept(running: Running) -> None:
    client = running.client()
    assert client.get("/missing", *OPENING)[0] == 404
    assert client.get("/ping", *OPENING)[0] == 200
    assert client.get("/ping")[0] == 200


def test_what_a_stream_raises_when_it_is_opened_is_a_status(running: Running) -> None:
    with pytest.raises(InvalidStatus) as caught, viewing(running, "/no-feed"):
        pass
    assert caught.value.response.status_code == 404
    assert json.loads(caught.value.response.body or b"") == {"error": "no such container"}


def test_frames_that_come_with_the_handshake_are_not_lost(running: Running) -> None:
    client = running.client()
    client.send(get("/feed", *OPENING) + frame(1, b"hello"))
    assert running.service.feed().heard.get(timeout=5) == "hello"


# -- messages --


def test_messages_arrive_in_order_as_text_and_binary(running: Running) -> None:
    with viewing(running) as viewer:
        running.service.feed().put({"a": "\u00e4\ud800"}, "text \u00e4", "lone \ud800", b"\x00\xff", b"x" * 32768)
        assert [viewer.recv(5) for _ in range(5)] == [
            '{"a":"\\u00e4\\ud800"}',
            "text \u00e4",
            "lone ?",
            b"\x00\xff",
            b"x" * 32768,
        ]


def test_ten_thousand_messages_arrive_complete(running: Running) -> None:
    with viewing(running) as viewer:
        feed = running.service.feed()
        filler = threading.Thread(target=lambda: feed.put(*(f"line {number}" for number in range(10000))))
        filler.start()
        assert [viewer.recv(10) for _ in range(10000)] == [f"line {number}" for number in range(10000)]
        filler.join(5)


def test_what_the_viewer_says_is_no_matter_to_a_stream(running: Running) -> None:
    with viewing(running) as viewer:
        feed = running.service.feed()
        viewer.send('{"token":"agt-x"}')
        viewer.send(b"\x00" * 65536)
        viewer.send(["in ", "parts"])
        feed.put("still here")
        assert viewer.recv(5) == "still here"
        assert [feed.heard.get(timeout=5) for _ in range(3)] == ['{"token":"agt-x"}', b"\x00" * 65536, "in parts"]


def test_a_ping_of_the_viewer_is_answered(running: Running) -> None:
    with viewing(running) as viewer:
        assert viewer.ping("are you there").wait(5)


# -- ends --


def test_the_end_of_a_stream_is_a_close_frame_with_its_code_and_reason(running: Running) -> None:
    with viewing(running) as viewer:
        feed = running.service.feed()
        feed.put("last", End("the container was removed", 4000))
        assert viewer.recv(5) == "last"
        with pytest.raises(ConnectionClosed) as caught:
            viewer.recv(5)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4000, "the container was removed")
    assert feed.closed.wait(5)


def test_a_stream_that_fails_ends_with_1011_and_the_reason(running: Running) -> None:
    with viewing(running) as viewer:
        running.service.feed().put(RuntimeError("the engine is gone \u00e4" + "." * 200))
        with pytest.raises(ConnectionClosed) as caught:
            viewer.recv(5)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1011
    assert caught.value.rcvd.reason.startswith("the engine is gone \u00e4...")


BROKEN: dict[str, tuple[bytes, int]] = {
    "text that is not UTF-8": (frame(1, b"\xff\xfe"), 1007),
    "a character cut by a fragment": (frame(1, b"\xc3", final=False) + frame(0, b"("), 1007),
    "an unknown opcode": (frame(3), 1002),
    "a continuation of nothing": (frame(0, b"a"), 1002),
    "no mask": (b"\x81\x01a", 1002),
    "a reserved bit": (b"\xc1\x80\0\0\0\0", 1002),
    "a long ping": (frame(9, b"a" * 126), 1002),
    "half a close code": (frame(8, b"\x03"), 1002),
    "a close code that is never sent": (frame(8, b"\x03\xec"), 1002),
    "a close reason that is not UTF-8": (frame(8, b"\x03\xe8\xff"), 1007),
    "bytes too many in parts": (frame(2, b"a" * 60000, final=False) + frame(0, b"a" * 5537), 1009),
    "text of too many bytes": (frame(1, b"a" * 60000, final=False) + frame(0, "\u00e4".encode() * 2769), 1009),
    "a frame too long": (b"\x82\xff" + struct.pack("!Q", 65537) + b"\0\0\0\0" + b"a" * 65537, 1009),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_not_allowed_is_answered_with_the_fitting_close_code(running: Running, what: str) -> None:
    sent, code = BROKEN[what]
    client = open_by_hand(running)
    client.send(sent)
    assert closing(client)[0] == code
    assert client.rest() == b""
    assert running.service.feed().closed.wait(5)


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x0f\xa0bye"])
def test_the_viewers_close_frame_is_answered_in_kind_and_the_stream_closed(running: Running, payload: bytes) -> None:
    client = open_by_hand(running)
    client.send(frame(8, payload))
    assert client.until_bytes(2 + len(payload)) == bytes([0x88, len(payload)]) + payload
    assert client.rest() == b""
    assert running.service.feed().closed.wait(5)


def test_a_viewer_that_leaves_without_a_word_is_noticed_while_the_stream_is_silent(running: Running) -> None:
    client = open_by_hand(running)
    feed = running.service.feed()
    client.close()
    assert feed.closed.wait(1.0)
    wait_for(lambda: running.server.connections.count() == 0)


def test_a_viewer_that_leaves_is_noticed_within_a_second_with_the_limits_as_they_are(start: Start) -> None:
    running = start(tls=True, limits=Limits())
    client = open_by_hand(running)
    feed = running.service.feed()
    wait_for(lambda: running.server.connections.count(Phase.STREAMING) == 1)
    client.close()
    assert feed.closed.wait(1.0)


def test_a_viewer_that_answers_pings_stays(hasty: Running) -> None:
    with viewing(hasty) as viewer:
        feed = hasty.service.feed()
        assert not feed.closed.wait(3 * (HASTY.ping + HASTY.pong))
        feed.put("here")
        assert viewer.recv(5) == "here"


def test_a_viewer_that_does_not_answer_a_ping_is_dropped(hasty: Running) -> None:
    client = open_by_hand(hasty)
    assert client.until_bytes(2) == b"\x89\x00"
    assert hasty.service.feed().closed.wait(5)
    client.rest()


def test_a_viewer_that_stops_reading_is_dropped_and_the_others_get_everything(hasty: Running) -> None:
    stalled = open_by_hand(hasty)
    stalled_feed = hasty.service.feed()
    with viewing(hasty) as viewer:
        feed = hasty.service.feed()
        filler = threading.Thread(target=lambda: stalled_feed.put(*[b"x" * 32000] * 3000))
        filler.start()
        for number in range(200):
            feed.put(f"{number}")
            assert viewer.recv(5) == f"{number}"
        assert stalled_feed.closed.wait(15)
        feed.put("still")
        assert viewer.recv(5) == "still"
    stalled.close()
    filler.join(15)


def test_a_viewer_that_floods_us_with_pings_still_gets_its_messages(plain: Running) -> None:
    client = open_by_hand(plain)
    feed = plain.service.feed()
    client.send(frame(9, b"p") * 2000)
    feed.put("through")
    pongs, message = b"\x8a\x01p", b"\x81\x07through"
    data = b""
    while message not in data or data.count(pongs) < 2000:
        part = client.socket.recv(65536)
        assert part
        data += part
    assert data.replace(message, b"", 1) == pongs * 2000


def test_when_the_server_stops_viewers_are_told(running: Running) -> None:
    with viewing(running) as viewer:
        feed = running.service.feed()
        wait_for(lambda: running.server.connections.count(Phase.STREAMING) == 1)
        assert running.server.stop(5.0)
        with pytest.raises(ConnectionClosed) as caught:
            viewer.recv(5)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001
    assert feed.closed.wait(1)


def test_a_hundred_viewers_leave_nothing_behind(start: Start) -> None:
    running = start(tls=True, most=128, limits=Limits())
    before = threading.active_count()
    clients = [open_by_hand(running) for _ in range(100)]
    wait_for(lambda: running.server.connections.count(Phase.STREAMING) == 100)
    for client in clients:
        client.socket.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: all(feed.closed.is_set() for feed in running.service.feeds))
    wait_for(lambda: running.server.connections.count() == 0 and threading.active_count() <= before)
