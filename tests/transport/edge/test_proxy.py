from __future__ import annotations

import pytest

from dockpal_agent.transport.edge.address import Address
from dockpal_agent.transport.edge.errors import ProxyFailed
from dockpal_agent.transport.edge.proxy import Proxy, proxy_for

SECURE = Address.parse("wss://dock.example.com:3443")
PLAIN = Address.parse("ws://10.1.2.3:3012")
PROXY = {"HTTPS_PROXY": "http://proxy:3128", "HTTP_PROXY": "http://other:8080"}


def test_wss_takes_the_https_proxy_and_ws_the_http_proxy() -> None:
    assert proxy_for(SECURE, PROXY) == Proxy("proxy", 3128)
    assert proxy_for(PLAIN, PROXY) == Proxy("other", 8080)
    assert proxy_for(SECURE, {}) is None


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("proxy:3128", Proxy("proxy", 3128)),
        ("http://proxy", Proxy("proxy", 80)),
        ("http://us%40er:p%3Aw@proxy:3128", Proxy("proxy", 3128, "us@er:p:w")),
        ("http://[::1]:3128", Proxy("::1", 3128)),
    ],
)
def test_a_proxy_is_written_with_scheme_or_without_and_with_credentials(text: str, proxy: Proxy) -> None:
    found = proxy_for(SECURE, {"https_proxy": text})
    assert found == proxy
    assert not proxy.credentials or proxy.credentials not in repr(found)


@pytest.mark.parametrize(
    "text",
    ["socks5://proxy:1080", "https://proxy:3128", "http://", "http://proxy:http", "http://[::1:3128", "http://prøxy:80",
     "http://user:p[ss@proxy:3128", "http://user:p/ss@proxy:3128"],
)  # fmt: skip
def test_a_proxy_that_cannot_be_used_is_said_and_not_passed_by(text: str) -> None:
    with pytest.raises(ProxyFailed, match="HTTPS_PROXY must be") as failure:
        proxy_for(SECURE, {"https_proxy": text})
    assert "ss@" not in str(failure.value), "no password is repeated"


@pytest.mark.parametrize(
    ("exceptions", "excepted"),
    [
        ("*", True),
        ("dock.example.com", True),
        ("DOCK.example.com", True),
        ("example.com", True),
        (".example.com", True),
        ("*.example.com", True),
        ("ample.com", False),
        ("dock.example.com:3443", True),
        ("dock.example.com:80", False),
        ("other.org, example.com", True),
        ("", False),
        (",", False),
        ("10.0.0.0/8", False),
    ],
)
def test_no_proxy_names_hosts_and_all_below_a_domain(exceptions: str, excepted: bool) -> None:
    assert (proxy_for(SECURE, {**PROXY, "NO_PROXY": exceptions}) is None) == excepted


@pytest.mark.parametrize(
    ("address", "exceptions", "excepted"),
    [
        ("ws://10.1.2.3:3012", "10.0.0.0/8", True),
        ("ws://10.1.2.3:3012", "10.1.2.3", True),
        ("ws://10.1.2.3:3012", "192.168.0.0/16", False),
        ("ws://[fd00::1]:3012", "fd00::/8", True),
        ("ws://[fd00::1]:3012", "[fd00::1]", True),
        ("ws://[fd00::1]:3012", "[fd00::1]:3012", True),
        ("ws://[fd00::1]:3012", "[fd00::1]:80", False),
    ],
)
def test_no_proxy_names_addresses_and_networks(address: str, exceptions: str, excepted: bool) -> None:
    assert (proxy_for(Address.parse(address), {**PROXY, "no_proxy": exceptions}) is None) == excepted
