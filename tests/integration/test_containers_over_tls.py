"""Lists, figures and logs of real containers as the Server gets them: over TLS, a new connection for each call."""

from __future__ import annotations

import http.client
import json
import ssl
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from dockpal_agent.config import Config, Listen
from dockpal_agent.house import house
from dockpal_agent.transport.direct.certificates import Certificate
from dockpal_agent.transport.direct.server import DirectServer
from tests.engines.daemon import Daemon, wait_for
from tests.faults.proxy import FaultProxy

TOKEN = {"Authorization": "Bearer containers-test"}
MESSAGE_LIMIT = 32_768  # bytes that the Server reads in one message
LIST = "/agent/docker/containers"

pytestmark = pytest.mark.engines


@dataclass(frozen=True)
class Running:
    """An agent that listens with TLS; `proxy` stands between it and Docker."""

    port: int
    proxy: FaultProxy
    context: ssl.SSLContext

    def get(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """(status, value) of one call on a connection of its own."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.context)
        try:
            connection.request(method, path, headers=TOKEN)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def socket(self, path: str) -> ClientConnection:
        """A WebSocket as the Server opens it: no compression, and a token as the first message, which nobody needs."""
        opened = connect(
            f"wss://127.0.0.1:{self.port}{path}",
            ssl=self.context,
            additional_headers=TOKEN,
            compression=None,
            max_size=MESSAGE_LIMIT,
            open_timeout=30,
        )
        opened.send('{"token":"containers-test"}')
        return opened


@pytest.fixture(scope="module")
def agent(docker_socket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("data")
    with FaultProxy(docker_socket) as proxy:
        config = Config(mode="direct", tokens=("containers-test",), data_dir=data, docker_socket=proxy.socket_path)
        with house(config) as service:
            server = DirectServer(
                service, [Listen("127.0.0.1", 0)], tls=Certificate.load_or_create(Path(data / "certs"))
            )
            server.start()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            try:
                yield Running(server.port, proxy, context)
            finally:
                server.stop(5)


def frames(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """(channel, payload) as Docker's demultiplexer gives them."""
    position = 0
    while position < len(raw):
        channel, length = struct.unpack_from(">BxxxL", raw, position)
        assert channel in (1, 2)
        yield channel, raw[position + 8 : position + 8 + length]
        position += 8 + length


def until_closed(socket: ClientConnection) -> Iterator[Any]:
    """What comes until the agent closes."""
    while True:
        try:
            yield socket.recv(20)
        except ConnectionClosed:
            return


def test_fifty_containers_are_listed_and_a_second_list_is_one_call_to_docker(
    agent: Running, daemon: Daemon, busybox: str, unique: str
) -> None:
    policies = ["no", "always", "unless-stopped", "on-failure"]

    def create(number: int) -> None:
        host = {"RestartPolicy": {"Name": policies[number % 4]}}
        daemon.create(busybox, name=f"{unique}-{number}", HostConfig=host)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(50)))

    def listed() -> dict[str, str]:
        status, value = agent.get(f"{LIST}?all=true")
        assert status == 200
        return {info["name"]: info["restart_policy"] for info in value if info["name"].startswith(unique)}

    expected = {f"{unique}-{number}": policies[number % 4] for number in range(50)}
    assert listed() == expected
    ours = {entry["Id"] for entry in daemon.containers(name=[unique])}
    before = len(agent.proxy.calls)
    assert listed() == expected
    calls = agent.proxy.calls[before:]
    assert ("GET", "/containers/json") in calls
    assert not [path for _, path in calls if path.split("/")[2] in ours]


def test_two_hundred_figures_at_once_on_connections_of_their_own_are_all_right(
    agent: Running, daemon: Daemon, busybox: str, unique: str
) -> None:
    names = [f"{unique}-{number}" for number in range(10)]
    for name in names:
        daemon.run(busybox, "sleep", "1000", name=name, HostConfig={"Memory": 32 << 20})
    stopped = daemon.create(busybox, name=f"{unique}-stopped")
    asked = [names[number % 10] if number % 20 else stopped for number in range(200)]

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda name: agent.get(f"{LIST}/{name}/stats"), asked))

    for name, (status, value) in zip(asked, answers):
        assert status == 200, value
        assert value["memory_limit"] == (0 if name == stopped else 32 << 20)
        assert 0 <= value["cpu_percent"] <= 200


def test_fifty_megabytes_of_log_come_complete_and_in_order_in_messages_that_the_server_takes(
    agent: Running, daemon: Daemon, busybox: str, unique: str
) -> None:
    line = "0123456789" * 10
    script = f'BEGIN {{ for (i = 1; i <= 470000; i++) print i, "{line}"; print "end" }}'
    daemon.run(busybox, "awk", script, name=unique)
    parts: list[bytes] = []

    with agent.socket(f"{LIST}/{unique}/logs?tail=all") as socket:
        while not (parts and parts[-1].endswith(b"end\n")):
            message = socket.recv(60)
            assert isinstance(message, bytes) and len(message) <= MESSAGE_LIMIT
            parts.append(message)

    text = b"".join(payload for _, payload in frames(b"".join(parts)))
    assert len(text) > 50_000_000
    for number, got in enumerate(text.split(b"\n")[:-2], 1):
        assert got == f"{number} {line}".encode()


@pytest.mark.parametrize("leaving", ["with a close frame", "by dropping the connection"])
def test_docker_s_stream_is_released_within_a_second_of_the_viewer_leaving_a_silent_log(
    leaving: str, agent: Running, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = daemon.run(busybox, "sh", "-c", "echo ready; sleep 1000", name=unique)
    socket = agent.socket(f"{LIST}/{unique}/logs")
    assert b"ready" in bytes(socket.recv(20))  # type: ignore[arg-type]
    name = f"log-{container[:12]}"
    assert name in [thread.name for thread in threading.enumerate()]

    if leaving == "with a close frame":
        socket.close()
    else:
        socket.socket.shutdown(SHUT_RDWR)

    wait_for(lambda: name not in [thread.name for thread in threading.enumerate()], "the stream's end", within=1)


def test_a_log_follows_a_restart_and_is_closed_when_the_container_is_removed(
    agent: Running, daemon: Daemon, busybox: str, unique: str
) -> None:
    daemon.run(busybox, "sh", "-c", "echo run; sleep 1000", name=unique)
    raw = b""
    with agent.socket(f"{LIST}/{unique}/logs") as socket:
        while raw.count(b"run\n") < 1:
            raw += socket.recv(20)  # type: ignore[operator]
        assert agent.get(f"{LIST}/{unique}/restart?timeout=0", "POST")[0] == 200
        while raw.count(b"run\n") < 2:
            raw += socket.recv(20)  # type: ignore[operator]
        assert agent.get(f"{LIST}/{unique}?force=true", "DELETE")[0] == 200
        with pytest.raises(ConnectionClosedOK) as closed:
            socket.recv(20)

    assert [payload for _, payload in frames(raw)] == [b"run\n", b"run\n"]
    assert closed.value.rcvd is not None and closed.value.rcvd.reason == "the container was removed"


def test_the_log_of_an_unknown_container_refuses_the_upgrade_with_404(agent: Running) -> None:
    with pytest.raises(InvalidStatus) as refused:
        agent.socket(f"{LIST}/nobody-is-called-so/logs")

    assert refused.value.response.status_code == 404


def test_plain_text_is_had_by_asking_for_it(agent: Running, daemon: Daemon, busybox: str, unique: str) -> None:
    daemon.run(busybox, "sh", "-c", "echo hello; sleep 1000", name=unique)

    with agent.socket(f"{LIST}/{unique}/logs?format=text") as socket:
        assert socket.recv(20) == "hello\n"


def test_figures_stream_to_many_viewers_and_end_with_a_word_when_the_container_stops(
    agent: Running, daemon: Daemon, busybox: str, unique: str
) -> None:
    daemon.run(busybox, "sleep", "1000", name=unique, HostConfig={"Memory": 32 << 20})
    sockets = [agent.socket(f"{LIST}/{unique}/stats/ws") for _ in range(3)]

    for socket in sockets:
        assert json.loads(socket.recv(20))["memory_limit"] == 32 << 20
    daemon.call("POST", f"/containers/{unique}/stop", {"t": 0})

    for socket in sockets:
        messages = [json.loads(message) for message in until_closed(socket)]
        assert messages[-1] == {"error": "container is not running"}
        assert socket.close_code == 1011


def test_while_docker_is_away_calls_say_so_and_within_two_seconds_of_its_return_all_is_well(
    agent: Running, daemon: Daemon, busybox: str, unique: str
) -> None:
    daemon.create(busybox, name=unique, HostConfig={"RestartPolicy": {"Name": "always"}})
    agent.proxy.stop()
    try:
        assert agent.get("/agent/ping")[0] == 503
        for path in (f"{LIST}?all=true", f"{LIST}/{unique}", f"{LIST}/{unique}/stats"):
            status, value = agent.get(path)
            assert status == 503 and "Docker" in value["error"]
    finally:
        agent.proxy.start()

    def well() -> bool:
        status, value = agent.get(f"{LIST}?all=true")
        return status == 200 and [info["restart_policy"] for info in value if info["name"] == unique] == ["always"]

    wait_for(well, "the list", within=2)
    assert agent.get("/agent/ping")[0] == 200
