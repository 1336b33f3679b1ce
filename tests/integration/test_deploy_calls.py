"""Deploys as the Server makes them to a running agent; then what the Engine and the disk hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import Registry
from tests.integration.deploying import Agent, Event, file_of, ids, running_agent


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, docker_socket: str) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("data"), docker_socket) as agent:
        yield agent


def steps(events: list[Event]) -> list[tuple[str, str]]:
    return [(event["step"], event["status"]) for event in events]


def test_a_deploy_runs_is_seen_as_composes_and_its_file_lies_there_as_sent(
    agent: Agent, daemon: Daemon, busybox: str, unique: str
) -> None:
    compose = file_of(busybox, web="environment: {A: '${A:-none}'}\nvolumes: ['./data:/data', 'kept:/kept']")
    compose += "volumes: {kept: {}}\n"
    answer = agent.deploy(unique, compose, env={"A": "given"})
    assert (answer.status_code, answer.json()["status"]) == (200, "deployed"), answer.text

    found = daemon.inspect(f"{unique}-web-1")
    folder = agent.data / "compose" / unique
    labels = found["Config"]["Labels"]
    assert found["State"]["Running"] and "A=given" in found["Config"]["Env"]
    assert labels["com.docker.compose.project"] == unique and labels["dockpal.project"] == unique
    assert labels["com.docker.compose.project.working_dir"] == str(folder)
    assert labels["com.docker.compose.project.config_files"] == str(folder / "docker-compose.yml")
    assert labels["dockpal.compose"] == str(folder / "docker-compose.yml")
    assert f"{folder}/data:/data" in [
        bind[:-3] if bind.endswith(":rw") else bind for bind in found["HostConfig"]["Binds"]
    ]
    assert (folder / "docker-compose.yml").read_text() == compose

    again = agent.deploy(unique, compose, env={"A": "given"})
    assert again.status_code == 200 and daemon.inspect(f"{unique}-web-1")["Id"] == found["Id"]


def test_a_followed_deploy_ends_in_complete_and_can_be_watched_again(
    agent: Agent, daemon: Daemon, busybox: str, unique: str
) -> None:
    deploy_id = agent.start(unique, file_of(busybox, web="", db=""))
    told = agent.events(deploy_id)
    assert steps(told)[0] == ("parse", "running") and steps(told)[-1] == ("complete", "done")
    assert ("parse", "done") in steps(told) and ("write", "done") in steps(told) and ("create", "done") in steps(told)
    assert "error" not in {status for _, status in steps(told)}
    assert agent.events(deploy_id) == told
    assert {state for _, state in ids(daemon, unique).values()} == {"running"}


def test_bad_yaml_is_told_in_the_last_event_and_answered_with_a_400(agent: Agent, unique: str) -> None:
    compose = "services:\n  web:\n   image: x\n    ports: 80\n"
    told = agent.events(agent.start(unique, compose))
    assert steps(told) == [("parse", "running"), ("parse", "error")] and "line" in told[-1]["message"]
    plain = agent.deploy(unique, compose)
    assert plain.status_code == 400 and plain.json()["error"] == told[-1]["message"]


def test_a_redeploy_that_fails_leaves_what_ran_and_says_what_to_do(
    agent: Agent, daemon: Daemon, busybox: str, unique: str
) -> None:
    compose = file_of(busybox, web="volumes: ['kept:/kept']") + "volumes: {kept: {}}\n"
    assert agent.deploy(unique, compose).status_code == 200
    daemon.exec(f"{unique}-web-1", "sh", "-c", "echo data > /kept/file")
    before = ids(daemon, unique)

    broken = compose.replace("sleep 1000 & wait", "exit 3")
    told = agent.events(agent.start(unique, broken))

    assert ids(daemon, unique) == before
    assert daemon.exec(f"{unique}-web-1", "cat", "/kept/file") == b"data\n"
    assert [event["status"] for event in told].count("error") == 1 and told[-1]["status"] == "error"
    assert (agent.data / "compose" / unique / "docker-compose.yml").read_text() == compose
    assert any(event["step"] == "cleanup" for event in told)


def test_a_port_that_is_taken_is_told_with_a_hint(
    agent: Agent, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    host = {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}}
    daemon.run(
        busybox, "sleep", "1000", name=f"{unique}-first", labels=labels, ExposedPorts={"80/tcp": {}}, HostConfig=host
    )
    port = daemon.inspect(f"{unique}-first")["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    told = agent.events(agent.start(unique, file_of(busybox, web=f"ports: ['127.0.0.1:{port}:80']")))
    assert told[-1]["status"] == "error" and port in told[-1]["message"]
    assert any(event["step"] == "hint" and "publish another port" in event["message"] for event in told[:-1]), told
    assert ids(daemon, unique) == {} and not (agent.data / "compose" / unique).exists()


def test_an_image_of_a_private_registry_is_pulled_with_the_credentials_that_came_and_they_are_kept_nowhere(
    agent: Agent, daemon: Daemon, registry: Registry, busybox: str, unique: str
) -> None:
    reference = registry.push(daemon, busybox, f"{unique}/app:1")
    domain = reference.partition("/")[0]
    refused = agent.events(agent.start(unique, file_of(reference, web="")))
    assert refused[-1]["status"] == "error" and refused[-1]["step"] == "pull"
    assert any(event["step"] == "hint" and domain in event["message"] for event in refused)

    told = agent.events(agent.start(unique, file_of(reference, web=""), registry_auths={domain: registry.auth}))
    assert steps(told)[-1] == ("complete", "done") and ("pull", "done") in steps(told)
    kept = [path.read_bytes() for path in agent.data.rglob("*") if path.is_file()]
    assert not any(registry.auth.encode() in content for content in kept)
    assert registry.auth not in str(told)
    daemon.remove(f"{unique}-web-1")
    daemon.answer("DELETE", f"/images/{reference}", {"force": 1})


def test_the_same_deploy_sent_twice_at_once_is_one(agent: Agent, daemon: Daemon, busybox: str, unique: str) -> None:
    compose = file_of(busybox, web="")
    started = [agent.start(unique, compose) for _ in range(2)]
    assert started[0] == started[1]
    assert agent.events(started[0])[-1]["step"] == "complete"
    assert list(ids(daemon, unique)) == [f"{unique}-web-1"]


def test_two_deploys_of_one_project_follow_each_other_and_the_last_one_stands(
    agent: Agent, daemon: Daemon, busybox: str, unique: str
) -> None:
    first = agent.start(unique, file_of(busybox, web="environment: {V: '1'}"))
    second = agent.start(unique, file_of(busybox, web="environment: {V: '2'}"))
    assert first != second
    assert agent.events(second)[-1]["step"] == "complete" and agent.events(first)[-1]["step"] == "complete"
    assert "V=2" in daemon.inspect(f"{unique}-web-1")["Config"]["Env"]


def test_a_viewer_that_leaves_does_not_end_the_deploy(agent: Agent, daemon: Daemon, busybox: str, unique: str) -> None:
    deploy_id = agent.start(unique, file_of(busybox, web=""))
    with agent.connect(deploy_id) as socket:
        socket.recv(timeout=20)
        socket.socket.close()
    assert agent.events(deploy_id)[-1]["step"] == "complete"
    assert daemon.inspect(f"{unique}-web-1")["State"]["Running"]


def test_an_unknown_deploy_is_refused_before_the_upgrade(agent: Agent) -> None:
    with pytest.raises(InvalidStatus) as refused:
        agent.connect("deploy-0000000000000000")
    assert refused.value.response.status_code == 404
    assert refused.value.response.body == b'{"error":"session not found"}'


def test_shipped_files_are_mounted_read_and_removed_with_the_project(
    agent: Agent, daemon: Daemon, busybox: str, unique: str
) -> None:
    compose = file_of(
        busybox,
        web="user: '1000'\nenv_file: app.env\nconfigs: [conf]\nvolumes: ['./run.sh:/run.sh:ro', './data:/data']",
    )
    compose += "configs: {conf: {file: ./conf/web.conf}}\n"
    files = {"app.env": "FROM_FILE=yes\n", "conf/web.conf": "conf", "run.sh": "#!/bin/sh\necho ran\n"}
    answer = agent.deploy(unique, compose, files=files)
    assert answer.status_code == 200, answer.text
    web = f"{unique}-web-1"
    assert daemon.exec(web, "cat", "/conf") == b"conf" and daemon.exec(web, "/run.sh") == b"ran\n"
    assert "FROM_FILE=yes" in daemon.inspect(web)["Config"]["Env"]

    again = agent.deploy(unique, compose)  # as the Server sends it: without files
    assert again.status_code == 200, again.text
    assert daemon.exec(web, "/run.sh") == b"ran\n"
    kept = daemon.inspect(web)["Id"]
    changed = agent.deploy(unique, compose, files={**files, "run.sh": "#!/bin/sh\necho changed\n"})
    assert changed.status_code == 200 and daemon.exec(web, "/run.sh") == b"changed\n"
    assert daemon.inspect(web)["Id"] != kept, "a file that is mounted alone stays the old one until it is recreated"
    folder = agent.data / "compose" / unique
    (folder / "data" / "precious").write_text("kept")
    removed = agent.post("/compose/remove", {"name": unique}).json()
    assert removed["status"] == "removed" and removed["left"] == [str(folder / "data")]
    assert ids(daemon, unique) == {} and (folder / "data" / "precious").read_text() == "kept"
    assert [path.name for path in folder.iterdir()] == ["data"]


def test_an_edited_container_keeps_the_configs_and_secrets_of_its_deploy(
    agent: Agent, daemon: Daemon, busybox: str, unique: str
) -> None:
    mounts = "{source: note, target: /etc/new folder/note.conf, uid: '7', mode: 0440}"
    compose = file_of(busybox, web=f"configs: [{mounts}]\nsecrets: [key]")
    compose += "configs: {note: {content: 'grüße'}}\nsecrets: {key: {environment: KEY}}\n"
    assert agent.deploy(unique, compose, env={"KEY": "s3cret"}).status_code == 200
    web, look = f"{unique}-web-1", ("stat", "-c", "%a %u %g", "/etc/new folder/note.conf", "/run/secrets/key")
    before = daemon.inspect(web)["Id"]
    kept = daemon.exec(web, *look)
    assert kept == b"440 7 0\n444 0 0\n"

    assert agent.call("PUT", f"/containers/{web}", {"env": ["A=1"]}).status_code == 200

    assert daemon.inspect(web)["Id"] != before
    assert daemon.exec(web, "cat", "/etc/new folder/note.conf", "/run/secrets/key") == "grüßes3cret".encode()
    assert daemon.exec(web, *look) == kept
    daemon.exec(web, "rm", "/run/secrets/key")
    assert agent.call("PUT", f"/containers/{web}", {"env": ["A=2"]}).status_code == 200
    assert b"No such file" in daemon.exec(web, "sh", "-c", "cat /run/secrets/key 2>&1")


def test_stop_and_remove_keep_the_volumes_and_an_unknown_project_is_a_404(
    agent: Agent, daemon: Daemon, busybox: str, unique: str
) -> None:
    compose = file_of(busybox, web="volumes: ['kept:/kept']", db="") + "volumes: {kept: {}}\n"
    assert agent.deploy(unique, compose).status_code == 200
    assert agent.post("/compose/stop", {"name": unique}).json()["status"] == "stopped"
    assert {state for _, state in ids(daemon, unique).values()} == {"exited"}
    assert agent.post("/compose/remove", {"name": unique}).json()["status"] == "removed"
    assert ids(daemon, unique) == {} and not (agent.data / "compose" / unique).exists()
    assert daemon.answer("GET", f"/volumes/{unique}_kept").status == 200
    assert daemon.answer("GET", f"/networks/{unique}_default").status == 404
    for path in ("/compose/stop", "/compose/remove"):
        assert agent.post(path, {"name": unique}).status_code == 404


def test_a_plan_says_what_would_be_done_and_does_nothing(
    agent: Agent, daemon: Daemon, busybox: str, unique: str
) -> None:
    answer = agent.post("/deploy/plan", {"name": unique, "compose": file_of(busybox, web="")})
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made["project"] == unique and isinstance(made["warnings"], list)
    assert {"kind": "service", "name": "web", "action": "create"}.items() <= next(
        action for action in made["actions"] if action["kind"] == "service"
    ).items()
    assert ids(daemon, unique) == {} and not (agent.data / "compose" / unique).exists()
    assert daemon.answer("GET", f"/networks/{unique}_default").status == 404


def test_names_as_the_server_lets_them_through_are_normalised_and_a_likeness_is_a_409(
    agent: Agent, daemon: Daemon, busybox: str, unique: str
) -> None:
    name = unique.upper()
    answer = agent.deploy(name, file_of(busybox, web=""))
    assert answer.status_code == 200, answer.text
    labels = daemon.inspect(f"{unique}-web-1")["Config"]["Labels"]
    assert (labels["com.docker.compose.project"], labels["dockpal.project"]) == (unique, name)
    clash = agent.deploy(unique, file_of(busybox, web=""))
    assert clash.status_code == 409 and name in clash.json()["error"]


def test_after_a_restart_a_viewer_gets_all_events_of_before(
    docker_socket: str, busybox: str, unique: str, tmp_path: Path
) -> None:
    with running_agent(tmp_path, docker_socket) as agent:
        deploy_id = agent.start(unique, file_of(busybox, web=""))
        told = agent.events(deploy_id)
    with running_agent(tmp_path, docker_socket) as agent:
        assert agent.events(deploy_id) == told


def test_stopped_in_a_deploy_the_agent_tells_its_viewers_an_error_and_undoes_it_when_it_runs_again(
    docker_socket: str, daemon: Daemon, busybox: str, unique: str, tmp_path: Path
) -> None:
    check = "healthcheck: {test: [CMD, 'false'], interval: 1s, start_period: 600s}"
    compose = file_of(busybox, db=check, web="depends_on: {db: {condition: service_healthy}}")
    with running_agent(tmp_path, docker_socket) as agent:
        deploy_id = agent.start(unique, compose)
        told: list[Event] = []
        viewer = threading.Thread(target=lambda: told.extend(agent.events(deploy_id)))
        viewer.start()
        wait_for(lambda: ids(daemon, unique).get(f"{unique}-db-1", ("", ""))[1] == "running", "the database to run")
        agent.process.terminate()
        viewer.join(30)
        assert (told[-1]["status"], [event["status"] for event in told].count("error")) == ("error", 1)
        assert "is being stopped" in told[-1]["message"]
        agent.process.wait(30)
    with running_agent(tmp_path, docker_socket) as agent:
        (*before, last) = agent.events(deploy_id)
        assert last["status"] == "error" and "containers and files of before" in last["message"]
        assert before[: len(told) - 1] == told[:-1]
        assert ids(daemon, unique) == {}


def test_many_events_reach_a_viewer_that_reads_slowly_and_hold_up_nothing(
    agent: Agent, daemon: Daemon, busybox: str, unique: str
) -> None:
    services = {f"s{number}": "" for number in range(12)}
    deploy_id = agent.start(unique, file_of(busybox, **services))
    with agent.connect(deploy_id) as slow:
        slow.recv(timeout=20)  # and no more: its window fills up
        assert agent.events(deploy_id)[-1]["step"] == "complete"
    assert len(ids(daemon, unique)) == 12
