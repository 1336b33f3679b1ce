"""The agent is killed at changing calls of a deploy; its next start leaves the old project or the new one whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.engines.daemon import Daemon
from tests.faults.proxy import Call, FaultProxy, When
from tests.integration.deploying import file_of, ids, running_agent

CALLS: Final = {  # (method, path, which of these): the changing calls of a redeploy
    "create": ("POST", "/containers/create", 1),
    "stop the old": ("POST", "/containers/[^/]+/stop", 1),
    "rename": ("POST", "/containers/[^/]+/rename", 2),
    "start the new": ("POST", "/containers/[^/]+/start", 1),
    "remove the old": ("DELETE", "/containers/[^/]+", 1),
}
COMMITTED: Final = {"remove the old"}


@pytest.fixture
def proxy(docker_socket: str) -> Iterator[FaultProxy]:
    with FaultProxy(docker_socket) as proxy:
        yield proxy


def of_version(image: str, version: str) -> str:
    text = file_of(image, web=f"environment: {{V: '{version}'}}\nvolumes: ['kept:/kept']", db="")
    return text + "volumes: {kept: {}}\n"


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("call", list(CALLS))
def test_killed_in_a_redeploy_the_next_start_leaves_one_of_the_two_whole_and_tells_the_viewers(
    call: str,
    before: bool,
    proxy: FaultProxy,
    docker_socket: str,
    daemon: Daemon,
    busybox: str,
    unique: str,
    tmp_path: Path,
) -> None:
    method, path, nth = CALLS[call]
    old, new = of_version(busybox, "old"), of_version(busybox, "new")
    with running_agent(tmp_path, proxy.socket_path) as agent:
        assert agent.deploy(unique, old).status_code == 200
        daemon.exec(f"{unique}-web-1", "sh", "-c", "echo data > /kept/file")
        db = ids(daemon, unique)[f"{unique}-db-1"]

        def kill(seen: Call) -> None:
            agent.kill()

        if before:
            proxy.cut(method, path, When.BEFORE, nth=nth)
        (proxy.before if before else proxy.after)(method, path, kill, nth=nth, times=1)
        deploy_id = agent.start(unique, new)
        agent.process.wait(60)

    with running_agent(tmp_path, docker_socket) as agent:
        told = agent.events(deploy_id)
        finished = call in COMMITTED
        assert told[-1]["step" if finished else "status"] == ("complete" if finished else "error"), told
        assert [event["status"] for event in told].count("error") == (0 if finished else 1)
        stored = agent.data / "compose" / unique
        assert (stored / "docker-compose.yml").read_text() == (new if finished else old)
        assert not (stored / ".dockpal" / "pending.json").exists()
        found = daemon.inspect(f"{unique}-web-1")
        assert ("V=new" in found["Config"]["Env"]) is finished and found["State"]["Running"]
        assert daemon.exec(f"{unique}-web-1", "cat", "/kept/file") == b"data\n"
        assert ids(daemon, unique).keys() == {f"{unique}-web-1", f"{unique}-db-1"}
        assert ids(daemon, unique)[f"{unique}-db-1"] == db
        assert agent.deploy(unique, new).status_code == 200
        assert "V=new" in daemon.inspect(f"{unique}-web-1")["Config"]["Env"]


def test_killed_in_a_first_deploy_nothing_is_left_of_it(
    proxy: FaultProxy, docker_socket: str, daemon: Daemon, busybox: str, unique: str, tmp_path: Path
) -> None:
    with running_agent(tmp_path, proxy.socket_path) as agent:
        proxy.after("POST", "/containers/[^/]+/start", lambda seen: agent.kill(), nth=1, times=1)
        deploy_id = agent.start(unique, of_version(busybox, "1"))
        agent.process.wait(60)
    with running_agent(tmp_path, docker_socket) as agent:
        told = agent.events(deploy_id)
        assert told[-1]["status"] == "error"
        assert ids(daemon, unique) == {} and not (agent.data / "compose" / unique).exists()
