"""Ten thousand requests over one line, with sixty-four in flight."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_standin.server import BOUND, Line, StandIn, wait_until

IN_FLIGHT = 64
GROWTH = 1.10  # of resident memory between the 2,000th request and the 10,000th


@pytest.fixture
def agent(server: StandIn, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    address = f"ws://127.0.0.1:{server.port}"
    command = [sys.executable, "-m", "tests.transport.edge.agent_process", address, str(tmp_path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3]) as process:
        yield process
        process.kill()


def status(process: subprocess.Popen[bytes], name: str) -> int:
    """A figure of /proc/PID/status (proc(5)): VmRSS in kB, Threads."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(name)


def storm(line: Line, requests: int) -> None:
    """So many requests, IN_FLIGHT of them unanswered at any time; forgets the answers."""
    flying: deque[str] = deque()
    for n in range(requests):
        if len(flying) == IN_FLIGHT:
            settle(line, flying.popleft())
        flying.append(line.ask("GET", "/docker/containers/web/stats", {"n": str(n)}))
    while flying:
        settle(line, flying.popleft())


def settle(line: Line, request_id: str) -> None:
    reply = line.reply(request_id)
    assert reply.status == 200 and reply.body["path"] == "/docker/containers/web/stats"


def test_ten_thousand_requests_are_all_answered_once_with_flat_memory_and_no_thread_left(
    server: StandIn, agent: subprocess.Popen[bytes]
) -> None:
    line = server.line()
    line.reply("req-1")
    idle = status(agent, "Threads")
    storm(line, 2_000)
    early = status(agent, "VmRSS")
    storm(line, 8_000)
    late = status(agent, "VmRSS")
    print(f"resident after 2,000: {early} kB, after 10,000: {late} kB; idle threads: {idle}")

    assert late <= early * GROWTH
    assert len(line.replies) == 10_001 and line.surplus == [] and server.violations == []
    wait_until(lambda: status(agent, "Threads") <= 3, "only the main thread, the line and its writer are left")
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(BOUND) == 0
    assert line.ended.wait(BOUND) and line.close_code == 1001
