"""What of the calls for files needs no container: headers, fields, limits. The rest is in tests/integration."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import cast
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.api import files
from dockpal_agent.api.agent import Agent
from dockpal_agent.api.errors import NotAvailable
from dockpal_agent.api.files import disposition
from dockpal_agent.api.messages import Body, Request
from dockpal_agent.config import Config
from dockpal_agent.files.errors import TooLarge


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("app.conf", 'attachment; filename="app.conf"'),
        ("a b (1).txt", 'attachment; filename="a b (1).txt"'),
        ("ü", "attachment; filename=\"_\"; filename*=UTF-8''%C3%BC"),
        ('a"b\\c', "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc"),
        ("50%.txt", "attachment; filename=\"50_.txt\"; filename*=UTF-8''50%25.txt"),
        ("", "attachment; filename=\"download\"; filename*=UTF-8''"),
    ],
)
def test_a_download_is_named_like_the_file(name: str, value: str) -> None:
    assert disposition(name) == value


@given(st.text(min_size=1, max_size=60))
def test_no_name_breaks_out_of_its_header_and_it_can_be_read_back(name: str) -> None:
    name = name.encode("utf-8", "replace").decode()

    found = re.fullmatch(
        r"""attachment; filename="([^"\\%\x00-\x1f\x7f-\uffff]+)"(?:; filename\*=UTF-8''([\w%!#$&+.^`|~-]*))?""",
        disposition(name),
    )

    assert found is not None
    assert (found[1] if found[2] is None else unquote(found[2])) == name


class Parts:
    """What the handlers look at before they ask for a container."""

    config = Config(upload_limit=1 << 20, data_dir=Path("/nowhere"))


AGENT = cast(Agent, Parts())


def posted(data: bytes, kind: str = "application/json", length: int | None = None) -> Request:
    whole = Body.of(data)
    return Request("POST", "/", body=Body(whole.read_some, len(data) if length is None else length, kind))


def test_a_body_that_is_announced_as_too_long_is_not_read() -> None:
    def never(most: int) -> bytes:
        raise AssertionError("it was read")

    for handler, length in ((files.upload, 2 << 20), (files.write_file, 20 << 20)):
        with pytest.raises(TooLarge, match=r"file too large \(max 1MB\)"):
            handler(AGENT, Request("POST", "/", body=Body(never, length, "multipart/form-data; boundary=B")))


@pytest.mark.parametrize("encoding", ["utf-8", "base64"])
def test_a_content_past_the_limit_is_refused_in_both_encodings(encoding: str) -> None:
    length = (1 << 20) + 1 if encoding == "utf-8" else ((1 << 20) // 3 + 1) * 4
    body = b'{"container":"c","path":"/x","encoding":"%s","content":"%s"}' % (encoding.encode(), b"A" * length)

    with pytest.raises(TooLarge, match=r"file too large \(max 1MB\)"):
        files.write_file(AGENT, posted(body))


def test_past_the_cap_of_bodies_at_once_the_answer_is_come_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PLACES", threading.BoundedSemaphore(1))
    monkeypatch.setattr(files, "PLACE_LIMIT", 0.01)

    with files._place(), pytest.raises(NotAvailable) as refused:
        files.write_file(AGENT, posted(b"{}"))

    assert refused.value.headers == {"Retry-After": "10"}
