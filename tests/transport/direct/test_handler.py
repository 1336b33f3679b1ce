"""Requests and answers over real connections, plain and TLS."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from dataclasses import replace

import pytest

from dockpal_agent.transport.direct.connections import Phase
from tests.transport.direct.client import Client, get, trusting, wait_for
from tests.transport.direct.conftest import DEFAULT, HASTY, Running, Start


def error(body: bytes) -> str:
    text = json.loads(body)["error"]
    assert isinstance(text, str)
    return text


def test_a_json_answer_has_its_type_and_length_and_the_connection_is_kept(running: Running) -> None:
    client = running.client()
    status, fields, body = client.get("/ping")
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert fields["content-type"] == "application/json"
    assert "connection" not in fields
    assert client.get("/ping")[0] == 200


def test_the_service_gets_the_request_as_it_came(plain: Running) -> None:
    plain.client().get("/ping%2Fx?a=b%20c&d", "X-Thing: One", "Authorization: Bearer t")
    (request,) = plain.service.requests
    assert (request.method, request.target, dict(request.query)) == ("GET", "/ping%2Fx", {"a": "b c", "d": ""})
    assert request.headers == {"host": "agent", "x-thing": "One", "authorization": "Bearer t"}
    assert (request.peer, request.upgrade) == ("127.0.0.1", False)


def test_several_requests_at_once_are_answered_in_their_order(running: Running) -> None:
    client = running.client()
    client.send(get("/ping") + get("/missing") + get("/ping"))
    assert [client.answer()[0] for _ in range(3)] == [200, 404, 200]


def test_a_connection_without_a_request_is_closed_after_the_idle_limit(hasty: Running) -> None:
    client = hasty.client()
    client.get("/ping")
    assert client.is_closed_within(5)


def test_the_client_that_wants_the_connection_closed_is_told_so_and_gets_it(running: Running) -> None:
    client = running.client()
    status, fields, _ = client.get("/ping", "Connection: close")
    assert (status, fields["connection"]) == (200, "close")
    assert client.is_closed_within(5)


def test_http_1_0_is_closed_unless_it_asks_to_be_kept(plain: Running) -> None:
    client = plain.client()
    client.send(b"GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert client.answer()[1]["connection"] == "keep-alive"
    client.send(b"GET /ping HTTP/1.0\r\n\r\n")
    assert client.answer()[1]["connection"] == "close"
    assert client.is_closed_within(5)


def test_head_has_the_fields_of_get_and_no_body(running: Running) -> None:
    client = running.client()
    _, wanted, body = client.get("/ping")
    client.send(get("/ping").replace(b"GET", b"HEAD"))
    head = client.until(b"\r\n\r\n").decode()
    assert f"Content-Length: {len(body)}\r\n" in head
    assert f"Content-Type: {wanted['content-type']}\r\n" in head
    assert client.get("/ping")[0] == 200  # nothing of a body lay in between


def test_head_of_a_stream_of_bytes_or_messages_opens_and_closes_it(plain: Running) -> None:
    client = plain.client()
    client.send(get("/unknown").replace(b"GET", b"HEAD"))
    assert b"Transfer-Encoding: chunked" in client.until(b"\r\n\r\n")
    assert plain.service.streams_closed.acquire(timeout=5)
    client.send(get("/feed").replace(b"GET", b"HEAD"))
    assert b"text/event-stream" in client.until(b"\r\n\r\n")
    assert plain.service.feed().closed.wait(5)
    assert client.rest() == b""


def test_an_answer_without_content_has_no_body_and_no_length(plain: Running) -> None:
    client = plain.client()
    client.send(get("/empty"))
    head = client.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 204 ")
    assert b"Content-Length" not in head
    assert b"Content-Type:" not in head
    assert client.get("/ping")[0] == 200


def test_what_is_to_happen_after_an_answer_happens(plain: Running) -> None:
    assert plain.client().get("/then")[0] == 200
    assert plain.service.then_ran.wait(5)


# -- bodies --


@pytest.mark.parametrize("size", [0, 1, 70000, 3 << 20])
def test_a_body_of_any_size_arrives_by_length_and_in_chunks(running: Running, size: int) -> None:
    client, data = running.client(), b"x" * size
    client.send(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + data)
    assert json.loads(client.answer()[2]) == {"length": size}
    chunks = b"%x\r\n%s\r\n" % (size, data) if size else b""
    client.send(b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert json.loads(client.answer()[2]) == {"length": size}


def test_a_small_body_that_nobody_read_does_not_disturb_the_next_request(running: Running) -> None:
    client = running.client()
    client.send(b"POST /missing HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n" + b"G" * 5000 + get("/ping"))
    assert [client.answer()[0], client.answer()[0]] == [404, 200]


@pytest.mark.parametrize("framing", [b"Content-Length: 9000000", b"Transfer-Encoding: chunked"])
def test_a_large_body_that_nobody_read_closes_the_connection_after_the_answer_arrived(
    running: Running, framing: bytes
) -> None:
    client = running.client()
    client.send(b"POST /missing HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + b"ffff\r\n" + b"x" * 100000)
    status, fields, _ = client.answer()
    assert (status, fields["connection"]) == (404, "close")
    assert client.rest() == b""


def test_a_body_past_the_limit_of_its_route_is_refused_with_413(running: Running) -> None:
    client = running.client()
    client.send(b"POST /small-body HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 100000)
    status, _, body = client.answer()
    assert (status, error(body)) == (413, "the body is too large: at most 1000 bytes are accepted here")


def test_a_client_that_waits_for_100_continue_is_invited(running: Running) -> None:
    client = running.client()
    client.send(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"abc")
    assert json.loads(client.answer()[2]) == {"length": 3}
    assert client.get("/ping")[0] == 200


def test_a_client_that_waits_for_100_continue_is_refused_without_sending_its_body(plain: Running) -> None:
    client = plain.client()
    client.send(b"POST /missing HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    status, fields, _ = client.answer()
    assert (status, fields["connection"]) == (404, "close")


def test_a_body_that_stalls_is_answered_with_408(hasty: Running) -> None:
    client = hasty.client()
    client.send(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
    assert client.answer()[0] == 408
    assert client.is_closed_within(5)


# -- framing --


def test_after_a_framing_error_the_connection_closes_and_nothing_behind_it_is_served(running: Running) -> None:
    client = running.client()
    smuggled = b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    client.send(smuggled + get("/ping"))
    status, fields, body = client.answer()
    assert (status, fields["connection"]) == (400, "close")
    assert error(body) == "content-length and transfer-encoding came together"
    assert client.rest() == b""
    assert not running.service.requests


def test_after_a_malformed_chunk_the_connection_closes_and_nothing_behind_it_is_served(running: Running) -> None:
    client = running.client()
    client.send(b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n" + get())
    assert client.answer()[0] == 400
    assert client.rest() == b""
    assert [request.target for request in running.service.requests] == ["/body"]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000 + b"\r\n\r\n", 431),
        (b"GET /ping?" + b"&".join(b"a=b" for _ in range(100)) + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /ping?a=%FF HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ],
)
def test_errors_of_the_transport_are_json_as_all_others(running: Running, text: bytes, status: int) -> None:
    client = running.client()
    client.send(text)
    found, fields, body = client.answer()
    assert (found, fields["content-type"]) == (status, "application/json")
    assert error(body)


def test_a_header_that_stops_is_answered_with_408(hasty: Running) -> None:
    client = hasty.client()
    client.send(b"GET /ping HTTP/1.1\r\nHost:")
    assert client.answer()[0] == 408


def test_a_client_that_says_nothing_is_closed_without_a_word(hasty: Running) -> None:
    assert hasty.client().rest() == b""


def test_a_header_that_trickles_is_cut_by_its_limit_as_a_whole(hasty: Running) -> None:
    client = hasty.client()
    client.send(b"GET /ping HTTP/1.1\r\nHost: a\r\nX: ")
    client.socket.settimeout(0.2)
    answer = b""
    with contextlib.suppress(ConnectionError):
        while not answer:
            client.send(b"a")
            with contextlib.suppress(socket.timeout):
                answer = client.socket.recv(12)
    assert answer in (b"HTTP/1.1 408", b"")


# -- streams of bytes --


def test_bytes_of_a_known_length_are_sent_by_length_and_the_connection_is_kept(running: Running) -> None:
    client = running.client()
    assert client.get("/known")[2] == b"12345678"
    assert client.get("/known")[2] == b"12345678"
    assert running.service.streams_closed.acquire(timeout=5)


def test_bytes_of_an_unknown_length_are_sent_in_chunks_and_the_connection_is_kept(running: Running) -> None:
    client = running.client()
    for _ in range(2):
        client.send(get("/unknown"))
        assert b"Transfer-Encoding: chunked\r\n" in client.until(b"\r\n\r\n")
        assert client.until(b"\r\n0\r\n\r\n") == b"4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n"
    client.send(get("/nothing"))
    client.until(b"\r\n\r\n")
    assert client.until(b"0\r\n\r\n") == b"0\r\n\r\n"


def test_bytes_of_an_unknown_length_end_with_the_connection_for_http_1_0(running: Running) -> None:
    client = running.client()
    client.send(b"GET /unknown HTTP/1.0\r\n\r\n")
    assert b"Connection: close" in client.until(b"\r\n\r\n")
    assert client.rest() == b"12345678"


def test_a_stream_that_fails_before_its_first_byte_is_an_error_with_a_status(running: Running) -> None:
    client = running.client()
    status, _, body = client.get("/fails-first")
    assert (status, error(body)) == (500, "the engine broke off")
    assert client.get("/ping")[0] == 200
    assert running.service.streams_closed.acquire(timeout=5)


@pytest.mark.parametrize("target", ["/fails-later", "/short", "/long"])
def test_a_stream_that_breaks_off_cannot_be_taken_for_a_whole_one(running: Running, target: str) -> None:
    client = running.client()
    client.send(get(target))
    head = client.until(b"\r\n\r\n")
    rest = client.rest()
    assert not rest.endswith(b"0\r\n\r\n")
    if b"Content-Length: " in head:
        announced = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
        assert len(rest) < announced
    assert running.service.streams_closed.acquire(timeout=5)


def test_a_stream_without_length_or_chunks_that_breaks_off_does_not_end_properly(running: Running) -> None:
    client = running.client()
    client.send(b"GET /fails-later HTTP/1.0\r\n\r\n")
    client.until(b"\r\n\r\n1234")
    with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
        client.socket.recv(1)


def test_a_reader_that_stops_reading_is_dropped_and_its_stream_closed(hasty: Running) -> None:
    client = hasty.client()
    client.send(get("/endless"))
    assert hasty.service.streams_closed.acquire(timeout=20)


# -- TLS --


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(start: Start, version: ssl.TLSVersion) -> None:
    running, context = start(tls=True), trusting()
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", running.server.port)) as raw, context.wrap_socket(raw) as client:
        client.sendall(get())
        assert client.recv(12) == b"HTTP/1.1 200"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_1_1_is_refused(start: Start) -> None:
    running, context = start(tls=True), trusting()
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    raw = socket.create_connection(("127.0.0.1", running.server.port))
    with raw, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(raw)


def test_the_end_of_a_tls_connection_can_be_told_from_a_break(start: Start) -> None:
    running = start(tls=True)
    context = trusting()
    with socket.create_connection(("127.0.0.1", running.server.port)) as raw:
        client = context.wrap_socket(raw, suppress_ragged_eofs=False)
        client.sendall(get("/ping", "Connection: close"))
        while client.recv(65536):  # a break would raise SSLEOFError
            pass
        client.close()


def test_a_client_that_speaks_http_to_a_tls_port_is_told_so(start: Start) -> None:
    client = start(tls=True).client(tls=False)
    client.send(get())
    status, _, body = client.answer()
    assert (status, error(body)) == (400, "this port speaks TLS: use https")


def test_a_client_that_speaks_tls_to_a_plain_port_is_refused(plain: Running) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        plain.client(tls=True)
    assert plain.client().get()[0] == 200


def test_a_handshake_that_trickles_is_cut_by_its_limit_as_a_whole(start: Start) -> None:
    running = start(tls=True, limits=HASTY)
    client = running.client(tls=False)
    began = time.monotonic()
    client.send(b"\x16\x03\x01\x02\x00\x01")
    with contextlib.suppress(ConnectionError):
        while not client.is_closed_within(0.2):
            client.send(b"\x00")
            assert time.monotonic() - began < 10
    wait_for(lambda: running.server.connections.count() == 0)


def test_nonsense_instead_of_a_handshake_closes_that_connection_only(start: Start) -> None:
    running = start(tls=True)
    client = running.client(tls=False)
    client.send(b"\x00" * 100)
    client.rest()
    assert running.client().get()[0] == 200


# -- caps --


def test_past_the_cap_a_newcomer_is_told_to_come_back(start: Start) -> None:
    for tls in (False, True):
        running = start(tls=tls, most=2)
        for _ in range(2):
            running.client().send(get("/wait"))
            assert running.service.waiting.acquire(timeout=5)
        client = running.client()
        status, fields, body = client.get()
        assert (status, fields["retry-after"], fields["connection"]) == (503, "5", "close")
        assert "connections" in error(body)
        running.service.gate.set()
        wait_for(lambda running=running: running.server.connections.count(Phase.BUSY) == 0)  # type: ignore[misc]
        assert running.client().get()[0] == 200


def test_an_idle_connection_gives_way_to_a_newcomer(start: Start) -> None:
    running = start(most=2, limits=replace(DEFAULT, idle=60.0))
    first, second = running.client(), running.client()
    for number, client in enumerate((first, second), 1):
        assert client.get()[0] == 200
        wait_for(lambda number=number: running.server.connections.count(Phase.IDLE) == number)  # type: ignore[misc]
    assert running.client().get()[0] == 200
    assert first.is_closed_within(5)
    assert second.get()[0] == 200


def test_those_told_to_come_back_are_few_and_the_others_are_closed(start: Start) -> None:
    running = start(most=1, limits=replace(DEFAULT, refusals=2, refusal=30.0))
    running.client().send(get("/wait"))
    assert running.service.waiting.acquire(timeout=5)
    told = [running.client() for _ in range(2)]
    assert running.client().is_closed_within(5)
    assert [client.get()[0] for client in told] == [503, 503]


def test_a_client_that_leaves_while_it_is_answered_disturbs_nobody(running: Running) -> None:
    client: Client = running.client()
    client.send(get("/wait"))
    assert running.service.waiting.acquire(timeout=5)
    client.close()
    running.service.gate.set()
    wait_for(lambda: running.server.connections.count() == 0)
    assert running.client().get()[0] == 200
