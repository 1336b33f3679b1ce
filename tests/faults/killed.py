"""A replacement in a process of its own, which the test kills at a chosen call to the Engine.

python -m tests.faults.killed <socket> <journal> <container> <KEY=VALUE>
"""

from __future__ import annotations

import sys
from pathlib import Path

from dockpal_agent.containers import carry
from dockpal_agent.containers.journal import Journal
from dockpal_agent.containers.proof import Proof
from dockpal_agent.containers.replace import replace
from dockpal_agent.engine import Engine, containers

__all__ = ["main"]


def main(socket: str, journal: str, container: str, variable: str) -> None:
    engine = Engine(socket)
    old = containers.inspect(engine, container)
    request = carry.over(engine, old)
    env = [*(request.body.get("Env") or ()), variable]
    replace(
        engine,
        Journal(Path(journal)),
        old,
        type(request)({**request.body, "Env": env}, request.endpoints, request.image_id),
        proof=Proof(run=0.3),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
