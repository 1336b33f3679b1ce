from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.transport.edge.address import CONNECT_PATH, Address


@pytest.mark.parametrize(
    ("text", "url", "origin"),
    [
        ("wss://dock.example.com:3012", "wss://dock.example.com:3012", "https://dock.example.com:3012"),
        ("ws://dock.example.com:3012/", "ws://dock.example.com:3012", "http://dock.example.com:3012"),
        ("https://dock.example.com", "wss://dock.example.com", "https://dock.example.com"),
        ("http://dock.example.com:80", "ws://dock.example.com", "http://dock.example.com"),
        ("wss://dock.example.com:443", "wss://dock.example.com", "https://dock.example.com"),
        ("ws://dock.example.com:443", "ws://dock.example.com:443", "http://dock.example.com:443"),
        ("WSS://Dock.Example.COM:3012", "wss://dock.example.com:3012", "https://dock.example.com:3012"),
        ("wss://[2001:DB8::1]:3012", "wss://[2001:db8::1]:3012", "https://[2001:db8::1]:3012"),
        ("wss://bücher.example", "wss://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("  wss://dock.example.com\n", "wss://dock.example.com", "https://dock.example.com"),
    ],
)
@pytest.mark.parametrize("path", ["", CONNECT_PATH, CONNECT_PATH + "/"])
def test_every_form_of_address_leads_to_the_connect_path_with_origin_equal_to_host(
    text: str, url: str, origin: str, path: str
) -> None:
    base = text.strip().rstrip("/")
    address = Address.parse(base + path if path else text)

    assert address.url == url + CONNECT_PATH
    assert address.origin == origin
    assert address.origin.split("://")[1] == address.authority


def test_a_path_before_the_connect_path_is_kept() -> None:
    assert Address.parse("https://example.com/dockpal/").path == "/dockpal" + CONNECT_PATH
    assert Address.parse("https://example.com/dockpal" + CONNECT_PATH).path == "/dockpal" + CONNECT_PATH


def test_a_query_is_dropped_so_that_no_token_travels_in_the_url() -> None:
    assert Address.parse("wss://example.com/api/agent/connect?token=secret#x").url == "wss://example.com" + CONNECT_PATH


@pytest.mark.parametrize("text", ["", "example.com:3012", "ftp://example.com", "wss://", "wss://ex ample.com",
                                  "wss://example.com:99999", "wss://example.com/a b", "wss://[::1"])  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Address.parse(text)


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert address.authority.isprintable() and address.path.endswith(CONNECT_PATH)


@pytest.mark.parametrize(
    "text", ["ftp://user:secret@example.com", "example.com?token=secret", "wss://x/ä?token=secret"]
)
def test_what_is_said_of_a_wrong_address_repeats_no_secret(text: str) -> None:
    with pytest.raises(ValueError, match=r"address") as failure:
        Address.parse(text)
    assert "secret" not in str(failure.value)
