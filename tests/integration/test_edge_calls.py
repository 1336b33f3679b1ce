"""Every call of the Server over the line, against a real engine, in both forms of path; then what the Engine holds."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockpal_agent.config import Config
from dockpal_agent.house import house
from dockpal_agent.transport.edge.line import EdgeLine, EdgeSettings
from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import Registry
from tests.server_standin import shapes
from tests.server_standin.server import Line, Reply, StandIn
from tests.server_standin.shapes import problems

TOKEN = "5e" * 32

pytestmark = pytest.mark.parametrize("prefix", ["", "/agent"])


@contextlib.contextmanager
def line_to(server: StandIn, docker_socket: str, data_dir: Path) -> Iterator[EdgeLine]:
    """The whole agent in edge mode, in this process."""
    config = Config(mode="edge", tokens=(TOKEN,), data_dir=data_dir, docker_socket=docker_socket)
    with house(config) as service:
        address = f"ws://127.0.0.1:{server.port}"
        edge = EdgeLine(service, EdgeSettings(address, config.tokens, config.state_dir, "0.1.0", reconnect=0.1))
        edge.start()
        try:
            yield edge
        finally:
            edge.stop(5.0)


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn(TOKEN) as standin:
        yield standin


@pytest.fixture(scope="module")
def line(server: StandIn, docker_socket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with line_to(server, docker_socket, tmp_path_factory.mktemp("agent")):
        yield server.line()
    assert server.violations == [] and len(server.lines) == 1 and server.lines[0].surplus == []


@pytest.fixture
def web(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    """The name of a running container that ends at once when it is stopped."""
    name = f"{unique}-web"
    script = "trap 'exit 0' TERM; echo first; echo second; sleep 1000 & wait"
    daemon.run(busybox, "sh", "-c", script, name=name, labels=labels)
    return name


def good(reply: Reply, shape: Any = None) -> Any:
    """The body of an answer that the Server takes."""
    assert reply.status < 400, reply.body
    assert shape is None or problems(shape, reply.body) == []
    return reply.body


def state(daemon: Daemon, container: str) -> Any:
    return daemon.inspect(container)["State"]


def test_host_calls_and_ping(line: Line, prefix: str) -> None:
    assert good(line.call("GET", f"{prefix}/ping")) == {"status": "ok"}
    good(line.call("GET", f"{prefix}/host-info"), shapes.LINE_INFO)
    assert good(line.call("GET", f"{prefix}/host/info"), shapes.HOST_INFO)["docker_version"]
    good(line.call("GET", f"{prefix}/host/stats"), shapes.HOST_STATS)


def test_the_list_and_an_inspect_by_name_and_by_id(line: Line, prefix: str, daemon: Daemon, web: str) -> None:
    listed = good(line.call("GET", f"{prefix}/docker/containers", {"all": "true"}), [shapes.CONTAINER])
    (entry,) = [entry for entry in listed if entry["name"] == web]
    full = daemon.inspect(web)["Id"]
    for reference in (web, entry["id"], full):
        detail = good(line.call("GET", f"{prefix}/docker/containers/{reference}"), shapes.DETAIL)
        assert detail["id"] == full[:12] and detail["state"] == "running"
    missing = line.call("GET", f"{prefix}/docker/containers/{web}-gone")
    assert missing.status == 404 and "No such container" in missing.body["error"]


def test_stop_start_restart_and_remove(line: Line, prefix: str, daemon: Daemon, web: str) -> None:
    path = f"{prefix}/docker/containers/{web}"
    assert good(line.call("POST", f"{path}/stop")) == {"status": "stopped"}
    assert not state(daemon, web)["Running"]
    assert good(line.call("POST", f"{path}/start")) == {"status": "started"}
    before = state(daemon, web)
    assert before["Running"]
    assert good(line.call("POST", f"{path}/restart")) == {"status": "restarted"}
    assert state(daemon, web)["StartedAt"] != before["StartedAt"]
    assert good(line.call("DELETE", path, {"force": "true"})) == {"status": "removed"}
    assert not daemon.exists(web)


def test_an_edit_in_place_an_edit_that_recreates_and_an_image_update(
    line: Line, prefix: str, daemon: Daemon, web: str, registry: Registry, busybox: str, unique: str
) -> None:
    path = f"{prefix}/docker/containers/{web}"
    detail = good(line.call("PUT", path, body={"restart_policy": "unless-stopped"}), shapes.DETAIL)
    assert detail["restart_policy"] == "unless-stopped" and daemon.inspect(web)["Id"].startswith(detail["id"])

    recreated = good(line.call("PUT", path, body={"env": [*detail["env"], "NEW=1"]}), shapes.DETAIL)
    assert recreated["id"] != detail["id"] and "NEW=1" in daemon.inspect(web)["Config"]["Env"]

    reference = registry.push(daemon, busybox, f"{unique}/update:1")
    unchanged = daemon.inspect(web)["Id"]
    refused = line.call("PUT", path, body={"image": reference})
    assert refused.status >= 400 and daemon.inspect(web)["Id"] == unchanged
    good(line.call("PUT", path, {"auth": registry.auth}, {"image": reference}), shapes.DETAIL)
    updated = good(line.call("POST", f"{path}/update-image", {"auth": registry.auth}), shapes.DETAIL)
    assert updated["image"] == reference and state(daemon, web)["Running"]
    daemon.remove(web)
    daemon.answer("DELETE", f"/images/{reference}", {"force": 1})


def test_stats_of_running_and_stopped_containers(line: Line, prefix: str, daemon: Daemon, web: str) -> None:
    path = f"{prefix}/docker/containers/{web}/stats"
    assert good(line.call("GET", path), shapes.STATS)["memory_usage"] > 0
    daemon.call("POST", f"/containers/{web}/stop")
    assert good(line.call("GET", path), shapes.STATS)["cpu_percent"] == 0


def test_logs_are_the_last_lines_at_once(line: Line, prefix: str, web: str) -> None:
    path = f"{prefix}/docker/containers/{web}/logs"
    reply = wait_for(lambda: (found := line.call("GET", path)).body.count("\n") == 2 and found, "two lines")
    assert reply.body == reply.data == "first\nsecond\n" and reply.status == 200
    assert line.call("GET", path, {"tail": "1"}).body == "second\n"
    assert line.call("GET", f"{prefix}/docker/containers/{web}-gone/logs").status == 404


def test_images_pull_check_list_and_remove(
    line: Line, prefix: str, daemon: Daemon, registry: Registry, busybox: str, unique: str
) -> None:
    reference = registry.push(daemon, busybox, f"{unique}/app:1")
    refused = line.call("POST", f"{prefix}/docker/images/pull", {"image": reference})
    assert refused.status >= 400 and refused.body["error"]
    for call in ("pull", "pull-force"):
        query = {"image": reference, "auth": registry.auth}
        assert good(line.call("POST", f"{prefix}/docker/images/{call}", query)) == {"status": "pulled"}
    listed = good(line.call("GET", f"{prefix}/docker/images"), [shapes.IMAGE])
    assert any(reference in image.get("tags", []) for image in listed)
    result = good(line.call("GET", f"{prefix}/docker/images/check", {"image": reference}), shapes.CHECK_RESULT)
    assert result["has_update"] is False

    assert good(line.call("DELETE", f"{prefix}/docker/images/{reference}")) == {"status": "removed"}
    assert daemon.answer("GET", f"/images/{reference}/json").status == 404


def test_a_wrong_path_is_a_404_and_a_wrong_method_a_405(line: Line, prefix: str) -> None:
    assert line.call("GET", f"{prefix}/docker/nothing").status == 404
    assert line.call("PUT", f"{prefix}/docker/containers").status == 405


def listing(line: Line, prefix: str, daemon: Daemon) -> tuple[float, float]:
    """Seconds that a list takes over the line; and the engine by itself, which says how busy the machine is."""
    begin = time.monotonic()
    daemon.call("GET", "/containers/json", {"all": 1})
    between = time.monotonic()
    good(line.call("GET", f"{prefix}/docker/containers", {"all": "true"}))
    return time.monotonic() - between, between - begin


def test_four_containers_that_take_10_s_to_stop_do_not_delay_a_list(
    line: Line, prefix: str, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    names = [f"{unique}-slow{n}" for n in range(4)]
    endless = "trap '' TERM; while :; do sleep 1; done"
    for name in names:  # a shell as process 1 that ignores SIGTERM: the engine waits for its stop timeout
        daemon.run(busybox, "sh", "-c", endless, name=name, labels=labels, StopTimeout=10)
    alone = [listing(line, prefix, daemon) for _ in range(50)]

    asked = time.monotonic()
    stops = [line.ask("POST", f"{prefix}/docker/containers/{name}/stop") for name in names]
    beside: list[tuple[float, float]] = []
    while not any(map(line.answered, stops)):
        beside.append(listing(line, prefix, daemon))

    assert time.monotonic() - asked > 9.0, "the stops took their time"
    over_line, by_itself = (statistics.median(after) / statistics.median(before)
                            for after, before in zip(zip(*beside), zip(*alone)))  # fmt: skip
    assert over_line <= 2 * max(1.0, by_itself)
    assert max(over for over, _ in beside) < 2.0, "none waited for a stop"
    assert [line.reply(request_id, within=30).status for request_id in stops] == [200] * 4
    assert {state(daemon, name)["Running"] for name in names} == {False}


def test_the_stats_of_every_container_at_once(line: Line, prefix: str, web: str) -> None:
    asked = [line.ask("GET", f"{prefix}/docker/containers/{web}/stats") for _ in range(300)]
    for request_id in asked:
        good(line.reply(request_id), shapes.STATS)


def test_a_pull_that_runs_when_the_line_is_cut_goes_on(
    prefix: str, docker_socket: str, daemon: Daemon, registry: Registry, busybox: str, unique: str, tmp_path: Path
) -> None:
    reference = registry.push(daemon, busybox, f"{unique}/cut:1")
    with StandIn(TOKEN) as server, line_to(server, docker_socket, tmp_path):
        first = server.line()
        first.call("GET", f"{prefix}/ping")
        first.ask("POST", f"{prefix}/docker/images/pull", {"image": reference, "auth": registry.auth})
        first.call("GET", f"{prefix}/ping")  # the pull was read before this
        first.cut()
        retry = server.line(2).call("POST", f"{prefix}/docker/images/pull", {"image": reference, "auth": registry.auth})
        assert good(retry) == {"status": "pulled"}
        assert daemon.answer("GET", f"/images/{reference}/json").status == 200
    daemon.answer("DELETE", f"/images/{reference}", {"force": 1})
