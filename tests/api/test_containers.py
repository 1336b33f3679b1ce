"""The container calls as a transport makes them: answers, statuses and texts of protocol 1.4, 2 and 13."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockpal_agent.api import containers as room
from dockpal_agent.api.agent import Agent
from dockpal_agent.api.errors import BadRequest
from dockpal_agent.api.messages import End, Json, Messages, MessageStream, Query, Request
from dockpal_agent.api.service import Service
from dockpal_agent.config import Config
from dockpal_agent.house import house
from tests.engines.daemon import Daemon, wait_for

LIST = "/agent/docker/containers"

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def service(docker_socket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service[Agent]]:
    """A whole agent but for its transport."""
    config = Config(mode="direct", tokens=("t",), data_dir=tmp_path_factory.mktemp("data"), docker_socket=docker_socket)
    with house(config) as service:
        yield service


def ask(service: Service[Agent], method: str, target: str, query: str = "") -> tuple[int, Any]:
    """(status, value) of a JSON answer; what it leaves for afterwards is done."""
    answer = service.answer(Request(method, target, Query.parse(query)), trusted=True)
    assert isinstance(answer, Json), answer
    value = json.loads(answer.encode())
    if answer.then is not None:
        answer.then()
    return answer.status, value


def opened(service: Service[Agent], target: str, query: str = "") -> MessageStream:
    """The stream behind an upgrade."""
    answer = service.answer(Request("GET", target, Query.parse(query), upgrade=True), trusted=True)
    assert isinstance(answer, Messages), answer
    return answer.open()


def drained(stream: MessageStream) -> tuple[list[Any], End]:
    """All messages, and how it ended."""
    messages = []
    while True:
        try:
            messages.append(stream.next(20))
        except End as end:
            return messages, end


@pytest.fixture
def web(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    """A running container with a published port, a volume and a restart policy."""
    return daemon.run(
        busybox,
        *("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"),
        name=unique,
        labels=labels,
        ExposedPorts={"80/tcp": {}},
        HostConfig={
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
            "Binds": [f"{unique}-data:/data"],
            "Memory": 64 << 20,
        },
    )


def test_a_container_in_the_list_is_as_the_protocol_says(
    service: Service[Agent], daemon: Daemon, web: str, unique: str, labels: dict[str, str], busybox: str
) -> None:
    status, listed = ask(service, "GET", LIST, "all=true")

    (info,) = [entry for entry in listed if entry["name"] == unique]
    (port,) = info.pop("ports")
    assert status == 200
    assert info.pop("networks") == {"bridge": daemon.inspect(web)["NetworkSettings"]["IPAddress"]}
    assert time.time() - 600 < info.pop("created") <= time.time() + 1
    assert info.pop("status").startswith("Up ")
    assert info == {
        "id": web[:12],
        "name": unique,
        "image": busybox,
        "state": "running",
        "restart_policy": "on-failure",
        "labels": labels,
        "protected": False,
    }
    assert port.pop("PublicPort") > 0
    assert port == {"IP": "127.0.0.1", "PrivatePort": 80, "Type": "tcp"}


@pytest.mark.parametrize(("query", "shown"), [("", False), ("all=false", False), ("all=true", True), ("all=1", True)])
def test_stopped_containers_are_listed_only_when_all_are_asked_for(
    query: str, shown: bool, service: Service[Agent], daemon: Daemon, busybox: str, unique: str
) -> None:
    daemon.create(busybox, name=unique)

    _, listed = ask(service, "GET", LIST, query)

    assert [entry["state"] for entry in listed if entry["name"] == unique] == (["created"] if shown else [])


@pytest.mark.parametrize("form", ["id", "short id", "name"])
def test_the_detail_is_found_by_id_short_id_and_name(form: str, service: Service[Agent], web: str, unique: str) -> None:
    reference = {"id": web, "short id": web[:12], "name": unique}[form]

    status, detail = ask(service, "GET", f"{LIST}/{reference}")

    assert status == 200
    assert (detail["id"], detail["name"], detail["status"], detail["platform"]) == (
        web[:12],
        unique,
        "running",
        "linux",
    )
    assert (detail["memory_limit"], detail["nano_cpus"], detail["restart_policy"]) == (64 << 20, 0, "on-failure")
    assert [(port["PrivatePort"], port["IP"]) for port in detail["ports"]] == [(80, "127.0.0.1")]
    (mount,) = detail["mounts"]
    assert (mount["Type"], mount["Name"], mount["Destination"], mount["RW"]) == (
        "volume",
        f"{unique}-data",
        "/data",
        True,
    )
    assert "PATH=/bin" in detail["env"]


def test_a_container_stops_starts_restarts_and_goes(
    service: Service[Agent], daemon: Daemon, web: str, unique: str
) -> None:
    for _ in range(2):
        assert ask(service, "POST", f"{LIST}/{unique}/stop") == (200, {"status": "stopped"})
        assert daemon.inspect(web)["State"]["Status"] == "exited"
    for _ in range(2):
        assert ask(service, "POST", f"{LIST}/{unique}/start") == (200, {"status": "started"})
        assert daemon.inspect(web)["State"]["Status"] == "running"
    process = daemon.inspect(web)["State"]["Pid"]
    assert ask(service, "POST", f"{LIST}/{unique}/restart", "timeout=5") == (200, {"status": "restarted"})
    assert daemon.inspect(web)["State"]["Pid"] != process
    assert ask(service, "DELETE", f"{LIST}/{unique}", "force=false") == (200, {"status": "removed"})
    assert not daemon.exists(web)
    assert daemon.answer("GET", f"/volumes/{unique}-data").status == 200


def test_a_forced_removal_takes_a_running_container(
    service: Service[Agent], daemon: Daemon, web: str, unique: str
) -> None:
    assert ask(service, "DELETE", f"{LIST}/{unique}", "force=true") == (200, {"status": "removed"})

    assert not daemon.exists(web)


CALLS = [
    ("GET", ""),
    ("POST", "/start"),
    ("POST", "/stop"),
    ("POST", "/restart"),
    ("DELETE", ""),
    ("GET", "/stats"),
]


@pytest.mark.parametrize(("method", "call"), CALLS)
def test_an_unknown_container_is_a_404_with_docker_s_words(method: str, call: str, service: Service[Agent]) -> None:
    status, value = ask(service, method, f"{LIST}/nobody-is-called-so{call}")

    assert (status, value) == (404, {"error": "No such container: nobody-is-called-so"})


@pytest.mark.parametrize(("method", "call"), [*CALLS, ("GET", "/logs"), ("GET", "/stats/ws")])
@pytest.mark.parametrize("name", ["-x", "a%20b", "a%2Fb", "x" * 256, "%C3%A4", "a;b"])
def test_what_cannot_be_a_container_s_name_is_a_400(name: str, method: str, call: str, service: Service[Agent]) -> None:
    status, value = ask(service, method, f"{LIST}/{name}{call}")

    assert status == 400
    assert "container id or name" in value["error"]


@pytest.mark.parametrize(
    ("method", "call", "query", "word"),
    [
        ("GET", "", "all=perhaps", "all"),
        ("POST", "/web/stop", "timeout=soon", "timeout"),
        ("POST", "/web/restart", "timeout=-1", "timeout"),
        ("DELETE", "/web", "force=perhaps", "force"),
        ("GET", "/web/logs", "tail=some", "tail"),
        ("GET", "/web/logs", "tail=-1", "tail"),
        ("GET", "/web/logs", "tail=99999999999", "tail"),
        ("GET", "/web/logs", "follow=perhaps", "follow"),
        ("GET", "/web/logs", "since=yesterday", "since"),
        ("GET", "/web/logs", "since=999999h", "since"),
        ("GET", "/web/logs", "timestamps=perhaps", "timestamps"),
        ("GET", "/web/logs", "format=xml", "format"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_a_400_that_names_it(
    method: str, call: str, query: str, word: str, service: Service[Agent]
) -> None:
    status, value = ask(service, method, LIST + call, query)

    assert status == 400
    assert value["error"].startswith(f"{word} must be")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1700000000", 1700000000), ("1700000000.5", 1700000000.5), ("2023-11-14T22:13:20Z", 1700000000), ("", None)],
)
def test_since_is_a_unix_time_or_an_rfc_3339_time(text: str, seconds: Any) -> None:
    assert room._since(Query({"since": text})) == (None if seconds is None else int(seconds * 10**9))


def test_since_is_a_duration_back_from_now() -> None:
    found = room._since(Query({"since": "10m"}))

    assert found is not None and abs(time.time() - 600 - found / 1e9) < 60
    with pytest.raises(BadRequest):
        room._since(Query({"since": "2023-02-31T00:00:00Z"}))


@pytest.mark.parametrize(("text", "lines"), [("", 100), ("7", 7), ("all", None), ("ALL", None), ("0", 0)])
def test_the_tail_is_lines_or_all_of_them(text: str, lines: Any) -> None:
    assert room._tail(Query({"tail": text})) == lines


def test_stats_are_right_and_zeros_for_what_is_stopped(
    service: Service[Agent], daemon: Daemon, web: str, unique: str
) -> None:
    status, shown = ask(service, "GET", f"{LIST}/{unique}/stats")
    assert status == 200
    assert shown["memory_limit"] == 64 << 20 and 0 < shown["memory_usage"] < 64 << 20

    daemon.call("POST", f"/containers/{web}/stop", {"t": 0})

    def zeros() -> bool:
        return ask(service, "GET", f"{LIST}/{unique}/stats") == (200, dict.fromkeys(shown, 0))

    wait_for(zeros, "zeros")


def test_the_stats_stream_gives_stats_and_says_what_is_wrong_before_it_ends(
    service: Service[Agent], web: str, unique: str
) -> None:
    stream = opened(service, f"{LIST}/{unique}/stats/ws")
    first = stream.next(20)
    assert isinstance(first, dict) and first["memory_limit"] == 64 << 20
    stream.close()

    messages, end = drained(opened(service, f"{LIST}/nobody-is-called-so/stats/ws"))
    assert messages == [{"error": "container not found"}]
    assert end.code == 1011


def test_logs_are_frames_in_binary_messages_or_text(
    service: Service[Agent], daemon: Daemon, busybox: str, unique: str
) -> None:
    daemon.run(busybox, "echo", "hello", name=unique)
    wait_for(lambda: daemon.inspect(unique)["State"]["Status"] == "exited", "it to end")

    framed, end = drained(opened(service, f"{LIST}/{unique}/logs", "follow=false&tail=all"))
    text, _ = drained(opened(service, f"{LIST}/{unique}/logs", "follow=false&format=text"))

    assert b"".join(framed) == b"\x01\0\0\0\0\0\0\x06hello\n"
    assert "".join(text) == "hello\n"
    assert end.code == 1000


def test_the_log_of_an_unknown_container_refuses_the_upgrade(service: Service[Agent]) -> None:
    answer = service.answer(Request("GET", f"{LIST}/nobody-is-called-so/logs", upgrade=True), trusted=True)
    assert isinstance(answer, Messages)

    with pytest.raises(Exception, match="No such container") as refused:
        answer.open()

    assert service.failure(refused.value).status == 404


@pytest.fixture
def agent_container(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    """A container that says it is an agent; this agent cannot tell its own by id, as it runs in none."""
    return daemon.run(busybox, "sleep", "1000", name=unique, labels={**labels, "dockpal.agent": "true"})


def test_the_agent_s_own_container_is_listed_and_shown_as_protected(
    service: Service[Agent], agent_container: str, unique: str
) -> None:
    _, listed = ask(service, "GET", LIST)
    (info,) = [entry for entry in listed if entry["name"] == unique]
    _, detail = ask(service, "GET", f"{LIST}/{unique}")

    for shown in (info, detail):
        assert shown["protected"] is True
        assert "DockPal agent" in shown["protection_reason"]


@pytest.mark.parametrize(
    ("method", "call", "query"),
    [("POST", "/stop", ""), ("DELETE", "", "force=true"), ("DELETE", "", "force=false"), ("POST", "/update-image", "")],
)
def test_what_would_cut_the_agent_off_is_a_409_that_says_what_to_do_instead(
    method: str, call: str, query: str, service: Service[Agent], daemon: Daemon, agent_container: str, unique: str
) -> None:
    status, value = ask(service, method, f"{LIST}/{unique}{call}", query)

    assert status == 409
    assert "DockPal agent" in value["error"] and "on its host" in value["error"]
    assert daemon.inspect(agent_container)["State"]["Running"]


def test_restarting_the_agent_s_own_container_answers_first(
    service: Service[Agent], daemon: Daemon, agent_container: str, unique: str
) -> None:
    process = daemon.inspect(agent_container)["State"]["Pid"]

    answer = service.answer(Request("POST", f"{LIST}/{unique}/restart", Query({"timeout": "0"})), trusted=True)

    assert isinstance(answer, Json) and answer.value == {"status": "restarted"}
    assert daemon.inspect(agent_container)["State"]["Pid"] == process, "nothing has happened yet"
    assert answer.then is not None
    answer.then()
    assert daemon.inspect(agent_container)["State"]["Pid"] not in (0, process)


def test_a_container_with_the_protected_label_stays(
    service: Service[Agent], daemon: Daemon, busybox: str, unique: str
) -> None:
    daemon.run(busybox, "sleep", "1000", name=unique, labels={"dockpal.protected": "true"})

    status, value = ask(service, "DELETE", f"{LIST}/{unique}", "force=true")

    assert status == 409 and "dockpal.protected=true" in value["error"]
    assert daemon.exists(unique)


def test_without_docker_a_list_is_a_503_with_a_clear_text(tmp_path: Path) -> None:
    config = Config(mode="direct", tokens=("t",), data_dir=tmp_path / "data", docker_socket=str(tmp_path / "no.sock"))
    with house(config) as service:
        status, value = ask(service, "GET", LIST, "all=true")

    assert status == 503
    assert "is Docker running" in value["error"]
