"""Each step of an edit fails in turn; what Docker then holds, and what the caller is told."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from dockpal_agent import storage
from dockpal_agent.api.service import Service
from tests.engines.daemon import Daemon, wait_for
from tests.faults.proxy import FaultProxy, When
from tests.faults.test_replace_killed import running_web
from tests.integration.edits import Caller, house, small_config, variant

CREATE: Final = ("POST", "/containers/create", 1)
CONNECT: Final = ("POST", "/networks/[^/]+/connect", 1)
QUIET: Final = ("POST", "/containers/[^/]+/update", 1)
STOP: Final = ("POST", "/containers/[^/]+/stop", 1)
RENAME_OLD: Final = ("POST", "/containers/[^/]+/rename", 1)
RENAME_NEW: Final = ("POST", "/containers/[^/]+/rename", 2)
START: Final = ("POST", "/containers/[^/]+/start", 1)
INSPECT_NEW: Final = ("GET", "/images/[^/]+/json", 1)

REFUSALS: Final = {
    "the image": (INSPECT_NEW, "nothing was changed"),
    "create": (CREATE, "nothing was changed"),
    "connect": (CONNECT, "nothing was changed"),
    "restart policy": (QUIET, "put back as it was"),
    "stop": (STOP, "put back as it was"),
    "rename the old": (RENAME_OLD, "put back as it was"),
    "rename the new": (RENAME_NEW, "put back as it was"),
    "start": (START, "put back as it was"),
}


@pytest.fixture
def proxy(docker_socket: str) -> Iterator[FaultProxy]:
    with FaultProxy(docker_socket) as proxy:
        yield proxy


@pytest.fixture
def service(proxy: FaultProxy, tmp_path: Path) -> Iterator[Service[Any]]:
    with house(small_config(tmp_path / "data", proxy.socket_path)) as service:
        wait_for(lambda: ("GET", "/containers/json") in proxy.calls, "the agent to have settled")
        yield service


@pytest.fixture
def caller(service: Service[Any]) -> Caller:
    return Caller(service)


@pytest.fixture
def web(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> dict[str, Any]:
    for network in ("one", "two"):
        daemon.call("POST", "/networks/create", body={"Name": f"{unique}_{network}", "Labels": labels})
    return running_web(daemon, busybox, unique, labels, RestartPolicy={"Name": "always"})


def runs_as_before(daemon: Daemon, web: dict[str, Any], unique: str) -> None:
    """The same container runs under its name with its data, and nothing else is there."""
    found = daemon.inspect(web["Name"].lstrip("/"))
    assert found["Id"] == web["Id"]
    assert found["State"]["Running"]
    assert found["HostConfig"]["RestartPolicy"] == web["HostConfig"]["RestartPolicy"]
    assert sorted(found["NetworkSettings"]["Networks"]) == sorted(web["NetworkSettings"]["Networks"])
    assert daemon.exec(found["Id"], "cat", "/data/file") == b"kept\n"
    assert [entry["Names"] for entry in daemon.containers(name=[unique])] == [[web["Name"]]], "something is left over"


def journal_of(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "data" / "state" / "replacements"
    return list(folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("step", list(REFUSALS))
def test_whichever_call_docker_refuses_the_old_container_runs_under_its_name_with_its_data(
    step: str, proxy: FaultProxy, caller: Caller, daemon: Daemon, web: dict[str, Any], unique: str, tmp_path: Path
) -> None:
    (method, path, nth), told = REFUSALS[step]
    proxy.refuse(method, path, nth=nth, message="no space left on device")
    env, image = {"env": ["PATH=/bin", "ADDED=1"]}, {"image": "dockpal-test/other:1"}
    body: dict[str, Any] = image if step == "the image" else env

    status, answer = caller.call("PUT", web["Name"].lstrip("/"), body)

    assert status == 502
    assert "no space left on device" in answer["error"]
    if step != "the image":
        assert told in answer["error"]
    runs_as_before(daemon, web, unique)
    assert journal_of(tmp_path) == []


@pytest.mark.parametrize("step", ["create", "connect", "restart policy", "stop", "rename the old", "start"])
def test_a_lost_answer_counts_as_a_failure_and_what_was_done_is_undone(
    step: str, proxy: FaultProxy, caller: Caller, daemon: Daemon, web: dict[str, Any], unique: str, tmp_path: Path
) -> None:
    (method, path, nth), _ = REFUSALS[step]
    proxy.cut(method, path, When.AFTER, nth=nth)

    status, answer = caller.call("PUT", web["Name"].lstrip("/"), {"env": ["PATH=/bin", "ADDED=1"]})

    assert status in (502, 503), answer
    runs_as_before(daemon, web, unique)
    assert journal_of(tmp_path) == []


def test_the_name_is_taken_before_anything_is_touched(
    caller: Caller, daemon: Daemon, busybox: str, web: dict[str, Any], unique: str, labels: dict[str, str]
) -> None:
    other = daemon.create(busybox, "true", name=f"{unique}-taken", labels=labels)

    status, answer = caller.call(
        "PUT", web["Name"].lstrip("/"), {"env": ["PATH=/bin", "ADDED=1"], "name": f"{unique}-taken"}
    )

    assert status == 409
    assert "already in use" in answer["error"]
    assert "nothing was changed" in answer["error"]
    daemon.remove(other)
    runs_as_before(daemon, web, unique)


def test_a_port_that_is_taken_brings_the_old_one_back_with_dockers_words(
    caller: Caller, daemon: Daemon, busybox: str, web: dict[str, Any], unique: str, labels: dict[str, str]
) -> None:
    other = daemon.run(
        busybox,
        "sleep",
        "1000",
        name=f"{unique}-holder",
        labels=labels,
        ExposedPorts={"80/tcp": {}},
        StopSignal="SIGKILL",
        HostConfig={"PortBindings": {"80/tcp": [{"HostPort": ""}]}},
    )
    port = int(daemon.inspect(other)["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"])

    status, answer = caller.call(
        "PUT", web["Name"].lstrip("/"), {"ports": [{"host_port": port, "container_port": 80, "protocol": "tcp"}]}
    )

    assert status == 502
    assert "already allocated" in answer["error"] or "address already in use" in answer["error"]
    daemon.remove(other)
    runs_as_before(daemon, web, unique)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (['CMD ["sh","-c","exit 3"]'], "ended (exit code 3)"),
        (['CMD ["sh","-c","sleep 0.5; exit 0"]'], "ended (exit code 0)"),
        (['CMD ["sleep","1000"]', "HEALTHCHECK --interval=1s --retries=1 CMD echo sick; exit 1"], "unhealthy"),
        (['CMD ["/no/such/program"]'], "no such file"),
    ],
    ids=["exits", "ends well at once", "unhealthy", "cannot be started"],
)
def test_a_new_container_that_does_not_prove_itself_is_undone(
    changes: list[str],
    said: str,
    caller: Caller,
    daemon: Daemon,
    busybox: str,
    unique: str,
    labels: dict[str, str],
) -> None:
    bad = variant(daemon, busybox, f"dockpal-test/{unique}:bad", *changes)
    good = variant(daemon, busybox, f"dockpal-test/{unique}:good", 'CMD ["sleep","1000"]')
    web = daemon.run(good, name=f"{unique}-web", labels=labels, StopTimeout=1)
    try:
        status, answer = caller.call("PUT", f"{unique}-web", {"image": bad})

        assert status in (400, 409), answer
        assert said in answer["error"]
        assert "put back as it was" in answer["error"]
        assert ("what the new container wrote into volumes" in answer["error"]) is (said != "no such file")
        found = daemon.inspect(f"{unique}-web")
        assert found["Id"] == web
        assert found["State"]["Running"]
        assert len(daemon.containers(name=[unique])) == 1
    finally:
        daemon.remove(f"{unique}-web")
        for image in (bad, good):
            daemon.answer("DELETE", f"/images/{image}")


def test_a_full_disk_is_noticed_before_anything_is_touched(
    caller: Caller,
    proxy: FaultProxy,
    daemon: Daemon,
    web: dict[str, Any],
    unique: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(path: Path, value: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dockpal_agent.containers.journal.write_json", full)
    before = len(proxy.calls)

    status, answer = caller.call("PUT", web["Name"].lstrip("/"), {"env": ["PATH=/bin", "ADDED=1"]})

    assert status == 507
    assert "No space left on device; nothing was changed" in answer["error"]
    assert {method for method, _ in proxy.calls[before:]} == {"GET"}
    runs_as_before(daemon, web, unique)


@pytest.mark.parametrize("written", range(1, 11))
def test_a_disk_that_fills_up_on_the_way_undoes_everything_and_after_the_commit_nothing(
    written: int,
    caller: Caller,
    daemon: Daemon,
    web: dict[str, Any],
    unique: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count = 0

    def filling(path: Path, value: Any) -> None:
        nonlocal count
        count += 1
        if count > written:
            raise OSError(errno.ENOSPC, "No space left on device")
        storage.write_json(path, value)

    monkeypatch.setattr("dockpal_agent.containers.journal.write_json", filling)

    status, answer = caller.call("PUT", web["Name"].lstrip("/"), {"env": ["PATH=/bin", "ADDED=1"]})

    if status == 200:
        assert answer["env"] == ["PATH=/bin", "ADDED=1"]
        assert written == 10, "the last write is the commit point"
    else:
        assert status == 507, answer
        runs_as_before(daemon, web, unique)


def test_the_daemon_goes_away_in_the_middle_and_the_old_one_comes_back_with_it(
    proxy: FaultProxy, caller: Caller, daemon: Daemon, web: dict[str, Any], unique: str, tmp_path: Path
) -> None:
    def leave(call: object) -> None:
        proxy.stop()
        threading.Timer(1.0, proxy.start).start()

    proxy.before("POST", "/containers/[^/]+/start", leave, times=1)

    status, _ = caller.call("PUT", web["Name"].lstrip("/"), {"env": ["PATH=/bin", "ADDED=1"]})

    assert status == 503
    runs_as_before(daemon, web, unique)
    assert journal_of(tmp_path) == []


def test_what_cannot_be_put_back_is_said_and_settled_before_the_next_edit(
    proxy: FaultProxy, caller: Caller, daemon: Daemon, web: dict[str, Any], unique: str, tmp_path: Path
) -> None:
    proxy.refuse("POST", "/containers/[^/]+/start", message="out of disk", times=2)  # the new one, then the old one

    status, answer = caller.call("PUT", web["Name"].lstrip("/"), {"env": ["PATH=/bin", "ADDED=1"]})

    assert status == 502
    assert "not everything could be put back" in answer["error"]
    assert len(journal_of(tmp_path)) == 1

    caller.put(web["Name"].lstrip("/"), restart_policy="always")

    runs_as_before(daemon, web, unique)
    assert journal_of(tmp_path) == []
