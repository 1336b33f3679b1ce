"""agent.pyz answers about this host's containers: under every Python, and as nobody in the group of Docker's socket."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from bench.agents import TOKEN, Client, started
from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import free_port
from tools.pyz import bytecode

HERE = [version for version in bytecode.SUPPORTED if bytecode.find_interpreter(version)]


@pytest.mark.parametrize("version", HERE)
def test_the_list_over_https_names_a_running_container(
    version: str, agent_pyz: Path, daemon: Daemon, busybox: str, unique: str, tmp_path: Path
) -> None:
    web = daemon.run(busybox, "sleep", "1000", name=f"{unique}-web", StopTimeout=0)
    interpreter = bytecode.find_interpreter(version)
    assert interpreter is not None

    with started([interpreter, "-I", "-S", str(agent_pyz)], tmp_path) as agent:
        client = Client(agent.port)
        status, body = client.call("GET", "/agent/docker/containers")
        assert status == 200
        assert f"{unique}-web" in {entry["name"] for entry in json.loads(body)}

        for call, running in (("stop", False), ("start", True), ("restart", True)):
            assert client.call("POST", f"/agent/docker/containers/{web}/{call}")[0] == 200
            assert daemon.inspect(web)["State"]["Running"] is running
        assert client.call("DELETE", f"/agent/docker/containers/{web}")[0] == 200
        assert not daemon.exists(web)
    assert "Traceback" not in (tmp_path / "agent.log").read_text()


@pytest.fixture
def nobodys_agent(agent_pyz: Path, docker_socket: str, tmp_path: Path) -> Iterator[int]:
    """The port of an agent that runs as nobody in the socket's group, from a folder that it may not write to."""
    folder, data = tmp_path / "read-only", tmp_path / "data"
    folder.mkdir()
    data.mkdir()
    copy = folder / "agent.pyz"
    copy.write_bytes(agent_pyz.read_bytes())
    copy.chmod(0o444)
    folder.chmod(0o555)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    port = free_port()
    environment = {"PATH": "/usr/bin:/bin", "DOCKPAL_MODE": "direct", "DOCKPAL_TOKEN": TOKEN}
    environment.update(DOCKPAL_DIRECT_LISTEN=f"127.0.0.1:{port}", DOCKPAL_DATA_DIR=str(data))
    who: dict[str, object] = {}
    if os.geteuid() == 0:
        os.chown(data, 65534, 65534)
        who = {"user": 65534, "group": 65534, "extra_groups": [os.stat(docker_socket).st_gid]}
    with (tmp_path / "agent.log").open("wb") as log:
        process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
            ["/usr/bin/python3", str(copy)], env=environment, cwd="/", stdout=log, stderr=log, **who
        )
    try:
        wait_for(lambda: _status(port) == 200 or process.poll() is not None, "the agent to answer")
        yield port
    finally:
        process.terminate()
        process.wait(20)
    assert sorted(path.name for path in folder.iterdir()) == ["agent.pyz"]


def _status(port: int) -> Optional[int]:
    try:
        return Client.once(port, "/agent/ping")[0]
    except OSError:
        return None


def test_nobody_in_the_group_of_the_socket_serves_from_a_read_only_folder(
    nobodys_agent: int, daemon: Daemon, busybox: str, unique: str
) -> None:
    daemon.run(busybox, "sleep", "1000", name=f"{unique}-web", StopTimeout=0)

    status, body = Client.once(nobodys_agent, "/agent/docker/containers")

    assert status == 200
    assert f"{unique}-web" in {entry["name"] for entry in json.loads(body)}
