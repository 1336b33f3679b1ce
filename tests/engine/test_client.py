"""The client against daemons that say what no real one is easily brought to say."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockpal_agent.engine import (
    BadParameter,
    Cancel,
    Conflict,
    DaemonFailed,
    Denied,
    Engine,
    EngineBroken,
    EngineCancelled,
    EngineError,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
    NotFound,
    segment,
)
from dockpal_agent.engine import client as client_module
from tests.engine.scripted import ScriptedDaemon, chunked, raw, refused, said, value
from tests.engines.daemon import wait_for


@pytest.fixture
def scripted() -> Iterator[ScriptedDaemon]:
    with ScriptedDaemon() as daemon:
        yield daemon


@pytest.fixture
def client(scripted: ScriptedDaemon) -> Iterator[Engine]:
    client = Engine(scripted.socket_path)
    yield client
    client.close()


# --- what a call is


def test_a_call_carries_version_query_and_json_and_gives_the_answer_back(
    scripted: ScriptedDaemon, client: Engine
) -> None:
    scripted.replies["/things"] = value({"Id": "x"}, 201)

    answer = client.post("/things", {"name": "a b", "path": "/ä\udcff"}, body={"Key": [1]}, ok=(201,))

    (heard,) = scripted.heard
    assert (heard.method, heard.path) == ("POST", "/v1.41/things?name=a+b&path=%2F%C3%A4%FF")
    assert heard.body == b'{"Key": [1]}'
    assert heard.headers["content-type"] == "application/json"
    assert (answer.status, answer.headers["content-TYPE"], answer.json()) == (201, "application/json", {"Id": "x"})


def test_a_post_without_a_body_says_so(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/things"] = said(204)
    client.post("/things")
    assert scripted.heard[0].headers["content-length"] == "0"


def test_a_file_and_an_iterable_are_sent_as_they_are(scripted: ScriptedDaemon, client: Engine, tmp_path: Path) -> None:
    scripted.replies["/archive"] = said()
    file = tmp_path / "file"
    file.write_bytes(os.urandom(200_000))

    with file.open("rb") as source:
        client.put("/archive", data=source)
    client.put("/archive", data=iter([b"one", b"", b"two"]))

    assert [heard.body for heard in scripted.heard] == [file.read_bytes(), b"onetwo"]


def test_what_reading_an_upload_raises_is_the_callers_own_error(scripted: ScriptedDaemon, client: Engine) -> None:
    def broken() -> Iterator[bytes]:
        yield b"one"
        raise ConnectionResetError("the uploader went away")

    with pytest.raises(ConnectionResetError, match="the uploader went away"):
        client.put("/archive", data=broken())


def test_a_refusal_that_comes_before_the_upload_was_read_is_heard(scripted: ScriptedDaemon, client: Engine) -> None:
    """The daemon answers and hangs up; more than a socket's buffer is still to be sent."""

    def endless() -> Iterator[bytes]:
        scripted.hang_up()
        for _ in range(1000):
            yield b"x" * 10_000

    scripted.replies["/archive"] = said()
    with pytest.raises(EngineUnavailable):
        client.put("/archive", data=endless())

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = scripted.socket_path + "2"
    listener.bind(path)
    listener.listen()

    def refuse() -> None:
        for answer in (
            b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            b"HTTP/1.1 403 No\r\nContent-Length: 24\r\n\r\n" + b'{"message": "read-only"}',
        ):
            connection, _ = listener.accept()
            connection.recv(100)
            connection.sendall(answer)
            connection.close()

    thread = threading.Thread(target=refuse)
    thread.start()
    with pytest.raises(Denied, match="read-only"):
        Engine(path).put("/archive", data=(b"x" * 10_000 for _ in range(1000)))
    thread.join()
    listener.close()


def test_a_connection_that_took_half_a_request_serves_no_other(scripted: ScriptedDaemon, client: Engine) -> None:
    """The daemon refuses, stops listening on that connection and keeps it open: what follows would never be read."""

    deaf = threading.Event()

    def stop_listening(connection: socket.socket) -> bool:
        connection.shutdown(socket.SHUT_RD)
        refused(403, "read-only")(connection)
        deaf.set()
        scripted.done.wait(30)
        return False

    def upload() -> Iterator[bytes]:
        yield b"one"
        deaf.wait(5)
        yield b"two"

    scripted.before_body = stop_listening
    scripted.replies["/ok"] = value(1)
    with pytest.raises(Denied, match="read-only"):
        client.put("/archive", data=upload())
    assert client.get("/ok", within=5).json() == 1


def test_connections_are_kept_and_serve_every_path(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/one"] = value(1)
    scripted.replies["/two"] = chunked(b"[", b"]")
    for _ in range(10):
        client.get("/one")
        client.get("/two", {"all": "1"})
        with client.stream("GET", "/two") as stream:
            assert b"".join(stream.chunks()) == b"[]"
        with client.stream("GET", "/one") as stream:
            assert b"".join(stream.chunks()) == b"1"
        with pytest.raises(NotFound):
            client.get("/three")
    assert scripted.accepted == 1


def test_more_calls_than_the_pool_holds_do_not_wait_for_each_other(scripted: ScriptedDaemon) -> None:
    together = threading.Barrier(20)

    def meet(connection: socket.socket) -> bool:
        together.wait(10)
        return said()(connection)

    scripted.replies["/meet"] = meet
    client = Engine(scripted.socket_path, pool=2)
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(client.get("/meet").status)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [200] * 20


def test_proxy_variables_are_not_looked_at(
    scripted: ScriptedDaemon, client: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    scripted.replies["/one"] = value(1)
    assert client.get("/one").json() == 1


def test_a_redirect_is_not_followed(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/here"] = said(301, headers=["Location: /there"])
    with pytest.raises(EngineRefused, match="301"):
        client.get("/here")
    assert [heard.path for heard in scripted.heard] == ["/v1.41/here"]


@pytest.mark.parametrize("text", ["", ".", "..", "a/../b", "/a", "a//b", "\ud800"])
def test_what_can_be_no_name_is_refused_before_the_daemon_is_asked(text: str) -> None:
    with pytest.raises(BadParameter):
        segment(text)


def test_a_name_cannot_leave_its_place_in_the_path() -> None:
    assert segment("..a/b?c#d e%2f") == "..a%2Fb%3Fc%23d%20e%252f"
    assert segment("sha256:abc") == "sha256:abc"


def test_a_header_or_a_parameter_that_cannot_be_sent_is_the_senders_fault(client: Engine) -> None:
    with pytest.raises(BadParameter, match="X-Registry-Auth"):
        client.get("/", headers={"X-Registry-Auth": "a\r\nHost: b"})
    with pytest.raises(BadParameter):
        client.get("/", {"path": "\ud800"})


# --- what the daemon refuses


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadParameter),
        (401, Denied),
        (403, Denied),
        (404, NotFound),
        (409, Conflict),
        (406, EngineRefused),
        (500, DaemonFailed),
        (503, DaemonFailed),
    ],
)
def test_a_refusal_has_its_class_its_status_and_dockers_words(
    scripted: ScriptedDaemon, client: Engine, status: int, kind: type[EngineRefused]
) -> None:
    scripted.replies["/x"] = refused(status, "Docker's words")
    with pytest.raises(EngineRefused) as caught:
        client.post("/x")
    assert (type(caught.value), caught.value.status, str(caught.value)) == (kind, status, "Docker's words")
    with pytest.raises(kind), client.stream("GET", "/x"):
        pass


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"Bad Gateway from haproxy\n", "Bad Gateway from haproxy"),
        (b"", "the Docker daemon answered 500 Said"),
        (b"[1]", "the Docker daemon answered 500 Said"),
        (b"\xff\xfe" + b"x" * 5000, None),
    ],
)
def test_a_refusal_without_dockers_json_still_has_words(
    scripted: ScriptedDaemon, client: Engine, body: bytes, words: str
) -> None:
    scripted.replies["/x"] = said(500, body)
    with pytest.raises(DaemonFailed) as caught:
        client.get("/x")
    assert 0 < len(str(caught.value)) <= 1000
    assert words is None or str(caught.value) == words


# --- nonsense


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc def\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nab",
        b"\x00\x01\x02\x03" * 100,
    ],
)
def test_nonsense_is_broken_and_the_next_call_is_not(scripted: ScriptedDaemon, client: Engine, nonsense: bytes) -> None:
    scripted.replies["/x"] = raw(nonsense)
    scripted.replies["/ok"] = value(1)
    with pytest.raises(EngineBroken):
        client.get("/x")
    assert client.get("/ok").json() == 1


@pytest.mark.parametrize("text", [b"", b"{", b"<html>", b"\xff", b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000])
def test_an_answer_that_is_not_json_is_broken_also_on_a_small_stack(
    scripted: ScriptedDaemon, client: Engine, text: bytes
) -> None:
    scripted.replies["/x"] = said(200, text)
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            client.get("/x").json()
        except EngineBroken as error:
            caught.append(error)

    before = threading.stack_size(128 * 1024)
    try:
        thread = threading.Thread(target=ask)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join(10)
    assert len(caught) == 1


def test_an_answer_without_end_is_cut_off(
    scripted: ScriptedDaemon, client: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_LIMIT", 1 << 20)

    def endless(connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    scripted.replies["/x"] = endless
    with pytest.raises(EngineBroken, match="too long"):
        client.get("/x")


# --- time


def test_a_daemon_that_does_not_answer_is_late(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/x"] = lambda connection: scripted.done.wait(10)
    with pytest.raises(EngineTimeout, match="GET /x"):
        client.get("/x", {"secret": "s"}, within=0.1)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
def test_a_daemon_that_drips_is_late_though_each_byte_comes_in_time(
    scripted: ScriptedDaemon, client: Engine, head: bytes
) -> None:
    def drip(connection: socket.socket) -> bool:
        connection.sendall(head)
        for byte in b"HTTP/1.1 200 OK" * 1000:
            connection.sendall(bytes([byte]))
            if scripted.done.wait(0.02):
                break
        return False

    scripted.replies["/x"] = drip
    with pytest.raises(EngineTimeout):
        client.get("/x", within=0.3)


def test_a_daemon_that_does_not_read_is_late(scripted: ScriptedDaemon) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = scripted.socket_path + "2"
    listener.bind(path)
    listener.listen(0)
    client = Engine(path)
    client._version = (1, 41)  # nobody is there to ask
    with listener, pytest.raises(EngineTimeout):
        client.put("/x", data=b"x" * (4 << 20), within=0.2)
    with socket.socket(socket.AF_UNIX) as blocker, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + "3")
        listener.listen(0)
        blocker.connect(path + "3")  # the backlog is full
        with pytest.raises(EngineTimeout):
            Engine(path + "3").get("/x", within=0.2)


def test_an_upload_that_is_not_read_has_its_own_limit_on_a_kept_connection_too(
    scripted: ScriptedDaemon, client: Engine
) -> None:
    scripted.replies["/ok"] = value(1)
    client.get("/ok", within=600)
    scripted.before_body = lambda connection: scripted.done.wait(30)
    caught: list[BaseException] = []

    def upload() -> None:
        try:
            client.put("/archive", data=(b"x" * 10_000 for _ in range(1000)), within=0.2)
        except EngineTimeout as error:
            caught.append(error)

    thread = threading.Thread(target=upload)
    thread.start()
    thread.join(10)
    assert len(caught) == 1


# --- cancelling


def test_a_token_cancelled_before_ends_the_call_before_it_starts(scripted: ScriptedDaemon, client: Engine) -> None:
    token = Cancel()
    token.cancel()
    with pytest.raises(EngineCancelled):
        client.get("/x", cancel=token)
    with pytest.raises(EngineCancelled):
        client.stream("GET", "/x", cancel=token)
    assert scripted.heard == []


def test_a_token_ends_the_wait_for_a_header_at_once_from_another_thread(
    scripted: ScriptedDaemon, client: Engine
) -> None:
    scripted.replies["/x"] = lambda connection: scripted.done.wait(30)
    token = Cancel()
    caught: list[BaseException] = []

    def ask(call: object) -> None:
        try:
            call("GET", "/x", cancel=token)  # type: ignore[operator]
        except EngineCancelled as error:
            caught.append(error)

    threads = [threading.Thread(target=ask, args=(call,)) for call in (client.call, client.stream)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(scripted.heard) == 2, "both calls")
    token.cancel()
    for thread in threads:
        thread.join(5)
    assert len(caught) == 2


def test_a_token_ends_the_reading_of_an_answer_that_never_comes_to_its_end(
    scripted: ScriptedDaemon, client: Engine
) -> None:
    begun = threading.Event()
    token = Cancel()
    caught: list[BaseException] = []

    def half(connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        begun.set()
        scripted.done.wait(30)
        return False

    def ask() -> None:
        try:
            client.get("/x", cancel=token)
        except EngineError as error:
            caught.append(error)

    scripted.replies["/x"] = half
    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(5)
    token.cancel()
    thread.join(5)
    assert [type(error) for error in caught] == [EngineCancelled]


def test_a_cancelled_call_leaves_the_kept_connections_sound(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/x"] = value(1)
    token = Cancel()
    client.get("/x", cancel=token)
    with client.stream("GET", "/x", cancel=token) as stream:
        list(stream.chunks())
    token.cancel()
    assert client.get("/x").json() == 1
    assert scripted.accepted == 1


# --- the daemon goes and comes


def test_a_get_survives_that_the_daemon_closed_the_kept_connection(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/x"] = value(1)
    client.get("/x")
    scripted.hang_up()
    assert client.get("/x").json() == 1


@pytest.mark.parametrize(("method", "sent"), [("GET", 2), ("POST", 1), ("PUT", 1), ("DELETE", 1)])
def test_only_a_get_is_sent_again_when_a_kept_connection_dies_under_it(
    scripted: ScriptedDaemon, client: Engine, method: str, sent: int
) -> None:
    """The daemon reads the request, does who knows what, and is gone."""
    scripted.replies["/ok"] = value(1)
    client.get("/ok")
    scripted.replies["/x"] = raw(b"")
    with pytest.raises(EngineUnavailable, match="went away before it answered"):
        client.call(method, "/x")
    assert len([heard for heard in scripted.heard if heard.path.endswith("/x")]) == sent


def test_a_daemon_that_dies_under_a_post_is_asked_for_its_version_again(
    scripted: ScriptedDaemon, client: Engine
) -> None:
    scripted.replies["/ok"] = value(1)
    scripted.replies["/x"] = raw(b"")
    client.get("/ok")
    with pytest.raises(EngineUnavailable):
        client.post("/x")
    client.get("/ok")
    assert scripted.pings == 2


def test_no_daemon_is_unavailable_and_a_new_one_is_used_at_once_in_its_own_version(client: Engine) -> None:
    with ScriptedDaemon("1.41") as scripted:
        client = Engine(scripted.socket_path)
        scripted.replies["/x"] = value(1)
        client.get("/x")
        assert client.api_version == (1, 41)
        scripted.stop()
        with pytest.raises(EngineUnavailable, match="no Docker socket"):
            client.get("/x")
        scripted.replies["/_ping"] = said(200, b"OK", headers=["Api-Version: 1.45"])
        scripted.start()
        client.get("/x")
        assert scripted.heard[-1].path == "/v1.45/x"


def test_a_daemon_exchanged_between_two_calls_is_asked_for_its_version_before_the_second(
    scripted: ScriptedDaemon, client: Engine
) -> None:
    scripted.replies["/x"] = value(1)
    client.get("/x")
    scripted.stop()
    scripted.replies["/_ping"] = said(200, b"OK", headers=["Api-Version: 1.48"])
    scripted.start()
    client.post("/x")
    assert [heard.path for heard in scripted.heard] == ["/v1.41/x", "/v1.48/x"]


def test_a_call_in_flight_when_the_daemon_dies_is_unavailable_and_in_mid_answer_broken(
    scripted: ScriptedDaemon, client: Engine
) -> None:
    def die(connection: socket.socket) -> bool:
        scripted.hang_up()
        return False

    scripted.replies["/silent"] = die
    with pytest.raises(EngineUnavailable):
        client.post("/silent")

    def half(connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        return False

    scripted.replies["/half"] = half
    with pytest.raises(EngineBroken):
        client.post("/half")


# --- versions


@pytest.mark.parametrize(
    ("daemons", "least", "used"),
    [
        ("1.41", None, (1, 41)),
        ("1.43", None, (1, 43)),
        ("1.51", None, (1, 51)),
        ("1.52", "1.44", (1, 51)),
        ("1.60", "1.44", (1, 51)),
        ("1.60", "1.55", (1, 55)),
        ("2.0", "1.24", (1, 51)),
    ],
)
def test_the_version_is_the_daemons_or_the_newest_we_know_but_not_below_its_least(
    daemons: str, least: str, used: tuple[int, int]
) -> None:
    with ScriptedDaemon(daemons) as scripted:
        scripted.replies["/version"] = value({"ApiVersion": daemons, "MinAPIVersion": least})
        client = Engine(scripted.socket_path)
        assert client.api_version == used
        assert client.supports(*used)
        assert not client.supports(used[0], used[1] + 1)
        client.close()


def test_a_daemon_without_the_version_field_is_asked_in_full() -> None:
    with ScriptedDaemon(None) as scripted:
        scripted.replies["/_ping"] = said(200, b"OK")
        scripted.replies["/version"] = value({"ApiVersion": "1.42"})
        assert Engine(scripted.socket_path).api_version == (1, 42)


@pytest.mark.parametrize("old", ["1.24", "1.40"])
def test_a_daemon_that_is_too_old_is_told_apart(old: str) -> None:
    with ScriptedDaemon(old) as scripted, pytest.raises(EngineBroken, match=rf"API {old}; 1\.41"):
        Engine(scripted.socket_path).get("/containers/json")


@pytest.mark.parametrize("facts", [[], {}, {"ApiVersion": "new"}, {"ApiVersion": 5}, {"ApiVersion": "1.4x"}])
def test_what_names_no_version_is_no_daemon(facts: object) -> None:
    with ScriptedDaemon("nonsense") as scripted:
        scripted.replies["/version"] = value(facts)
        with pytest.raises(EngineBroken, match="does not name a Docker API version"):
            Engine(scripted.socket_path).get("/containers/json")


def test_the_version_is_asked_for_once(scripted: ScriptedDaemon, client: Engine) -> None:
    scripted.replies["/x"] = value(1)
    for _ in range(5):
        client.get("/x")
    assert scripted.pings == 1


def test_a_client_refused_as_too_old_asks_for_the_version_again(scripted: ScriptedDaemon, client: Engine) -> None:
    words = "client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade"
    scripted.replies["/x"] = refused(400, words)
    with pytest.raises(BadParameter, match="too old"):
        client.get("/x")
    scripted.replies["/_ping"] = said(200, b"OK", headers=["Api-Version: 1.44"])
    scripted.replies["/x"] = value(1)
    assert client.get("/x").json() == 1
    assert scripted.heard[-1].path == "/v1.44/x"


# --- what is imported


def test_the_client_loads_without_idna_certifi_and_charset_detection_and_says_nothing() -> None:
    code = (
        "import sys; import dockpal_agent.engine; "
        "print([name for name in ('idna', 'certifi', 'chardet', 'charset_normalizer') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert (run.stdout, run.stderr) == ("[]\n", "")
