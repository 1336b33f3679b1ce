"""The line alone, in a process of its own, so that its memory and threads can be counted: ADDRESS STATE_DIR."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from dockpal_agent.transport.edge.limits import Limits
from dockpal_agent.transport.edge.line import EdgeLine, EdgeSettings
from tests.transport.edge.toy import ToyService


class Forgetful(ToyService):
    """Keeps no record of what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = _Nothing()


class _Nothing(list):
    def append(self, item: object) -> None:
        pass


def main(address: str, state_dir: str) -> None:
    threading.stack_size(512 << 10)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    service = Forgetful()
    service.calls = {}
    settings = EdgeSettings(address, ("secret-token",), Path(state_dir), "0.1.0", limits=Limits(idle=0.5))
    EdgeLine(service, settings).run(stop)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
