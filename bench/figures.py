"""The figures: one function each, from a running agent and the engine to a number."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import socket
import statistics
import time
from typing import Any, Callable, Final

from bench.agents import Agent, Client
from tests.engines.daemon import Daemon

__all__ = ["cold_list_ratio", "fifty_stats", "host_stats", "idle_cpu", "new_ping", "polled_stats", "ratio"]

ROUNDS: Final = 40  # calls of each kind for a median
POLL: Final = 2.5  # seconds between two polls of a container's stats, as the Server does it
IDLE: Final = 20.0  # seconds over which idle processor time is counted


class _Raw:
    """One kept connection to the engine, and nothing else: the least that an answer can cost."""

    def __init__(self, daemon: Daemon) -> None:
        self._connection = http.client.HTTPConnection("localhost", timeout=60)
        self._connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.sock.connect(daemon.socket)
        self._prefix = f"/v{daemon.version}"

    def get(self, path: str) -> bytes:
        self._connection.request("GET", self._prefix + path)
        return self._connection.getresponse().read()


def _median(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    return statistics.median(_seconds(call) for _ in range(rounds))


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _right(status: int, body: bytes) -> Any:
    if status != 200:
        raise RuntimeError(f"{status}: {body[:300]!r}")
    return json.loads(body)


def ratio(agent: Agent, daemon: Daemon, ours: str, raw: str) -> float:
    """How many times as long as the engine's own answer ours takes, both on a kept connection, in turn."""
    client, engine = Client(agent.port), _Raw(daemon)
    _right(*client.call("GET", ours))
    engine.get(raw)
    pairs = [(_seconds(lambda: client.call("GET", ours)), _seconds(lambda: engine.get(raw))) for _ in range(ROUNDS)]
    client.close()
    return statistics.median(pair[0] for pair in pairs) / statistics.median(pair[1] for pair in pairs)


def cold_list_ratio(agent: Agent, daemon: Daemon, count: int) -> float:
    """The first list of an agent that has just started, against the engine's own on a kept connection."""
    client, engine = Client(agent.port), _Raw(daemon)
    _right(*client.call("GET", "/agent/ping"))
    raw = _median(lambda: engine.get("/containers/json?all=1"))
    begin = time.perf_counter()
    listed = _right(*client.call("GET", "/agent/docker/containers"))
    took = time.perf_counter() - begin
    if len(listed) < count:
        raise RuntimeError(f"{len(listed)} containers were listed, there are {count} at least")
    client.close()
    return took / raw


def new_ping(agent: Agent) -> float:
    """Seconds of a ping with its TCP and TLS handshakes."""
    return _median(lambda: Client.once(agent.port, "/agent/ping"))


def host_stats(agent: Agent) -> float:
    """Seconds of the host's figures on a kept connection."""
    client = Client(agent.port)
    _right(*client.call("GET", "/agent/host/stats"))
    return _median(lambda: client.call("GET", "/agent/host/stats"))


def polled_stats(agent: Agent, container: str) -> float:
    """Seconds of one container's stats, asked for every 2.5 s on a new connection as the Server does."""
    path = f"/agent/docker/containers/{container}/stats"
    _right(*Client.once(agent.port, path))
    taken = []
    for _ in range(5):
        time.sleep(POLL)
        taken.append(_seconds(lambda: _right(*Client.once(agent.port, path))))
    return statistics.median(taken)


def fifty_stats(agent: Agent, containers: list[str]) -> float:
    """Seconds until the stats of all containers are there, all asked for at once, each on a new connection."""
    time.sleep(POLL)
    with concurrent.futures.ThreadPoolExecutor(len(containers)) as pool:
        begin = time.perf_counter()
        paths = [f"/agent/docker/containers/{container}/stats" for container in containers]
        for status, body in pool.map(lambda path: Client.once(agent.port, path), paths):
            _right(status, body)
        return time.perf_counter() - begin


def idle_cpu(agent: Agent) -> float:
    """Per cent of one core while nobody asks."""
    before = agent.cpu_seconds()
    time.sleep(IDLE)
    return (agent.cpu_seconds() - before) / IDLE * 100
