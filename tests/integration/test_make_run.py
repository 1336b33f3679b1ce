"""`make run` and `make stop` as a person types them, in a copy of the tree."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from build import ROOT
from tests.engines.daemon import Daemon
from tests.engines.registry import free_port
from tools.run import runs

pytestmark = pytest.mark.slow
LEFT_OUT = (
    *(".git", ".venv", ".run", "dist", "__pycache__", ".*_cache", ".hypothesis", "tests", "docs"),
    *("engine-new", "autobahn", "venv-3*", "venv-lock"),  # of .cache
)


class Tree:
    """A copy of the project; the wheels that are fetched already are shared with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        shutil.copytree(ROOT, self.folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
        shutil.copytree(ROOT / "tests" / "engines", self.folder / "tests" / "engines")
        shutil.copy(ROOT / "tests" / "__init__.py", self.folder / "tests")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("DOCKPAL_")}
        self.listen = f"127.0.0.1:{free_port()}"
        self.environment["DOCKPAL_DIRECT_LISTEN"] = self.listen

    def make(self, target: str) -> subprocess.CompletedProcess[str]:
        options = {"cwd": self.folder, "env": self.environment, "stdin": subprocess.DEVNULL, "timeout": 300}
        return subprocess.run(  # type: ignore[call-overload]
            ["make", "-s", target], capture_output=True, text=True, **options
        )

    def pid(self) -> int:
        return int((self.folder / ".run" / "agent.pid").read_text())


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    copy = Tree(tmp_path)
    yield copy
    copy.make("stop")


def _printed(output: str, name: str) -> str:
    match = re.search(rf"^{name}\s+(\S.*)$", output, re.MULTILINE)
    assert match, output
    return match.group(1)


def test_what_make_run_prints_works_and_make_stop_ends_it(
    tree: Tree, daemon: Daemon, busybox: str, unique: str
) -> None:
    web = daemon.run(busybox, "sleep", "1000", name=f"{unique}-web", StopTimeout=0)

    ran = tree.make("run")
    assert ran.returncode == 0, ran.stderr
    first = tree.pid()
    curl = next(line for line in ran.stdout.splitlines() if line.startswith("curl "))
    listed = subprocess.run(["sh", "-c", curl + " -s -f"], capture_output=True, text=True, timeout=30)
    assert web[:12] in [container["id"] for container in json.loads(listed.stdout)], listed.stderr
    assert _printed(ran.stdout, "address") == f"https://{tree.listen}"

    again = tree.make("run")
    assert again.returncode == 0, again.stderr
    assert _printed(again.stdout, "token") == _printed(ran.stdout, "token")
    assert _printed(again.stdout, "fingerprint") == _printed(ran.stdout, "fingerprint")
    assert tree.pid() != first
    assert not runs(first)

    second = tree.pid()
    assert tree.make("stop").stdout.strip() == "the agent has ended"
    assert not runs(second)
    assert tree.make("stop").stdout.strip() == "no agent runs from here"


def test_a_port_in_use_is_said_with_what_to_do(tree: Tree) -> None:
    host, _, port = tree.listen.rpartition(":")
    with socket.create_server((host, int(port))):
        ran = tree.make("run")
    assert ran.returncode != 0
    assert f"{tree.listen} is in use by another program; try DOCKPAL_DIRECT_LISTEN=" in ran.stderr
    assert not (tree.folder / ".run" / "agent.pid").exists()
