"""multipart/form-data, cut into pieces of any size."""

from __future__ import annotations

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.api.errors import BadRequest, UnsupportedMediaType
from dockpal_agent.api.messages import Body
from dockpal_agent.api.multipart import parts

TYPE = "multipart/form-data; boundary=XX"


def in_pieces(data: bytes, size: int, content_type: str = TYPE) -> Body:
    """A body that gives at most `size` bytes at a time, as a slow line does."""
    whole = Body.of(data)
    return Body(lambda most: whole.read_some(min(most, size)), len(data), content_type)


def read(data: bytes, size: int = 7, content_type: str = TYPE) -> list[tuple[str, str | None, bytes]]:
    return [(part.name, part.filename, b"".join(part.chunks)) for part in parts(in_pieces(data, size, content_type))]


def part(disposition: str, content: bytes, more: str = "") -> bytes:
    return f"--XX\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n".encode() + content + b"\r\n"


@given(
    st.lists(st.tuples(st.sampled_from(["file", "path", "x"]), st.binary(max_size=200)), max_size=4),
    st.integers(1, 70),
)
def test_whatever_a_client_packs_comes_out_however_it_is_cut(files: list[tuple[str, bytes]], size: int) -> None:
    request = requests.Request("POST", "http://x/", files=[(name, ("n", data)) for name, data in files] or {"e": b""})
    prepared = request.prepare()
    assert isinstance(prepared.body, bytes)

    found = read(prepared.body, size, prepared.headers["Content-Type"])

    assert found == ([(name, "n", data) for name, data in files] or [("e", "e", b"")])


@pytest.mark.parametrize(
    "content", [b"", b"\r\n", b"--XX", b"\r\n--X", b"\r\n--\r\n--XY", b"--XX--", b"\n--XX\n", b"\r\r\n"]
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_content_that_looks_like_the_delimiter_is_content(content: bytes, size: int) -> None:
    body = part('name="file"', content) + part('name="path"', b"/a") + b"--XX--\r\n"

    assert read(body, size) == [("file", None, content), ("path", None, b"/a")]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('name="file"; filename="a b.txt"', "a b.txt"),
        ('filename="x"; name="file"', "x"),
        ("name=file; filename=plain", "plain"),
        (r'name="file"; filename="a\"b\\c\d"', 'a"b\\c\\d'),
        ('name="file"; filename="a%22b%20"', 'a"b%20'),
        ('name="file"; filename="ü;🐋"', "ü;🐋"),
        ('name="file"; filename="u"; filename*=UTF-8\'\'%C3%BC%20x', "ü x"),
        ('name="file"; filename=""', ""),
        ('name="file"', None),
    ],
)
def test_a_files_name_is_read_in_the_forms_that_clients_use(disposition: str, name: str | None) -> None:
    assert read(part(disposition, b"x") + b"--XX--") == [("file", name, b"x")]


def test_preamble_epilogue_folded_fields_and_blanks_after_a_delimiter_are_taken_as_the_rfc_says() -> None:
    header = b'content-disposition: form-data;\r\n name="a"\r\nContent-Type: x/y\r\n\r\n'
    body = b"hello\r\n--XX \t\r\n" + header + b"1\r\n--XX--\r\nbye"

    assert read(body) == [("a", None, b"1")]


def test_what_a_caller_does_not_read_is_skipped() -> None:
    body = part('name="a"', b"x" * 1000) + part('name="b"', b"2") + b"--XX--"

    assert [part.name for part in parts(in_pieces(body, 10))] == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "ends too early"),
        (b"--XX\r\n", "ends too early"),
        (part('name="a"', b"x"), "ends too early"),
        (part('name="a"', b"x") + b"--XX-", "ends too early"),
        (b"--XXfoo\r\n\r\n\r\n--XX--", "malformed delimiter"),
        (b"--XX\r\n\r\nx\r\n--XX--", "no Content-Disposition"),
        (b'--XX\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n--XX--', "no Content-Disposition"),
        (part('filename="a"', b"x") + b"--XX--", "no name"),
        (b"--XX\r\nA: " + b"x" * 20000 + b"\r\n\r\nx\r\n--XX--", "header is too long"),
        (part('name="a"', b"") * 65 + b"--XX--", "more than 64 parts"),
        (b'--XX\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--XX--', "not UTF-8"),
    ],
)
def test_a_body_that_breaks_the_grammar_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        read(body, 4096)


def test_another_kind_of_body_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        read(b"{}", content_type="application/json")
    with pytest.raises(BadRequest, match="boundary"):
        read(b"", content_type="multipart/form-data")


def test_a_field_that_is_read_as_text_has_a_limit() -> None:
    field = next(parts(in_pieces(part('name="path"', b"x" * 20000) + b"--XX--", 4096)))

    with pytest.raises(BadRequest, match="too long"):
        field.text()
