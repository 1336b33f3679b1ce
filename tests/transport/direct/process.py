"""A server of direct mode in a process of its own, for tests that count its CPU, threads and descriptors.

`python -m tests.transport.direct.process <directory of certificates> [<descriptors>]` prints its port and serves.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Optional

from dockpal_agent.config import Listen
from dockpal_agent.transport.direct.certificates import Certificate
from dockpal_agent.transport.direct.server import DirectServer
from tests.transport.direct.service import Service

__all__ = ["Process"]

ROOT = Path(__file__).resolve().parents[3]


class Process:
    """Runs the server until `close`."""

    def __init__(self, certificates: Path, *, descriptors: Optional[int] = None) -> None:
        command = [sys.executable, "-m", "tests.transport.direct.process", str(certificates)]
        command += [str(descriptors)] if descriptors is not None else []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def threads(self) -> int:
        """How many threads it has."""
        return len(list(Path(f"/proc/{self._process.pid}/task").iterdir()))

    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def close(self) -> None:
        """End it and take its exit status."""
        self._process.kill()
        self._process.communicate(timeout=10)


def main() -> None:
    threading.stack_size(512 << 10)  # as the agent has it
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[2])))
    certificate = Certificate.load_or_create(Path(sys.argv[1]))
    server = DirectServer(Service(keep=0), [Listen("127.0.0.1", 0)], tls=certificate)
    server.start()
    print(server.port, flush=True)
    threading.Event().wait(600)


if __name__ == "__main__":
    main()
