"""Rooms for tests that run side by side: each has an engine to itself, at the usual socket, and its own network.

Tests start agents, and an agent that starts settles what it finds half done on its engine: two runs of tests on one
engine would settle each other's work. A room is a network namespace with nothing but loopback, so that published ports
do not meet, and a mount namespace in which /run is its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tools import engines

__all__ = ["room"]

_FURNISH: Final = """
mount -t tmpfs -o mode=755 tmpfs "$(readlink -f /var/run)" && ip link set lo up &&
exec dockerd -H unix:///var/run/docker.sock -H "unix://$1/docker.sock" --data-root "$1/data"
"""


@contextlib.contextmanager
def room() -> Iterator[list[str]]:
    """A new room; what is put before a command to run it there, in this folder. Raises EngineProblem.

    Nothing of it is left at the end; it ends with this process too.
    """
    folder = Path(tempfile.mkdtemp(prefix="dockpal-room-"))
    log = folder / "dockerd.log"
    command = ["setpriv", "--pdeathsig", "TERM", "unshare", "--net", "--mount", "--propagation", "private"]
    with log.open("wb") as output:
        engine = subprocess.Popen(
            [*command, "sh", "-c", _FURNISH, "sh", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "PATH": engines.search_path()},
        )
    try:
        engines.wait_until_it_answers(folder / "docker.sock", engine, log)  # the usual one is seen in the room only
        yield ["nsenter", "-t", str(engine.pid), "--net", "--mount", f"--wd={os.getcwd()}", "--"]
    finally:
        engine.terminate()
        try:
            engine.wait(engines.STOP_LIMIT)
        except subprocess.TimeoutExpired:
            engine.kill()
            engine.wait(engines.STOP_LIMIT)
        shutil.rmtree(folder, ignore_errors=True)
