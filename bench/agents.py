"""Agents to measure: agent.pyz, or any command that takes the same variables and answers the same API."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Union

from tests.engines.registry import free_port

__all__ = ["Agent", "Client", "started"]

TOKEN: Final = "b" * 64
START_LIMIT: Final = 30.0  # seconds
STOP_LIMIT: Final = 30.0  # seconds
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Client:
    """One kept TLS connection to an agent; `Client.once` uses a new one for a single call."""

    def __init__(self, port: int, timeout: float = 60.0) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=timeout)

    def call(
        self, method: str, path: str, body: Union[dict[str, Any], bytes, None] = None, content_type: str = ""
    ) -> tuple[int, bytes]:
        """(status, body) of one call with the token; a dict goes as JSON."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        if data is not None:
            headers["Content-Type"] = content_type or "application/json"
        self._connection.request(method, path, data, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        self._connection.close()

    @classmethod
    def once(cls, port: int, path: str) -> tuple[int, bytes]:
        """GET on a connection of its own, as the Server does it for every call."""
        client = cls(port)
        try:
            return client.call("GET", path)
        finally:
            client.close()


@dataclass(frozen=True)
class Agent:
    """A running agent; `took` is the seconds from its start to its first answer."""

    pid: int
    port: int
    took: float

    def memory(self) -> int:
        """Bytes of resident memory, its children's not counted."""
        return self._status("VmRSS") * 1024

    def threads(self) -> int:
        return self._status("Threads")

    def _status(self, field: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1])
        raise LookupError(field)

    def cpu_seconds(self) -> float:
        """Processor time that it took since its start."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def started(command: Sequence[str], data: Path) -> Iterator[Agent]:
    """Run `command` in direct mode with its data in `data`, until it answers; it ends with the block."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "DOCKPAL_MODE": "direct",
        "DOCKPAL_TOKEN": TOKEN,
        "DOCKPAL_DIRECT_LISTEN": f"127.0.0.1:{port}",
        "DOCKPAL_DATA_DIR": str(data),
        "DOCKPAL_TLS_CERT_DIR": str(data / "certs"),
    }
    with (data / "agent.log").open("ab") as log:
        begin = time.perf_counter()
        process = subprocess.Popen(
            list(command), env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield Agent(process.pid, port, _wait(process, port, data / "agent.log", begin))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_LIMIT)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path, begin: float) -> float:
    while True:
        try:
            if Client.once(port, "/agent/ping")[0] == 200:
                return time.perf_counter() - begin
        except OSError:
            pass  # not listening yet
        if process.poll() is not None or time.perf_counter() - begin > START_LIMIT:
            raise RuntimeError(f"the agent did not answer: {log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(0.002)
