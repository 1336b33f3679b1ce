from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.transport.edge.envelope import Answer, NotARequest, error_answer, read_request
from dockpal_agent.transport.edge.limits import MESSAGE_LIMIT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def message(**fields: Any) -> str:
    return json.dumps({"request_id": "r1", "method": "GET", "path": "/ping", **fields})


def test_a_request_is_read_with_its_query_and_body() -> None:
    incoming = read_request(message(method="post", path="/docker/images/pull", query={"image": "a+b"}, body={"x": [1]}))
    request = incoming.request()

    assert (incoming.request_id, request.method, request.target) == ("r1", "POST", "/docker/images/pull")
    assert request.query["image"] == "a+b" and request.json() == {"x": [1]}
    assert (request.peer, request.upgrade) == ("", False)


@pytest.mark.parametrize("absent", [{}, {"query": None, "body": None}])
def test_query_and_body_may_be_absent_or_null(absent: dict[str, Any]) -> None:
    request = read_request(message(**absent)).request()
    assert dict(request.query) == {} and request.body.length == 0


def test_a_query_in_the_path_is_read_too_and_the_field_wins() -> None:
    incoming = read_request(message(path="/a?tail=5&all=true", query={"all": "false"}))
    assert incoming.target == "/a" and dict(incoming.query) == {"tail": "5", "all": "false"}


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "1", "null", '"x"', '{"a":NaN}', "[" * 100_000, "{}",
                                  '{"type":"heartbeat"}', '{"request_id":7,"method":"GET","path":"/"}',
                                  '{"request_id":"","method":"GET","path":"/"}'])  # fmt: skip
def test_what_has_no_usable_id_is_not_a_request_and_cannot_be_answered(text: str) -> None:
    with pytest.raises(NotARequest) as raised:
        read_request(text)
    assert raised.value.request_id is None


@pytest.mark.parametrize(
    "fields",
    [{"path": "/\ud83d"},
     {"method": 1}, {"method": ""}, {"path": None}, {"path": ["/"]}, {"query": []}, {"query": {"a": 1}},
     {"query": {"stream": "perhaps"}}],
)  # fmt: skip
def test_a_wrong_field_beside_a_usable_id_can_be_answered(fields: dict[str, Any]) -> None:
    with pytest.raises(NotARequest) as raised:
        read_request(message(**fields))
    assert raised.value.request_id == "r1"


@given(st.text())
def test_any_text_is_a_request_or_not_one(text: str) -> None:
    try:
        read_request(text)
    except NotARequest:
        pass


@given(JSON)
def test_any_json_is_a_request_or_not_one(value: Any) -> None:
    try:
        read_request(json.dumps(value))
    except NotARequest:
        pass


def test_the_same_question_has_the_same_key_whatever_its_id_and_the_order_of_its_fields() -> None:
    def key(**fields: Any) -> bytes:
        return read_request(message(**fields)).key

    asked: dict[str, Any] = {"query": {"a": "1", "b": "2"}, "body": {"x": 1, "y": 2}}
    assert key(**asked) == key(request_id="r2", query={"b": "2", "a": "1"}, body={"y": 2, "x": 1})
    others: list[dict[str, Any]] = [{"method": "PUT"}, {"path": "/pong"}, {"query": {"a": "1"}}, {"body": {"x": 1}}]
    assert len({key(**{**asked, **other}) for other in others} | {key(**asked)}) == 5


@given(st.text(), JSON, st.none() | st.text())
def test_an_answer_is_a_json_object_of_the_right_types(request_id: str, body: Any, data: Any) -> None:
    answer = Answer.of(200, body, data)
    value = json.loads(answer.to(request_id))

    assert value["request_id"] == request_id and value["status"] == 200 and value["stream"] is False
    assert value["body"] == body and value.get("data") == data


@pytest.mark.parametrize("body", [float("nan"), float("inf"), {"x": {1, 2}}, {"x": b"bytes"}])
def test_what_is_not_json_becomes_an_error_and_never_reaches_the_line(body: Any) -> None:
    answer = Answer.of(200, body)
    assert answer.status == 500 and "error" in json.loads(answer.to("r"))["body"]


def test_an_answer_beyond_the_lines_limit_becomes_an_error_with_its_size() -> None:
    answer = Answer.of(200, "x" * MESSAGE_LIMIT)
    assert answer.status == 413 and str(MESSAGE_LIMIT) in json.loads(answer.to("r"))["body"]["error"]
    assert len(Answer.of(200, "x" * (MESSAGE_LIMIT - 8192)).to("r" * 256)) <= MESSAGE_LIMIT


def test_an_events_data_may_be_empty_and_its_chunk_is_a_number() -> None:
    assert json.loads(Answer(200, stream=True, chunk=3, data="").to("r")) == {
        "request_id": "r", "status": 200, "stream": True, "chunk": 3, "data": "",
    }  # fmt: skip


def test_an_error_is_an_object_with_one_text() -> None:
    assert json.loads(error_answer(503, 'a "b"').to("r"))["body"] == {"error": 'a "b"'}
