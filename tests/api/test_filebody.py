"""A JSON body with a long content, cut into pieces of any size."""

from __future__ import annotations

import base64
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.api.errors import BadRequest
from dockpal_agent.api.filebody import decode_base64, read_fields
from dockpal_agent.api.messages import Body
from dockpal_agent.files.errors import TooLarge
from dockpal_agent.files.spool import Spool


def read(data: bytes, size: int = 3, limit: int = 1 << 20) -> tuple[dict[str, Any], bytes]:
    whole = Body.of(data)
    with Spool() as spool:
        fields = read_fields(Body(lambda most: whole.read_some(min(most, size)), len(data)), spool, limit)
        return fields, b"".join(spool.chunks())


TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=60)
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | TEXT, lambda more: st.lists(more, max_size=3))


@given(TEXT, st.dictionaries(TEXT, VALUES, max_size=4), st.booleans(), st.booleans(), st.integers(1, 50))
def test_content_and_fields_come_out_as_json_has_them(
    content: str, others: dict[str, Any], ascii_only: bool, first: bool, size: int
) -> None:
    others.pop("content", None)
    value = {"content": content, **others} if first else {**others, "content": content}
    data = json.dumps(value, ensure_ascii=ascii_only, indent=1 if size % 2 else None).encode()

    fields, spooled = read(data, size)

    assert fields == {**others, "content": ""}
    assert spooled == content.encode()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 13, 100])
def test_escapes_and_pairs_of_surrogates_are_one_character_wherever_they_are_cut(size: int) -> None:
    fields, spooled = read(rb'{"content":"\ud83d\udc0b\"\\\/\b\f\n\r\t\u00fc\u0000x"}', size)

    assert spooled == '🐋"\\/\b\f\n\r\tü\0x'.encode()
    assert fields == {"content": ""}


def test_a_content_further_down_is_no_content() -> None:
    fields, spooled = read(b'{"path":{"content":"x"},"list":["content"]}')

    assert (fields, spooled) == ({"path": {"content": "x"}, "list": ["content"]}, b"")


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_an_empty_body_is_an_empty_object(body: bytes) -> None:
    assert read(body) == ({}, b"")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b'{"content":"x"', "not valid JSON"),
        (b'{"content":"x', "does not end"),
        (b'{"content":"x\\', "does not end"),
        (b'{"content":"x\n....................."}', "does not allow"),
        (b'{"content":"\\q....................."}', "does not allow"),
        (b'{"content":"\\ud83d"}', "not valid Unicode"),
        (b'{"content":"\\udc0b\\ud83d"}', "not valid Unicode"),
        (b'{"content":"\xff"}', "not UTF-8"),
        (b'{"content":"\xc3', "not UTF-8"),
        (b'{"content":"a","content":"b"}', "more than one"),
        (b'{"path":"x', "does not end"),
        (b'{"path":"' + b"x" * 70000 + b'"}', "too long"),
        (b'{"a":' + b"1," * 70000, "too long"),
        (b"[" * 5000, "nested"),
    ],
)
@pytest.mark.parametrize("size", [100, 4096])
def test_what_is_no_json_is_refused_with_the_reason(body: bytes, reason: str, size: int) -> None:
    with pytest.raises(BadRequest, match=reason):
        read(body, size)


def test_a_content_that_is_no_string_is_left_to_the_caller_to_refuse() -> None:
    assert read(b'{"content": null}') == ({"content": None}, b"")
    assert read(b'{"content": 5}') == ({"content": 5}, b"")


def test_a_content_past_the_limit_is_too_large_whatever_its_escapes() -> None:
    assert read(b'{"content":"\\u0041\\u0041"}', limit=2)[1] == b"AA"
    with pytest.raises(TooLarge):
        read(b'{"content":"AAA"}', limit=2)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_base64_is_decoded_from_spool_to_spool(data: bytes, size: int) -> None:
    with Spool() as encoded, Spool() as decoded:
        text = base64.b64encode(data)
        encoded.fill(text[start : start + size] for start in range(0, len(text), size))

        decode_base64(encoded, decoded)

        assert b"".join(decoded.chunks()) == data


@pytest.mark.parametrize("text", [b"A", b"====", b"A=BC", b"!!!!", b"QUI"])
def test_what_is_no_base64_is_refused(text: bytes) -> None:
    with Spool() as encoded, Spool() as decoded:
        encoded.write(text)

        with pytest.raises(BadRequest, match="not base64"):
            decode_base64(encoded, decoded)


def test_a_long_content_is_not_held_in_memory() -> None:
    blocks = iter([b'{"content":"', *[b"x" * 65536] * 400, b'"}', b""])

    tracemalloc.start()
    with Spool() as spool:
        read_fields(Body(lambda most: next(blocks)), spool, 1 << 30)
        peak = tracemalloc.get_traced_memory()[1]
        assert spool.size == 400 * 65536
    tracemalloc.stop()

    assert peak < 2 << 20
