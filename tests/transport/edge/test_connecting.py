"""From the address to the first request, and what is said when it does not come to that."""

from __future__ import annotations

import errno
import json
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockpal_agent.transport.edge.address import CONNECT_PATH
from dockpal_agent.transport.edge.line import EdgeLine
from dockpal_agent.transport.edge.state import State
from tests.server_standin.server import BOUND, StandIn, wait_until
from tests.transport.edge.certificates import Authority, context
from tests.transport.edge.conftest import TOKEN, Starter
from tests.transport.edge.toy import ToyService


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secure_server(authority: Authority) -> Iterator[StandIn]:
    with StandIn(TOKEN, tls=context(*authority.issue("dockpal"))) as standin:
        yield standin


def said(caplog: pytest.LogCaptureFixture, words: str) -> str:
    """The one line of the log that has `words`."""

    def found() -> str:
        return next((record.getMessage() for record in caplog.records if words in record.getMessage()), "")

    line: str = wait_until(found, f"the log says {words!r}: {caplog.text}")
    assert "\n" not in line and TOKEN not in caplog.text
    return line


def serving(line: EdgeLine) -> None:
    wait_until(lambda: line.state is State.SERVING, "the line serves")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


@pytest.mark.parametrize("path", ["", "/", CONNECT_PATH])
def test_the_strict_server_takes_the_line_and_gets_its_host_info(server: StandIn, start: Starter, path: str) -> None:
    line = start(f"http://127.0.0.1:{server.port}{path}")

    assert server.line().reply("req-1").body == {"docker_version": "20.10", "agent_version": "0.1.0"}
    serving(line)
    assert server.origins == [f"http://127.0.0.1:{server.port}"]
    assert server.violations == []


def test_the_token_goes_into_the_first_message_and_nowhere_else(server: StandIn, start: Starter) -> None:
    start(server.port)
    server.line()

    assert server.first_messages == [json.dumps({"token": TOKEN})]
    assert server.targets == [CONNECT_PATH]


def test_the_line_goes_over_ipv6(start: Starter) -> None:
    with StandIn(TOKEN, host="::1") as server:
        serving(start(f"ws://[::1]:{server.port}"))
        assert server.origins == [f"http://[::1]:{server.port}"]


def test_a_name_is_resolved_and_used_in_host_and_origin(server: StandIn, start: Starter) -> None:
    serving(start(f"ws://localhost:{server.port}"))
    assert server.origins == [f"http://localhost:{server.port}"]


def test_tls_is_verified_against_the_given_authority(
    secure_server: StandIn, authority: Authority, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    line = start(f"wss://localhost:{secure_server.port}", ca_file=authority.certificate)
    serving(line)
    assert secure_server.origins == [f"https://localhost:{secure_server.port}"]
    assert "NOT verified" not in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_certificate_for_an_address_is_verified_and_one_without_it_refused(
    authority: Authority, start: Starter, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    with StandIn(TOKEN, tls=context(*authority.issue("dockpal")), host=host.strip("[]")) as server:
        serving(start(f"wss://{host}:{server.port}", ca_file=authority.certificate))
        assert server.origins == [f"https://{host}:{server.port}"]
    with StandIn(TOKEN, tls=context(*authority.issue("named", names="DNS:localhost")), host=host.strip("[]")) as server:
        start(f"wss://{host}:{server.port}", ca_file=authority.certificate, reconnect=60.0)
        said(caplog, "use the name that the certificate is for")
        assert server.upgrades == [] and server.first_messages == []


def test_an_untrusted_certificate_is_refused_with_its_issuer_and_the_remedy(
    secure_server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    start(f"wss://localhost:{secure_server.port}")

    line = said(caplog, "is not trusted")
    assert '"dockpal", issued by "Test Authority"' in line and "DOCKPAL_EDGE_CA_FILE" in line
    assert secure_server.upgrades == [] and secure_server.first_messages == []


def test_a_certificate_for_another_name_is_refused_with_the_remedy(
    authority: Authority, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    with StandIn(TOKEN, tls=context(*authority.issue("other", names="DNS:other.example"))) as server:
        start(f"wss://localhost:{server.port}", ca_file=authority.certificate)
        assert "use the name that the certificate is for" in said(caplog, "is not trusted")
        assert server.upgrades == []


def test_an_expired_certificate_is_refused_with_the_remedy(
    authority: Authority, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    with StandIn(TOKEN, tls=context(*authority.issue("old", days="-1"))) as server:
        start(f"wss://localhost:{server.port}", ca_file=authority.certificate)
        assert "check this host's clock" in said(caplog, "is not trusted")


def test_a_ca_file_that_cannot_be_read_is_named(
    secure_server: StandIn, start: Starter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    start(f"wss://localhost:{secure_server.port}", ca_file=tmp_path / "ca.pem")
    assert str(tmp_path / "ca.pem") in said(caplog, "DOCKPAL_EDGE_CA_FILE")


def test_without_verification_the_line_is_made_and_every_connect_warns(
    secure_server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    line = start(f"wss://localhost:{secure_server.port}", verify=False)
    secure_server.line().cut()
    secure_server.line(2)
    serving(line)

    warnings = [record for record in caplog.records if "NOT verified" in record.getMessage()]
    assert len(warnings) == 2 and all(record.levelno == logging.WARNING for record in warnings)


def test_plain_http_where_tls_was_asked_for_is_named_and_never_fallen_back_to(
    start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    came: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            """As Go's http.Server answers what is no HTTP."""
            try:
                while True:
                    sock, _ = plain.accept()
                    came.append(sock.recv(65536))
                    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request")
                    sock.close()
            except OSError:
                pass

        threading.Thread(target=answer, daemon=True).start()
        start(f"wss://127.0.0.1:{plain.getsockname()[1]}", reconnect=0.01)
        assert f"use ws://127.0.0.1:{plain.getsockname()[1]}" in said(caplog, "this is plain HTTP")
        wait_until(lambda: len(came) >= 3, "three tries")
        plain.shutdown(socket.SHUT_RDWR)

    assert all(data.startswith(b"\x16\x03") for data in came), "only TLS handshakes were ever sent"


def test_a_server_that_hangs_up_on_tls_is_asked_about_its_port(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    start(f"wss://127.0.0.1:{server.port}")
    said(caplog, "plain HTTP is ws://")
    assert server.upgrades == [] and server.first_messages == []


def test_tls_where_plain_http_was_asked_for_is_named(
    secure_server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    start(f"ws://127.0.0.1:{secure_server.port}")
    assert "did not answer the opening handshake" in said(caplog, "check the port")


def test_go_says_that_it_speaks_tls_and_so_do_we(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    server.refusals.append((400, {}, b"Client sent an HTTP request to an HTTPS server.\n"))
    start(server.port)
    said(caplog, f"use wss://127.0.0.1:{server.port}")


def test_a_name_that_is_not_found_is_said(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    start("wss://no-such-host.invalid:3012")
    assert "check DOCKPAL_EDGE_SERVER" in said(caplog, "the name no-such-host.invalid was not found")


def test_a_refused_connection_is_said(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    start(free_port())
    assert "the Server does not run there" in said(caplog, "connection refused")


def test_a_server_that_never_answers_the_handshake_is_given_up_in_time(
    start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        start(deaf.getsockname()[1], dial=0.2)
        said(caplog, "did not answer the opening handshake")


def test_a_server_that_answers_without_end_is_given_up(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as endless:

        def babble() -> None:
            sock, _ = endless.accept()
            with sock:
                try:
                    while True:
                        sock.sendall(b"x" * 65536)
                except OSError:
                    pass

        thread = threading.Thread(target=babble, daemon=True)
        thread.start()
        start(endless.getsockname()[1])
        said(caplog, "the answer is too long")
        thread.join(BOUND)


def test_403_names_origin_host_and_the_proxy_header_to_set(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    server.expected_host = "dockpal:3012"  # what a reverse proxy made of Host
    start(server.port)

    line = said(caplog, "(403)")
    assert f"Origin http://127.0.0.1:{server.port}" in line and "proxy_set_header Host $http_host" in line


def test_404_asks_whether_it_is_the_server(start: Starter, server: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    start(f"ws://127.0.0.1:{server.port}/elsewhere")
    said(caplog, "is this the DockPal Server?")


def test_a_redirect_is_not_followed_but_named(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    server.refusals.append((301, {"Location": "ws://elsewhere.example/"}, b""))
    start(server.port)
    said(caplog, "redirects (301) to ws://elsewhere.example/")


def test_429_is_named_and_its_retry_after_waited_out(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    server.refusals.append((429, {"Retry-After": "1"}, b'{"error":"rate limit exceeded"}'))
    start(server.port)

    server.line()
    assert "in 1 s" in said(caplog, "(429)")
    assert server.upgrades[1] - server.upgrades[0] >= 1.0


def test_when_others_behind_its_address_have_used_up_the_limit_the_agent_waits_as_long_as_the_server_says(
    start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    with StandIn(TOKEN, upgrades_per_minute=1) as server:
        start(server.port)
        line = server.line()
        line.call("GET", "/ping")
        line.cut()

        told = said(caplog, "(429)")
        asked_for = float(told.partition("trying in ")[2].partition(" s")[0])
        assert 50 < asked_for <= 60
        assert int(told.rpartition("next try in ")[2].partition(" s")[0]) >= round(asked_for)


@pytest.mark.parametrize("status", [503, 502, 307])
def test_a_retry_after_of_whatever_stands_before_the_server_is_waited_out_too(
    server: StandIn, start: Starter, status: int
) -> None:
    server.refusals.append((status, {"Retry-After": "1"}, b""))
    start(server.port)

    server.line()
    assert server.upgrades[1] - server.upgrades[0] >= 1.0


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("Tue, 24 Nov 2020 00:00:00 GMT", "in 0 s"),
        ("soon", "trying later"),
        ("-5", "trying later"),
        ("", "trying later"),
    ],
)
def test_a_retry_after_may_be_a_date_or_nonsense(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture, field: str, words: str
) -> None:
    server.refusals.append((429, {"Retry-After": field}, b""))
    serving(start(server.port))
    assert words in said(caplog, "(429)")


@pytest.mark.parametrize(
    "answer",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n", b"\r\n\r\n", b"HTTP/1.1 101 \xff\xfe\r\n\r\n",
     b"HTTP/1.1 101 Switching\r\nno colon\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 301 M\r\nSet-Cookie: \x01=;=\r\n\r\n", b""],
)  # fmt: skip
def test_whatever_answers_the_handshake_is_one_line_in_the_log(
    start: Starter, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def reply() -> None:
            sock, _ = odd.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(answer)

        thread = threading.Thread(target=reply, daemon=True)
        thread.start()
        start(odd.getsockname()[1], reconnect=60.0)
        said(caplog, "next try in")
        thread.join(BOUND)
    assert "Traceback" not in caplog.text


def test_another_status_is_shown_with_what_the_server_said(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    server.refusals.append((502, {}, b"<h1>Bad\n Gateway</h1>"))
    start(server.port)
    said(caplog, "status 502: <h1>Bad Gateway</h1>")


def test_a_refused_token_is_named_and_tried_again_slowly(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    start(server.port, tokens=("another-token",))

    line = said(caplog, "refused the token (4001, authentication failed)")
    assert "DOCKPAL_TOKEN must be the one" in line
    assert int(line.rpartition("next try in ")[2].partition(" s")[0]) >= 60


def test_the_forms_of_a_doubled_token_take_turns(
    server: StandIn, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockpal_agent.transport.edge.backoff.SLOW", (0.01, 0.02))
    line = start(server.port, tokens=("not-this", TOKEN))

    serving(line)
    assert server.first_messages == [json.dumps({"token": "not-this"}), json.dumps({"token": TOKEN})]


def test_a_token_that_was_rotated_is_read_again_after_a_refusal(
    server: StandIn, start: Starter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dockpal_agent.transport.edge.backoff.SLOW", (0.01, 0.02))
    caplog.set_level(logging.INFO)
    readings = iter([(), ("the-old-one",), (TOKEN,)])  # the file is gone for a moment, then as it was, then new
    line = start(server.port, tokens=("the-old-one",), tokens_now=lambda: next(readings))

    serving(line)
    assert server.first_messages == [json.dumps({"token": token}) for token in ["the-old-one"] * 3 + [TOKEN]]
    said(caplog, "the token has changed")


def test_an_early_close_is_taken_for_the_old_line_and_the_next_try_succeeds(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    server.close_early = 1
    line = start(server.port)

    serving(line)
    said(caplog, "it still held the one before")
    assert len(server.upgrades) == 2


@pytest.mark.parametrize("kind", ["early", "served"])
def test_however_lines_end_and_however_short_the_delay_the_server_never_has_to_refuse_a_sixth_try(
    start: Starter, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    with StandIn(TOKEN, upgrades_per_minute=5) as server:
        server.close_early = 100 if kind == "early" else 0
        start(server.port, reconnect=0.1)
        if kind == "served":
            for number in range(1, 6):
                line = server.line(number)
                line.call("GET", "/ping")
                line.cut()

        def delay() -> int:
            """Seconds until the next try, as the log says after the fifth."""
            ends = [text for text in caplog.messages if "next try in" in text]
            return int(ends[4].rpartition("next try in ")[2].partition(" s")[0]) if len(ends) > 4 else 0

        caplog.set_level(logging.DEBUG)
        assert wait_until(delay, "the fifth line has ended") > 30
        assert len(server.upgrades) == 5 and "429" not in caplog.text


def test_the_same_failure_is_told_once(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    start(free_port(), reconnect=0.01)

    def tries() -> list[logging.LogRecord]:
        return [record for record in caplog.records if "connection refused" in record.getMessage()]

    wait_until(lambda: len(tries()) >= 3, "three tries")
    assert [record.levelno for record in tries()[:3]] == [logging.WARNING, logging.DEBUG, logging.DEBUG]


class Tunnel:
    """An HTTP proxy for one connection after the other; `heads` are the requests that it got."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.heads: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += near.recv(1)
            self.heads.append(head)
            near.sendall(self._answer)
            if b" 200 " not in self._answer:
                near.close()
                continue
            port = int(head.split(b" ")[1].rpartition(b":")[2])
            far = socket.create_connection(("127.0.0.1", port))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()

    def close(self) -> None:
        self._listener.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_the_line_goes_through_the_proxy_of_the_environment_and_tls_is_verified_end_to_end(
    secure_server: StandIn, authority: Authority, start: Starter, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    proxy = Tunnel()
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:pa%20ss@127.0.0.1:{proxy.port}")

    serving(start(f"wss://localhost:{secure_server.port}", ca_file=authority.certificate))

    assert proxy.heads[0].startswith(f"CONNECT localhost:{secure_server.port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic dXNlcjpwYSBzcw==\r\n" in proxy.heads[0]
    assert "pa ss" not in caplog.text
    proxy.close()


def test_no_proxy_goes_around_the_proxy(server: StandIn, start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    serving(start(server.port))


@pytest.mark.parametrize(
    ("user", "answer", "words"),
    [
        ("", b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "wants credentials: write HTTP_PROXY as"),
        ("me:word@", b"HTTP/1.1 407 No\r\n\r\n", "does not take the user and password of HTTP_PROXY"),
        ("", b"HTTP/1.1 403 Forbidden\r\n\r\n", "allow it there"),
        ("", b"nonsense\r\n\r\n", "not HTTP"),
    ],
)
def test_a_proxy_that_refuses_is_named(
    server: StandIn, start: Starter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, user: str,
    answer: bytes, words: str,
) -> None:  # fmt: skip
    proxy = Tunnel(answer)
    monkeypatch.setenv("HTTP_PROXY", f"http://{user}127.0.0.1:{proxy.port}")
    start(server.port)
    assert words in said(caplog, f"the proxy 127.0.0.1:{proxy.port}")
    assert server.upgrades == []
    proxy.close()


def test_a_proxy_that_is_not_there_is_blamed_and_not_the_server(
    start: Starter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    start("ws://dock.example.com", reconnect=60.0)
    assert "the proxy of HTTP_PROXY does not run there" in said(caplog, "connection refused")

    monkeypatch.setenv("HTTP_PROXY", "http://no-such-proxy.invalid:3128")
    start("ws://dock.example.com", reconnect=60.0)
    assert "check HTTP_PROXY" in said(caplog, "the name no-such-proxy.invalid was not found")


def test_a_proxy_that_cannot_be_read_is_one_line_without_its_password(
    start: Starter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:p[ss@127.0.0.1:3128")
    start("ws://dock.example.com", reconnect=60.0)
    assert "p[ss" not in said(caplog, "HTTP_PROXY must be an address")
    assert "Traceback" not in caplog.text


def test_a_resolver_that_fails_by_itself_is_one_line_too(
    start: Starter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    start("ws://dock.example.com", reconnect=60.0)
    said(caplog, "the name dock.example.com was not found (Too many open files)")
    assert "Traceback" not in caplog.text


def test_the_service_is_asked_as_a_trusted_caller(server: StandIn, start: Starter, service: ToyService) -> None:
    start(server.port)
    server.line().reply("req-1")
    assert [request.peer for request in service.requests] == [""]
