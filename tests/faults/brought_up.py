"""A deploy in a process of its own, which the test kills at a chosen call to the Engine.

python -m tests.faults.brought_up <socket> <folder with compose.yaml> <project> <journal>
"""

from __future__ import annotations

import sys
from pathlib import Path

from dockpal_agent.compose.apply import ConvergeFailed, converge
from dockpal_agent.compose.load import load
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.project import ReadRequest, TextFile
from dockpal_agent.containers.journal import Journal
from dockpal_agent.engine import Engine

__all__ = ["main"]


def main(socket: str, folder: str, project: str, journal: str) -> int:
    file = TextFile(f"{folder}/compose.yaml", Path(folder, "compose.yaml").read_text("utf-8"))
    request = ReadRequest((file,), folder, project, strict_name=True, variables={"HOME": "/nonexistent"})
    options = Options(proof=0.3, remove_orphans=True)
    try:
        converge(Engine(socket), Journal(Path(journal)), load(request), options, lambda progress: None)
    except ConvergeFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
