"""An update in a process of its own, which the test kills at a chosen moment.

python -m tests.faults.updated <socket> <data directory> <login file> <app> <grace>
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.integration.updating import working

__all__ = ["main"]


def main(socket: str, data: str, login: str, app: str, grace: str) -> None:
    with working(Path(data), socket, login=Path(login), grace=float(grace)) as bench:
        bench.update(app)


if __name__ == "__main__":
    main(*sys.argv[1:])
