"""The strictness of a request's head, as tables: what is read, and what is refused with which status."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.transport.direct.head import Head, HeadError, parse_head, read_head
from dockpal_agent.transport.direct.limits import Limits

LIMITS = Limits()


def parse(text: bytes) -> Head:
    lines = read_head(io.BytesIO(text), LIMITS)
    assert lines is not None
    return parse_head(lines)


def request(*fields: bytes, line: bytes = b"GET /ping HTTP/1.1", host: bytes = b"Host: agent\r\n") -> bytes:
    return line + b"\r\n" + host + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def test_a_plain_request_is_read_into_its_parts() -> None:
    head = parse(request(b"X-One:  two \t", b"Accept: a", b"accept: b", line=b"GET /a%20b?x=1&y=?/ HTTP/1.1"))
    assert (head.method, head.target, head.query, head.minor) == ("GET", "/a%20b", "x=1&y=?/", 1)
    assert head.fields == {"host": "agent", "x-one": "two", "accept": "a, b"}
    assert (head.length, head.keep_alive, head.expects_continue) == (0, True, False)


def test_an_empty_line_before_a_request_is_forgiven_once() -> None:
    assert parse(b"\r\n" + request()).target == "/ping"
    with pytest.raises(HeadError):
        parse(b"\r\n\r\n" + request())


def test_nothing_at_all_is_no_request() -> None:
    assert read_head(io.BytesIO(b""), LIMITS) is None


@pytest.mark.parametrize(
    ("line", "target", "query"),
    [
        (b"GET http://agent/ping?a=b HTTP/1.1", "/ping", "a=b"),
        (b"GET HTTPS://agent:9273 HTTP/1.1", "/", ""),
        (b"OPTIONS * HTTP/1.1", "*", ""),
        (b"GET //two HTTP/1.1", "//two", ""),
        (b"GET /ping? HTTP/1.0", "/ping", ""),
    ],
)
def test_the_forms_of_a_request_target(line: bytes, target: str, query: str) -> None:
    head = parse(request(line=line))
    assert (head.target, head.query) == (target, query)


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ((), 0),
        ((b"Content-Length: 0",), 0),
        ((b"Content-Length: 12345678901234567",), 12345678901234567),
        ((b"Transfer-Encoding: chunked",), None),
        ((b"Transfer-Encoding: Chunked",), None),
    ],
)
def test_the_length_of_a_body(fields: tuple[bytes, ...], length: object) -> None:
    assert parse(request(*fields, line=b"POST / HTTP/1.1")).length == length


@pytest.mark.parametrize(
    ("line", "fields", "kept"),
    [
        (b"GET / HTTP/1.1", (), True),
        (b"GET / HTTP/1.1", (b"Connection: close",), False),
        (b"GET / HTTP/1.1", (b"Connection: foo, Close",), False),
        (b"GET / HTTP/1.0", (), False),
        (b"GET / HTTP/1.0", (b"Connection: keep-alive",), True),
        (b"GET / HTTP/1.0", (b"Connection: keep-alive, close",), False),
    ],
)
def test_when_a_connection_may_be_kept(line: bytes, fields: tuple[bytes, ...], kept: bool) -> None:
    assert parse(request(*fields, line=line)).keep_alive is kept


MALFORMED: dict[str, tuple[bytes, int]] = {
    "two lengths": (request(b"Content-Length: 5", b"Content-Length: 5"), 400),
    "conflicting lengths": (request(b"Content-Length: 5", b"Content-Length: 6"), 400),
    "a list of lengths": (request(b"Content-Length: 5, 5"), 400),
    "a signed length": (request(b"Content-Length: +5"), 400),
    "a negative length": (request(b"Content-Length: -5"), 400),
    "a length in hex": (request(b"Content-Length: 0x5"), 400),
    "an empty length": (request(b"Content-Length:"), 400),
    "a length in other digits": (request("Content-Length: \u0665".encode()), 400),
    "a huge length": (request(b"Content-Length: " + b"9" * 19), 400),
    "length and coding": (request(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400),
    "coding and length": (request(b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400),
    "two codings": (request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400),
    "chunked twice": (request(b"Transfer-Encoding: chunked, chunked"), 400),
    "chunked not last": (request(b"Transfer-Encoding: chunked, gzip"), 400),
    "an empty coding": (request(b"Transfer-Encoding:"), 400),
    "a coding that starts with a control character": (request(b"Transfer-Encoding: \x0bchunked"), 400),
    "gzip": (request(b"Transfer-Encoding: gzip, chunked"), 501),
    "identity": (request(b"Transfer-Encoding: identity"), 501),
    "xchunked": (request(b"Transfer-Encoding: xchunked"), 501),
    "chunked in HTTP/1.0": (request(b"Transfer-Encoding: chunked", line=b"GET / HTTP/1.0"), 400),
    "a folded field": (request(b"X-A: b", b" c"), 400),
    "a space before the colon": (request(b"X-A : b"), 400),
    "a space before the name": (request(b" X-A: b"), 400),
    "no colon": (request(b"X-A"), 400),
    "no name": (request(b": b"), 400),
    "NUL in a value": (request(b"X-A: b\x00c"), 400),
    "NUL in a name": (request(b"X\x00A: b"), 400),
    "a carriage return in a value": (request(b"X-A: b\rc"), 400),
    "a bare line feed": (b"GET / HTTP/1.1\nHost: agent\n\n", 400),
    "a bare line feed in the fields": (b"GET / HTTP/1.1\r\nHost: agent\nX: y\r\n\r\n", 400),
    "no host": (request(host=b""), 400),
    "two hosts": (request(b"Host: other"), 400),
    "a host with a space": (request(host=b"Host: a b\r\n"), 400),
    "a host with a path": (request(host=b"Host: a/b\r\n"), 400),
    "two authorizations": (request(b"Authorization: Bearer a", b"Authorization: Bearer b"), 400),
    "two content types": (request(b"Content-Type: a/b", b"Content-Type: a/b"), 400),
    "a fragment": (request(line=b"GET /a#b HTTP/1.1"), 400),
    "no target": (request(line=b"GET HTTP/1.1"), 400),
    "two spaces": (request(line=b"GET  / HTTP/1.1"), 400),
    "a tab": (request(line=b"GET\t/ HTTP/1.1"), 400),
    "a space at the end": (request(line=b"GET / HTTP/1.1 "), 400),
    "a relative target": (request(line=b"GET ping HTTP/1.1"), 400),
    "a foreign scheme": (request(line=b"GET ftp://agent/ HTTP/1.1"), 400),
    "an impossible authority": (request(line=b"GET http://[ HTTP/1.1"), 400),
    "a target in UTF-8": (request(line="GET /\u00e4 HTTP/1.1".encode()), 400),
    "the authority form": (request(line=b"CONNECT agent:1 HTTP/1.1"), 501),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "a lower-case protocol": (request(line=b"GET / http/1.1"), 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    "a long request line": (request(line=b"GET /" + b"a" * 20000 + b" HTTP/1.1"), 414),
    "a long field": (request(b"X: " + b"a" * 40000), 431),
    "large fields": (request(*(b"X: " + b"a" * 1000 for _ in range(40))), 431),
    "many fields": (request(*(b"X: a" for _ in range(101))), 431),
    "an unknown expectation": (request(b"Expect: 200-ok"), 417),
    "a long method": (request(line=b"A" * 33 + b" / HTTP/1.1"), 501),
    "an end within the line": (b"GET / HT", 400),
    "an end within the fields": (b"GET / HTTP/1.1\r\nHost: agent\r\n", 400),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_two_parsers_could_read_differently_is_refused(what: str) -> None:
    text, status = MALFORMED[what]
    with pytest.raises(HeadError) as caught:
        parse(text)
    assert caught.value.status == status


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_and_nothing_else(data: bytes) -> None:
    try:
        parse(b"GET / HTTP/1.1\r\nHost: a\r\n" + data + b"\r\n\r\n")
        read_head(io.BytesIO(data), LIMITS)
    except HeadError as error:
        status = error.status
    else:
        status = 400
    assert status in (400, 414, 417, 431, 501, 505)


def test_a_value_of_spaces_is_read_in_linear_time() -> None:
    assert parse(request(b"X: a" + b" \t" * 16000 + b"b")).fields["x"].endswith("b")
