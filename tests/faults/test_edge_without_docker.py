"""The line while Docker is away, or hangs: what the agent knows by itself is answered all the same."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_edge_calls import TOKEN, good, line_to
from tests.integration.test_edge_process import TOKEN as OWN_TOKEN
from tests.integration.test_edge_process import agent, environment
from tests.server_standin import shapes
from tests.server_standin.server import BOUND, StandIn, wait_until


@pytest.fixture
def hung_socket(tmp_path: Path) -> Iterator[str]:
    """A daemon that takes every connection and says nothing."""
    taken: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "docker.sock"))
        listener.listen(512)

        def take() -> None:
            try:
                while True:
                    taken.append(listener.accept()[0])
            except OSError:
                pass

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield str(tmp_path / "docker.sock")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5.0)
    for connection in taken:
        connection.close()


def test_while_docker_is_away_the_line_stands_and_the_host_is_known(tmp_path: Path) -> None:
    with StandIn(TOKEN) as server, line_to(server, str(tmp_path / "none.sock"), tmp_path / "data"):
        line = server.line()
        first = good(line.reply("req-1"), shapes.LINE_INFO)
        assert first["docker_version"] == "" and first["agent_version"] and first["total_memory"] > 0

        assert good(line.call("GET", "/host/info"), shapes.HOST_INFO)["cpu_cores"] > 0
        good(line.call("GET", "/host/stats"), shapes.HOST_STATS)
        for path in ("/ping", "/docker/containers"):
            reply = line.call("GET", path)
            assert reply.status == 503 and "none.sock" in reply.body["error"]
        assert len(server.lines) == 1 and server.violations == []


def test_while_docker_hangs_under_every_page_of_the_server_the_host_is_still_known(
    hung_socket: str, tmp_path: Path
) -> None:
    with StandIn(TOKEN) as server, line_to(server, hung_socket, tmp_path / "data"):
        line = server.line()
        assert good(line.reply("req-1"), shapes.LINE_INFO)["docker_version"] == ""
        stats = [line.ask("GET", f"/docker/containers/{n}/stats") for n in range(300)]
        stops = [line.ask("POST", f"/docker/containers/{n}/stop") for n in range(20)]

        before = time.monotonic()
        good(line.call("GET", "/host/stats"), shapes.HOST_STATS)
        assert time.monotonic() - before < 2.0
        good(line.call("GET", "/host-info"), shapes.LINE_INFO)
        assert time.monotonic() - before < 10.0
        assert not any(map(line.answered, stats + stops))

        line.connection.close(1011)  # the Server starts anew: its first question replaces what it knew
        second = server.line(2)
        first = wait_until(lambda: next(iter(second.asked), None), "the Server asks")
        good(second.reply(first), shapes.LINE_INFO)


def test_a_stop_of_the_agent_is_in_order_and_in_docker_s_time_though_docker_hangs(
    hung_socket: str, tmp_path: Path
) -> None:
    deploy = {"name": "shop", "compose_yaml": "services:\n  web:\n    image: busybox\n"}
    with StandIn(OWN_TOKEN) as server:
        with agent(environment(server, tmp_path / "data", hung_socket)) as process:
            line = server.line()
            line.reply("req-1")
            read = line.ask("POST", "/docker/containers/web/update-image")
            ignored = [line.ask("POST", "/docker/deploy/compose", body=deploy)]
            ignored += [line.ask("POST", "/docker/containers/web/stop")]
            line.call("GET", "/host/stats")

            process.send_signal(signal.SIGTERM)

            assert process.wait(10.0) == 0, "Docker would have killed it"
        assert line.ended.wait(BOUND) and line.close_code == 1001
        assert line.reply(read).status == 503
        assert not any(map(line.answered, ignored)), "any answer would be taken for success"
