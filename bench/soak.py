"""`make soak`: 256 clients at once for a while (SECONDS=30), then: is everything as it was before?

Each client does what the Server does: a new TLS connection for every call, lists, inspects, figures.
Ends with 1 when the agent lost a call, or kept memory, threads or descriptors.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import build
from bench.agents import Agent, Client, started
from tests.engines.daemon import Daemon
from tests.engines.images import ensure_busybox
from tools.pyz import archive, contents

__all__ = ["main"]

CLIENTS: Final = 256
SOCKET: Final = "/var/run/docker.sock"
NAME: Final = f"soak{os.getpid()}"
GROWTH: Final = 1.25  # times the memory before
CALM: Final = 10.0  # seconds after the last call in which threads must be as before
GIVEN_BACK: Final = 45.0  # seconds in which memory must be; the agent returns it twice a minute
KEPT: Final = 20  # descriptors: connections to the engine that wait for the next call
EXPECTED: Final = frozenset({200, 503})  # 503: past a cap, with Retry-After, which is an answer


@dataclass(frozen=True)
class Picture:
    """What an agent holds at one moment; memory in bytes."""

    memory: int
    threads: int
    descriptors: int

    @classmethod
    def of(cls, agent: Agent) -> Picture:
        return cls(agent.memory(), agent.threads(), len(os.listdir(f"/proc/{agent.pid}/fd")))


def _client(agent: Agent, paths: list[str], end: float, seen: Counter[str], number: int) -> None:
    """Call one path after another, each on a new connection, until `end`."""
    turn = number
    while time.monotonic() < end:
        try:
            status, _body = Client.once(agent.port, paths[turn % len(paths)])
            seen[str(status)] += 1
        except OSError as error:
            seen[type(error).__name__] += 1
        turn += 1


def _load(agent: Agent, paths: list[str], seconds: float) -> Counter[str]:
    """256 clients for `seconds`; how often each status or error was seen."""
    seen: Counter[str] = Counter()
    end = time.monotonic() + seconds
    clients = [
        threading.Thread(target=_client, args=(agent, paths, end, seen, number), name=f"client-{number}")
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join(seconds + 120)
    return seen


def _settled(agent: Agent, before: Picture) -> tuple[Picture, float]:
    """The picture once threads are as before, or after CALM seconds; and the seconds that it took."""
    begin = time.monotonic()
    while True:
        now = Picture.of(agent)
        took = time.monotonic() - begin
        if now.threads <= before.threads or took > CALM:
            return now, took
        time.sleep(0.1)


def _run(command: list[str], folder: Path, container: str, seconds: float) -> list[str]:
    """Load one agent; what is not as it should be."""
    at = f"/agent/docker/containers/{container}"
    paths = ["/agent/ping", "/agent/docker/containers", at, f"{at}/stats", "/agent/host/stats", "/agent/docker/images"]
    with started(command, folder) as agent:
        for path in paths:
            Client.once(agent.port, path)
        time.sleep(2)
        before = Picture.of(agent)
        seen = _load(agent, paths, seconds)
        settled, took = _settled(agent, before)
        time.sleep(GIVEN_BACK)
        after = Picture.of(agent)
    print(f"answers            {dict(seen.most_common())}")
    print(f"threads            {before.threads} before, {settled.threads} after {took:.1f} s")
    print(f"descriptors        {before.descriptors} before, {after.descriptors} after")
    print(f"RSS                {before.memory / 1e6:.1f} MB before, {after.memory / 1e6:.1f} MB after, ", end="")
    print(f"{after.memory / before.memory:.2f}x (at most {GROWTH}x)")
    wrong = [f"{kind}: {count} times" for kind, count in seen.items() if kind not in map(str, EXPECTED)]
    if settled.threads > before.threads:
        wrong.append(f"{settled.threads - before.threads} threads stayed")
    if after.memory > before.memory * GROWTH:
        wrong.append("memory stayed")
    if after.descriptors > before.descriptors + KEPT:
        wrong.append(f"{after.descriptors - before.descriptors} descriptors stayed")
    return wrong


def main() -> int:
    seconds = float(os.environ.get("SECONDS") or 30)
    daemon = Daemon.at(SOCKET)
    container = daemon.run(ensure_busybox(daemon), "sleep", "100000", name=NAME, StopTimeout=0)
    try:
        with tempfile.TemporaryDirectory(prefix="dockpal-soak-") as folder:
            pyz = Path(folder, "agent.pyz")
            packed = build.dependencies()
            archive.write(build.build(packed, contents.sources(packed)), pyz)
            wrong = _run([sys.executable, "-I", "-S", str(pyz)], Path(folder), container, seconds)
    finally:
        daemon.remove(container)
    print("\n".join(["not as it was:", *wrong]) if wrong else "all as before")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
