"""Requests as values: bodies with limits, queries, JSON from outside."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.api.errors import BadRequest, BodyTooLarge
from dockpal_agent.api.messages import Body, Json, Query, Request, parse_json


def test_a_body_announced_as_too_long_is_refused_before_it_is_read() -> None:
    def read_some(most: int) -> bytes:
        raise AssertionError("it was read")

    with pytest.raises(BodyTooLarge):
        Body(read_some, length=11).read(10)


def test_a_body_that_grows_too_long_is_refused_at_the_limit() -> None:
    given_out = []

    def read_some(most: int) -> bytes:
        given_out.append(most)
        return b"x" * most

    with pytest.raises(BodyTooLarge):
        Body(read_some).read(100)
    assert sum(given_out) == 101


def test_an_empty_body_is_an_empty_object() -> None:
    assert Request("POST", "/x").json() == {}
    assert Request("POST", "/x", body=Body.of(b"  \n")).json() == {}
    assert Request("POST", "/x", body=Body.of(b"null")).json() == {}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b'"\xff"', "not UTF-8"),
        (b"[" * 100000, "nested deeper"),
        (b'{"a":' * 100, "nested deeper"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused_in_words(data: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        Request("POST", "/x", body=Body.of(data)).json()


def test_brackets_inside_strings_do_not_count_as_nesting() -> None:
    value = {"compose": "[{" * 1000 + '"' + "\\"}

    assert parse_json(json.dumps(value).encode()) == value


def test_deep_nesting_is_refused_in_a_thread_with_a_small_stack() -> None:
    seen: list[str] = []

    def work() -> None:
        try:
            parse_json(b"[" * 1000000)
        except BadRequest as error:
            seen.append(str(error))

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)
    finally:
        threading.stack_size(before)
    assert seen == ["the JSON is nested deeper than 64 levels"]


def test_query_parameters_are_decoded_and_the_first_of_a_repeated_one_counts() -> None:
    query = Query.parse("a=1%2B2&b=&a=3&c=x+y")

    assert dict(query) == {"a": "1+2", "b": "", "c": "x y"}


@pytest.mark.parametrize("text", ["a=%ff", "&".join(f"a{i}=1" for i in range(100))])
def test_a_query_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        Query.parse(text)


def test_flags_seconds_and_numbers_say_what_they_accept() -> None:
    query = Query({"all": "true", "bad": "maybe", "timeout": "1m30s", "limit": "7", "long": "99999"})

    assert query.flag("all") is True
    assert query.flag("none") is False
    assert query.seconds("timeout") == 90.0
    assert query.seconds("none") is None
    assert query.integer("limit", 50, least=1, most=1000) == 7
    with pytest.raises(BadRequest, match="bad must be true or false"):
        query.flag("bad")
    with pytest.raises(BadRequest, match="long must be a time between 0 and 3600 seconds"):
        query.seconds("long")
    with pytest.raises(BadRequest, match="long must be a whole number from 1 to 1000"):
        query.integer("long", 50, least=1, most=1000)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_what_is_encoded_decodes_to_the_same(value: object) -> None:
    assert json.loads(Json(value).encode()) == value


def test_a_file_name_that_is_not_utf8_still_makes_valid_json() -> None:
    assert json.loads(Json({"name": "a\udcff"}).encode()) == {"name": "a\udcff"}
