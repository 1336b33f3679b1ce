"""The agent is killed at each changing call of a replacement; what its next start makes of what is left."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from dockpal_agent.containers import aside
from dockpal_agent.containers.aside import is_aside
from dockpal_agent.containers.journal import Journal
from dockpal_agent.containers.settle import settle
from dockpal_agent.engine import Engine
from tests.engines.daemon import Daemon
from tests.faults.proxy import Call, FaultProxy, When

ROOT: Final = Path(__file__).resolve().parents[2]

# The changing calls of a replacement, in order: (method, path, which of these).
CALLS: Final = {
    "create": ("POST", "/containers/create", 1),
    "connect": ("POST", "/networks/[^/]+/connect", 1),
    "quiet the old": ("POST", "/containers/[^/]+/update", 1),
    "stop the old": ("POST", "/containers/[^/]+/stop", 1),
    "rename the old": ("POST", "/containers/[^/]+/rename", 1),
    "rename the new": ("POST", "/containers/[^/]+/rename", 2),
    "start the new": ("POST", "/containers/[^/]+/start", 1),
    "remove the old": ("DELETE", "/containers/[^/]+", 1),
}
COMMITTED: Final = {"remove the old"}  # the calls after the commit point

Name = str


@pytest.fixture
def proxy(docker_socket: str) -> Iterator[FaultProxy]:
    with FaultProxy(docker_socket) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def only_this_tests_names(unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may be replacing containers on this engine: a settling looks at ours alone."""
    monkeypatch.setattr(aside, "FILTER", {"name": rf"{unique}.*\.dockpal-(new|old)\."})


@pytest.fixture
def web(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> dict[str, Any]:
    """A running container with data, a restart policy, a published port, and two networks."""
    daemon.call("POST", "/networks/create", body={"Name": f"{unique}_one", "Labels": labels})
    daemon.call("POST", "/networks/create", body={"Name": f"{unique}_two", "Labels": labels})
    return running_web(daemon, busybox, unique, labels, RestartPolicy={"Name": "always"})


def running_web(daemon: Daemon, image: str, unique: str, labels: dict[str, str], **host: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "StopTimeout": 1,
        "Volumes": {"/data": {}},
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGKILL",
        "HostConfig": {
            "NetworkMode": f"{unique}_one",
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
            **host,
        },
    }
    web = daemon.create(image, "sh", "-c", "sleep 1000", name=f"{unique}-web", labels=labels, **body)
    daemon.call("POST", f"/networks/{unique}_two/connect", body={"Container": web})
    daemon.call("POST", f"/containers/{web}/start")
    daemon.exec(web, "sh", "-c", "echo kept > /data/file")
    found: dict[str, Any] = daemon.inspect(web)
    return found


def run_killed(proxy: FaultProxy, journal: Path, container: str, call: str, *, before: bool) -> None:
    """Run the replacement in a process that is killed at the call: before the daemon hears of it, or after it."""
    method, path, nth = CALLS[call]
    command = [sys.executable, "-m", "tests.faults.killed", proxy.socket_path, str(journal), container, "ADDED=1"]
    child: list[subprocess.Popen[bytes]] = []

    def kill(seen: Call) -> None:
        child[0].send_signal(signal.SIGKILL)
        child[0].wait(10)

    if before:
        proxy.cut(method, path, When.BEFORE, nth=nth)
    (proxy.before if before else proxy.after)(method, path, kill, nth=nth, times=1)
    child.append(subprocess.Popen(command, cwd=ROOT))
    assert child[0].wait(60) == -signal.SIGKILL, "the call at which it was to be killed did not come"


def holds(daemon: Daemon, web: dict[str, Any], unique: str, *, new: bool) -> None:
    """One container, under the name, running, with the data, in both networks; the old one or the new one."""
    found = daemon.inspect(web["Name"].lstrip("/"))
    assert (found["Id"] != web["Id"]) is new
    assert ("ADDED=1" in found["Config"]["Env"]) is new
    assert found["State"]["Running"]
    assert found["HostConfig"]["RestartPolicy"] == web["HostConfig"]["RestartPolicy"]
    assert sorted(found["NetworkSettings"]["Networks"]) == [f"{unique}_one", f"{unique}_two"]
    assert daemon.exec(found["Id"], "cat", "/data/file") == b"kept\n"
    named = [entry["Names"] for entry in daemon.containers(name=[unique])]
    assert named == [[web["Name"]]], "something is left over"
    assert not any(is_aside(name) for names in named for name in names)


@pytest.mark.parametrize("journal_is_lost", [False, True], ids=["journal", "names alone"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("call", list(CALLS))
def test_killed_at_any_call_the_next_start_leaves_the_old_one_running_or_the_new_one_finished(
    call: str,
    before: bool,
    journal_is_lost: bool,
    engine: Engine,
    proxy: FaultProxy,
    daemon: Daemon,
    web: dict[str, Any],
    unique: str,
    tmp_path: Path,
) -> None:
    journal = tmp_path / "replacements"
    run_killed(proxy, journal, web["Name"].lstrip("/"), call, before=before)
    if journal_is_lost:
        shutil.rmtree(journal)

    settle(engine, Journal(journal), rest=0.0)

    # By the names alone, a new container that runs well is kept, as nobody knows how long it has served.
    new_runs = call in COMMITTED or (call == "start the new" and not before and journal_is_lost)
    holds(daemon, web, unique, new=new_runs)
    assert Journal(journal).unfinished() == []
    assert settle(engine, Journal(journal), rest=0.0) == []


def test_a_stop_that_the_daemon_still_carries_out_is_waited_for(
    engine: Engine, proxy: FaultProxy, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str], tmp_path: Path
) -> None:
    command = ("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    web = daemon.run(busybox, *command, name=f"{unique}-web", labels=labels, StopTimeout=3)
    started = daemon.inspect(web)["State"]["StartedAt"]
    child: list[subprocess.Popen[bytes]] = []

    def kill(seen: Call) -> None:  # the proxy passes the call on all the same
        child[0].kill()
        child[0].wait(10)

    stop = proxy.before("POST", "/containers/[^/]+/stop", kill, times=1)
    replacing = (
        sys.executable,
        "-m",
        "tests.faults.killed",
        proxy.socket_path,
        str(tmp_path / "j"),
        f"{unique}-web",
        "A=1",
    )
    child.append(subprocess.Popen(replacing, cwd=ROOT))
    stop.wait_reached()
    child[0].wait(10)
    settle(engine, Journal(tmp_path / "j"))

    found = daemon.inspect(f"{unique}-web")
    assert (found["Id"], found["State"]["Running"]) == (web, True)
    assert found["State"]["StartedAt"] != started, "the stop came, and the old one was started again"
    assert len(daemon.containers(name=[unique])) == 1


def test_what_another_agent_is_doing_at_this_moment_is_left_alone(
    engine: Engine, proxy: FaultProxy, daemon: Daemon, web: dict[str, Any], unique: str, tmp_path: Path
) -> None:
    run_killed(proxy, tmp_path / "theirs", web["Name"].lstrip("/"), "start the new", before=True)
    before = daemon.running(name=[unique])

    reports = settle(engine, Journal(tmp_path / "ours"))

    assert [report.outcome for report in reports] == ["waiting"]
    assert daemon.running(name=[unique]) == before
    (tmp_path / "shells").mkdir()
    (tmp_path / "theirs").rename(tmp_path / "shells" / "shop")
    assert settle(engine, Journal(tmp_path / "ours", others=tmp_path / "shells"), rest=0.0) == []
    assert daemon.running(name=[unique]) == before


@pytest.mark.parametrize("journal_is_lost", [False, True], ids=["journal", "names alone"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("call", ["create", "connect", "stop the old", "rename the new", "start the new"])
def test_killed_while_replacing_one_that_removes_itself_it_is_made_again_or_its_successor_goes_on(
    call: str,
    before: bool,
    journal_is_lost: bool,
    engine: Engine,
    proxy: FaultProxy,
    daemon: Daemon,
    busybox: str,
    unique: str,
    labels: dict[str, str],
    tmp_path: Path,
) -> None:
    for network in ("one", "two"):
        daemon.call("POST", "/networks/create", body={"Name": f"{unique}_{network}", "Labels": labels})
    web = running_web(daemon, busybox, unique, labels, AutoRemove=True)
    journal = tmp_path / "replacements"
    at = {"rename the new": "rename the old"}.get(call, call)  # the first rename is the only one here
    run_killed(proxy, journal, web["Name"].lstrip("/"), at, before=before)
    if journal_is_lost:
        shutil.rmtree(journal)

    settle(engine, Journal(journal), rest=0.0)

    found = daemon.inspect(web["Name"].lstrip("/"))
    assert found["State"]["Running"]
    assert found["HostConfig"]["AutoRemove"]
    assert sorted(found["NetworkSettings"]["Networks"]) == [f"{unique}_one", f"{unique}_two"]
    assert daemon.exec(found["Id"], "cat", "/data/file") == b"kept\n"
    assert [entry["Names"] for entry in daemon.containers(name=[unique])] == [[web["Name"]]]
    went_on = journal_is_lost and (call, before) not in {
        ("create", True),
        ("create", False),
        ("connect", True),
        ("connect", False),
        ("stop the old", True),
    }
    assert ("ADDED=1" in found["Config"]["Env"]) is went_on
    assert settle(engine, Journal(journal), rest=0.0) == []
