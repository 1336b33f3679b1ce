"""Start, stop, restart, remove: what the engine then holds."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from dockpal_agent.containers import lifecycle
from dockpal_agent.engine import Conflict, Engine, NotFound
from tests.engines.daemon import Daemon, wait_for
from tests.faults.proxy import FaultProxy

pytestmark = pytest.mark.engines

# Says what it got, so that a graceful stop can be told from a kill; "deaf" hears nothing.
POLITE = ("sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.05; done")
DEAF = ("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")


@pytest.fixture
def polite(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    """A running container that ends with code 7 when it is asked to."""
    container = daemon.run(busybox, *POLITE, name=unique, labels=labels)
    wait_until_trapped(daemon, container)
    return container


def wait_until_trapped(daemon: Daemon, container: str) -> None:
    """The shell has set its trap once it sleeps."""

    def sleeps() -> bool:
        return any("sleep" in " ".join(row) for row in daemon.call("GET", f"/containers/{container}/top")["Processes"])

    wait_for(sleeps, "the shell to have set its trap")


def state(daemon: Daemon, container: str) -> Any:
    return daemon.inspect(container)["State"]


def test_starting_what_runs_and_stopping_what_is_stopped_is_a_success(
    engine: Engine, daemon: Daemon, polite: str
) -> None:
    lifecycle.start(engine, polite)
    assert state(daemon, polite)["Running"]

    lifecycle.stop(engine, daemon.inspect(polite))
    lifecycle.stop(engine, daemon.inspect(polite))

    assert state(daemon, polite)["ExitCode"] == 7


def test_starting_a_paused_container_lets_it_go_on(engine: Engine, daemon: Daemon, polite: str) -> None:
    daemon.call("POST", f"/containers/{polite}/pause")

    lifecycle.start(engine, polite)

    assert state(daemon, polite)["Status"] == "running"


def test_stopping_and_removing_work_on_a_paused_container(engine: Engine, daemon: Daemon, polite: str) -> None:
    daemon.call("POST", f"/containers/{polite}/pause")
    lifecycle.stop(engine, daemon.inspect(polite), 1)
    assert state(daemon, polite)["Status"] == "exited"

    lifecycle.start(engine, polite)
    daemon.call("POST", f"/containers/{polite}/pause")
    lifecycle.remove(engine, {**daemon.inspect(polite), "Config": {"StopTimeout": 1}})

    assert not daemon.exists(polite)


def test_the_containers_own_stop_timeout_decides_unless_another_is_given(
    engine: Engine,
    proxied: Engine,
    proxy: FaultProxy,
    daemon: Daemon,
    busybox: str,
    unique: str,
    labels: dict[str, str],
) -> None:
    container = daemon.run(busybox, *DEAF, name=unique, labels=labels, StopTimeout=1)

    lifecycle.stop(proxied, daemon.inspect(container))
    lifecycle.restart(proxied, daemon.inspect(container))
    lifecycle.stop(proxied, daemon.inspect(container), 0)

    asked = [call.query for call in proxy.seen if call.path.endswith(("/stop", "/restart"))]
    assert asked == ["t=1", "t=1", "t=0"]
    assert state(daemon, container)["ExitCode"] == 137


@pytest.mark.parametrize(
    ("config", "seconds"), [({}, 10), ({"StopTimeout": None}, 10), ({"StopTimeout": 90}, 90), ({"StopTimeout": -1}, -1)]
)
def test_docker_s_ten_seconds_hold_where_the_container_says_nothing(config: dict[str, Any], seconds: float) -> None:
    assert lifecycle.stop_timeout({"Config": config}) == seconds


def test_a_restart_gives_a_new_process(engine: Engine, daemon: Daemon, polite: str) -> None:
    before = state(daemon, polite)["Pid"]

    lifecycle.restart(engine, daemon.inspect(polite))

    assert state(daemon, polite)["Pid"] not in (0, before)


def test_a_container_that_removes_itself_is_stopped_by_vanishing(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    container = daemon.run(busybox, *POLITE, name=unique, labels=labels, HostConfig={"AutoRemove": True})
    found = daemon.inspect(container)

    lifecycle.stop(engine, found, 0)
    wait_for(lambda: not daemon.exists(container), "it to remove itself")

    lifecycle.stop(engine, found, 0)
    lifecycle.remove(engine, found)


def test_a_container_that_removes_itself_can_be_removed_gracefully(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    container = daemon.run(busybox, "sleep", "1000", name=unique, labels=labels, HostConfig={"AutoRemove": True})

    lifecycle.remove(engine, {**daemon.inspect(container), "Config": {"StopTimeout": 0}})

    assert not daemon.exists(container)


def test_without_force_a_running_container_is_stopped_gracefully_then_removed(
    proxied: Engine, proxy: FaultProxy, daemon: Daemon, polite: str
) -> None:
    codes: list[int] = []
    path = re.escape(f"/containers/{polite}")
    proxy.before("DELETE", path, lambda call: codes.append(state(daemon, polite)["ExitCode"]))

    lifecycle.remove(proxied, daemon.inspect(polite))

    assert codes == [7]
    assert not daemon.exists(polite)


def test_with_force_it_is_killed_and_removed_at_once(
    proxied: Engine, proxy: FaultProxy, daemon: Daemon, polite: str
) -> None:
    lifecycle.remove(proxied, daemon.inspect(polite), force=True)

    assert not daemon.exists(polite)
    assert not [path for _, path in proxy.calls if path.endswith("/stop")]


@pytest.mark.parametrize("force", [True, False])
def test_volumes_stay_named_and_anonymous(
    force: bool, engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    container = daemon.run(
        busybox,
        *POLITE,
        name=unique,
        labels=labels,
        Volumes={"/anon": {}},
        HostConfig={"Binds": [f"{unique}-v:/named"]},
    )
    names = {mount["Destination"]: mount["Name"] for mount in daemon.inspect(container)["Mounts"]}
    try:
        lifecycle.remove(engine, daemon.inspect(container), force=force)

        for name in names.values():
            assert daemon.answer("GET", f"/volumes/{name}").status == 200
    finally:
        daemon.answer("DELETE", f"/volumes/{names['/anon']}")


def test_a_removal_that_somebody_else_began_is_waited_for(
    proxied: Engine, proxy: FaultProxy, daemon: Daemon, polite: str
) -> None:
    found = daemon.inspect(polite)
    proxy.refuse(
        "DELETE",
        re.escape(f"/containers/{polite}"),
        status=409,
        message=f"removal of container {polite} is already in progress",
    )
    others = threading.Timer(0.2, daemon.remove, [polite])
    others.start()

    lifecycle.remove(proxied, found, force=True)

    assert not daemon.exists(polite)
    others.join()


def test_docker_s_own_refusal_is_passed_on(proxied: Engine, proxy: FaultProxy, daemon: Daemon, polite: str) -> None:
    proxy.refuse("DELETE", ".*", status=409, message="You cannot remove a running container")

    with pytest.raises(Conflict, match="You cannot remove a running container"):
        lifecycle.remove(proxied, daemon.inspect(polite), force=True)


def test_what_does_not_exist_cannot_be_started(engine: Engine) -> None:
    with pytest.raises(NotFound, match="No such container"):
        lifecycle.start(engine, "there-is-no-such-container")


def test_the_id_of_the_inspect_is_acted_on_though_the_name_has_gone_to_another(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str], polite: str
) -> None:
    found = daemon.inspect(unique)
    daemon.call("POST", f"/containers/{unique}/rename", {"name": f"{unique}-old"})
    other = daemon.run(busybox, "sleep", "1000", name=unique, labels=labels)

    lifecycle.remove(engine, found, force=True)

    assert daemon.exists(other) and not daemon.exists(polite)
