from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dockpal_agent.transport.edge.diagnose import Check, diagnose
from tests.server_standin.server import StandIn
from tests.transport.edge.certificates import Authority, context
from tests.transport.edge.conftest import TOKEN


def outcomes(checks: list[Check]) -> list[tuple[str, bool]]:
    return [(check.name, check.ok) for check in checks]


def test_every_step_of_a_way_that_works_is_said_and_no_token_is_sent(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with StandIn(TOKEN, tls=context(*authority.issue("dockpal"))) as server:
        checks = list(diagnose(f"wss://localhost:{server.port}", ca_file=authority.certificate))

        assert outcomes(checks) == [(name, True) for name in ("address", "name", "tcp", "tls", "upgrade")]
        assert "127.0.0.1" in checks[1].text and "TLSv1.3" in checks[3].text
        assert server.first_messages == [] and server.lines == []


@pytest.mark.parametrize(
    ("address", "failed", "words"),
    [
        ("ftp://x", "address", "not a ws:// or wss://"),
        ("wss://no-such-host.invalid", "name", "was not found"),
        ("ws://127.0.0.1:1", "tcp", "connection refused"),
    ],
)
def test_the_step_that_fails_is_the_last_and_says_what_to_do(address: str, failed: str, words: str) -> None:
    checks = list(diagnose(address))
    assert [check.ok for check in checks] == [True] * (len(checks) - 1) + [False]
    assert checks[-1].name == failed and words in checks[-1].text


def test_an_untrusted_certificate_is_the_tls_steps_failure_and_named(tmp_path: Path) -> None:
    with StandIn(TOKEN, tls=context(*Authority(tmp_path).issue("dockpal"))) as server:
        checks = list(diagnose(f"wss://localhost:{server.port}"))
        assert outcomes(checks)[-1] == ("tls", False) and 'issued by "Test Authority"' in checks[-1].text
        checks = list(diagnose(f"wss://localhost:{server.port}", verify=False))
        assert outcomes(checks)[-1] == ("upgrade", True) and "NOT verified" in checks[-2].text


def test_a_refused_upgrade_is_the_last_steps_failure() -> None:
    with StandIn(TOKEN) as server:
        server.expected_host = "dockpal"
        assert outcomes(list(diagnose(f"ws://127.0.0.1:{server.port}")))[-1] == ("upgrade", False)


def test_a_proxy_is_a_step_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        proxy = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        checks = list(diagnose("ws://dock.example.com", environ={"HTTP_PROXY": proxy}, within=0.3))
        assert outcomes(checks) == [
            ("address", True), ("proxy", True), ("name", True), ("tcp", True), ("tunnel", False),
        ]  # fmt: skip
        for unusable in ("socks5://x", "http://user:p[ss@127.0.0.1:3128"):
            assert list(diagnose("ws://dock.example.com", environ={"HTTP_PROXY": unusable}))[-1].name == "proxy"


def test_a_proxy_that_does_not_answer_is_blamed_and_not_the_server() -> None:
    checks = list(diagnose("ws://dock.example.com", environ={"HTTP_PROXY": "http://127.0.0.1:1"}))
    assert outcomes(checks)[-1] == ("tcp", False) and "the proxy of HTTP_PROXY does not run there" in checks[-1].text
