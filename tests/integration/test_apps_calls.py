"""Apps of a running agent as the Server asks for them: list, switch, update, records, feed, and what starts again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from dockpal_agent.compose.labels import PROJECT, SERVICE
from tests.apps.crashing import PROGRAM, crash
from tests.engines.daemon import Daemon, wait_for
from tests.integration.deploying import Agent, file_of, running_agent
from tests.server_standin.shapes import APP_RECORD, APP_SUMMARY, problems

LABEL = "dockpal.auto-update"


@pytest.fixture(scope="module")
def agent(docker_socket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("data"), docker_socket) as agent:
        yield agent


@pytest.fixture
def project(agent: Agent, unique: str) -> Iterator[str]:
    """A project's name; it is removed at the end, if it is there."""
    yield unique
    agent.post("/compose/remove", {"name": unique})


def shown(agent: Agent, name: str) -> dict[str, Any]:
    listed = agent.call("GET", "/apps").json()
    assert problems([APP_SUMMARY], listed) == []
    (app,) = [app for app in listed if app["name"] == name]
    return dict(app)


def switch(agent: Agent, name: str, enabled: bool) -> requests.Response:
    return agent.call("PATCH", f"/apps/{name}/auto-update", {"enabled": enabled})


def running_since(daemon: Daemon, project: str) -> dict[str, str]:
    """{container's id: since when it runs}."""
    found = [daemon.inspect(entry["Id"]) for entry in daemon.containers(label=[f"{PROJECT}={project}"])]
    return {entry["Id"]: entry["State"]["StartedAt"] for entry in found if entry["State"]["Running"]}


def stored(agent: Agent, project: str) -> str:
    return (agent.data / "compose" / project / "docker-compose.yml").read_text()


def test_a_switch_changes_the_answers_and_the_stored_file_and_restarts_nothing(
    agent: Agent, daemon: Daemon, busybox: str, project: str
) -> None:
    """protocol 5.5; deploys of a file without the label leave the switch, one with the label ends it."""
    compose = file_of(busybox, web="# of mine\nlabels: {a: b}", db="stop_grace_period: 1s")
    assert agent.deploy(project, compose).status_code == 200
    before = running_since(daemon, project)
    assert len(before) == 2 and not shown(agent, project)["auto_update"]

    answer = switch(agent, project, True)

    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert shown(agent, project)["auto_update"] and running_since(daemon, project) == before
    assert stored(agent, project).count(LABEL) == 2 and "# of mine" in stored(agent, project)

    assert agent.deploy(project, compose).status_code == 200
    assert shown(agent, project)["auto_update"], "the Server's file never has the label"
    assert running_since(daemon, project) == before

    labelled = file_of(busybox, web=f'# of mine\nlabels: {{a: b, {LABEL}: "false"}}', db="stop_grace_period: 1s")
    assert agent.deploy(project, labelled).status_code == 200
    assert not shown(agent, project)["auto_update"] and running_since(daemon, project) == before

    assert switch(agent, project, True).json() == {"ok": True}
    assert shown(agent, project)["auto_update"]
    assert switch(agent, project, False).json() == {"ok": True}
    assert not shown(agent, project)["auto_update"] and running_since(daemon, project) == before
    assert LABEL not in stored(agent, project)


def test_a_file_that_cannot_say_so_stays_as_it_is_and_the_switch_counts(
    agent: Agent, busybox: str, project: str
) -> None:
    compose = file_of(busybox, web="labels: &both [a=b]") + "networks: {default: {labels: *both}}\n"
    assert agent.deploy(project, compose).status_code == 200

    answer = switch(agent, project, True)

    assert answer.status_code == 200 and answer.json()["ok"] is True
    assert answer.json()["note"].startswith("the switch counts, but the stored Compose file could not be changed: ")
    assert shown(agent, project)["auto_update"] and stored(agent, project) == compose


def test_a_file_with_the_label_opts_in_though_its_containers_were_kept(
    agent: Agent, daemon: Daemon, busybox: str, project: str
) -> None:
    assert agent.deploy(project, file_of(busybox, web="")).status_code == 200
    before = running_since(daemon, project)

    assert agent.deploy(project, file_of(busybox, web=f'labels: {{{LABEL}: "true"}}')).status_code == 200
    assert shown(agent, project)["auto_update"] and running_since(daemon, project) == before

    assert agent.deploy(project, file_of(busybox, web="")).status_code == 200
    assert not shown(agent, project)["auto_update"] and running_since(daemon, project) == before


def test_a_project_that_somebody_else_started_can_be_switched(
    agent: Agent, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    daemon.run(busybox, "sleep", "1000", name=unique, labels={**labels, PROJECT: unique, SERVICE: "web"})
    before = running_since(daemon, unique)

    assert switch(agent, unique, True).json() == {"ok": True}

    assert shown(agent, unique)["auto_update"] and running_since(daemon, unique) == before
    assert not (agent.data / "compose" / unique).exists()


def test_unknown_apps_and_attempts_are_said_in_the_servers_words(agent: Agent, unique: str) -> None:
    for method, path in (("PATCH", "auto-update"), ("POST", "update")):
        answer = agent.call(method, f"/apps/{unique}/{path}")
        assert (answer.status_code, answer.json()) == (404, {"error": "app not found"})
    answer = agent.call("GET", "/apps/updates/1-none")
    assert (answer.status_code, answer.json()) == (404, {"error": "attempt not found"})
    assert agent.call("GET", f"/apps/{unique}/updates").json() == []


@contextlib.contextmanager
def feed_of(agent: Agent) -> Iterator[Iterator[str]]:
    """The lines of the feed, as they come."""
    with agent.call("GET", "/apps/updates/stream", stream=True) as answer:
        assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/event-stream"
        yield answer.iter_lines(chunk_size=1, decode_unicode=True)


def test_an_update_by_hand_is_told_recorded_and_shown(agent: Agent, daemon: Daemon, busybox: str, project: str) -> None:
    """Its images were built here: there is nothing newer, so nothing is touched."""
    assert agent.deploy(project, file_of(busybox, web="")).status_code == 200
    before = running_since(daemon, project)

    with feed_of(agent) as lines:
        answer = agent.call("POST", f"/apps/{project}/update")
        assert answer.status_code == 202
        attempt_id = answer.json()["attempt_id"]
        told: list[dict[str, Any]] = []
        while not told or told[-1]["stage"] not in ("completed", "failed"):
            line = next(lines)
            if line.startswith("data: "):
                told.append(json.loads(line[len("data: ") :]))

    assert [event["stage"] for event in told] == ["pulling", "completed"]
    assert {(event["attempt_id"], event["app"]) for event in told} == {(attempt_id, project)}
    record = agent.call("GET", f"/apps/updates/{attempt_id}").json()
    assert problems(APP_RECORD, record) == [] and record["triggered_by"] == "user:agent"
    assert agent.call("GET", f"/apps/{project}/updates").json() == [record]
    assert shown(agent, project)["last_update"]["attempt_id"] == attempt_id
    assert running_since(daemon, project) == before


def test_what_ended_by_itself_runs_again_and_what_was_stopped_does_not(
    agent: Agent, daemon: Daemon, busybox: str, project: str
) -> None:
    script = PROGRAM.replace("$", "$$")
    compose = (
        f'services:\n  web:\n    image: {busybox}\n    command: [sh, -c, "{script}"]\n'
        '    labels: {dockpal.auto-recover: "true"}\n'
    )
    assert agent.deploy(project, compose).status_code == 200
    (container,) = running_since(daemon, project)
    before = running_since(daemon, project)

    crash(daemon, container)

    wait_for(lambda: (now := running_since(daemon, project)) and now != before, "it to run again")
    assert agent.call("POST", f"/containers/{container}/stop").status_code == 200
    crashed = daemon.run(busybox, "sh", "-c", PROGRAM, name=f"{project}-x", labels={"dockpal.auto-recover": "true"})
    try:
        since = daemon.inspect(crashed)["State"]["StartedAt"]
        crash(daemon, crashed)
        wait_for(lambda: daemon.inspect(crashed)["State"]["StartedAt"] != since, "the later one to run again")
        assert running_since(daemon, project) == {}, "the one that was stopped earlier would run by now"
    finally:
        daemon.remove(crashed)
