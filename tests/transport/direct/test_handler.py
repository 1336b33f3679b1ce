"""Answers over a real connection, plain and TLS."""

from __future__ import annotations

import json

from tests.transport.direct.conftest import Running


def test_a_json_answer_has_its_type_and_length_and_the_connection_is_kept(running: Running) -> None:
    client = running.client()
    status, fields, body = client.get("/ping")
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert fields["content-type"] == "application/json"
    assert "connection" not in fields
    assert client.get("/ping")[0] == 200
