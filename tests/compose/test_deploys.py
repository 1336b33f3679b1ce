"""Deploys apart from Docker's part of them: in which order, told how, stored when, and what an end leaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Callable

import pytest

from dockpal_agent.compose.apply import ConvergeFailed
from dockpal_agent.compose.deployevents import NoSuchDeploy
from dockpal_agent.compose.errors import ComposeInvalid, ComposeUneditable, ComposeUnsupported
from dockpal_agent.compose.hostpaths import HostPaths
from dockpal_agent.compose.labels import content_hash
from dockpal_agent.compose.lanes import AT_ONCE, QueueFull, Stopping
from dockpal_agent.compose.locks import LockFailed
from dockpal_agent.compose.options import DONE, ERROR, Progress, Report
from dockpal_agent.compose.prepare import NameClash, NoHostPath
from dockpal_agent.compose.stored import StoredFailed
from dockpal_agent.engine import Engine
from tests.compose.doubles import FakeConverge, events_of, house, request, yaml
from tests.engines.daemon import Daemon

BOUND = 20.0


def held(released: threading.Event) -> Callable[[Report], None]:
    """A converge that goes on when the test says so."""
    return lambda report: None if released.wait(BOUND) else pytest.fail("never released")


def failing(message: str = "port is already allocated") -> Callable[[Report], None]:
    def script(report: Report) -> None:
        report(Progress("create", "web", f"web: {message}", ERROR))
        report(Progress("cleanup", "web", "web: removed", DONE))
        raise ConvergeFailed(message, restored=True, undone=("removed web",))

    return script


def test_a_deploy_is_told_from_parse_to_complete_and_its_files_are_stored_as_sent(
    engine: Engine, tmp_path: Path
) -> None:
    with house(engine, tmp_path, FakeConverge()) as deploys:
        deploy = deploys.start(request(compose=yaml()))
        deploy.wait(BOUND)
        told = events_of(deploys.view(deploy.deploy_id))

    assert [(step, status) for step, status, _ in told] == [
        ("parse", "running"),
        ("parse", "done"),
        ("write", "running"),
        ("write", "done"),
        ("complete", "done"),
    ]
    stored = tmp_path / "compose" / "app" / "docker-compose.yml"
    assert stored.read_text() == yaml() and stored.stat().st_mode & 0o777 == 0o600
    assert stored.parent.stat().st_mode & 0o777 == 0o700


def test_converge_gets_the_hosts_path_of_the_folder_and_the_names_as_the_user_wrote_them(
    engine: Engine, tmp_path: Path
) -> None:
    converge = FakeConverge()
    paths = HostPaths(((str(tmp_path), "/srv/agent"),))
    with house(engine, tmp_path, converge, find_host_paths=lambda: paths) as deploys:
        deploys.start(request("My.App", yaml(volumes='["./data:/data"]'), force_pull=True)).wait(BOUND)

    ((project, options),) = converge.asked
    assert project.name == "myapp" and project.working_dir == "/srv/agent/compose/myapp"
    assert project.config_files == ("/srv/agent/compose/myapp/docker-compose.yml",)
    assert project.services["web"]["volumes"][0]["source"] == "/srv/agent/compose/myapp/data"
    assert (options.display_name, options.pull, options.api) == ("My.App", "always", True)
    assert options.compose_path == "/srv/agent/compose/myapp/docker-compose.yml"


def test_a_service_whose_env_file_is_dot_env_gets_what_this_deploy_brings_and_not_that_of_the_one_before(
    engine: Engine, tmp_path: Path
) -> None:
    compose = yaml(env_file="[.env, more.env]")
    converge = FakeConverge()
    with house(engine, tmp_path, converge) as deploys:
        for number in ("1", "2"):
            more = {"more.env": f"MORE={number}\n"}
            deploys.start(request(compose=compose, env={"A": number}, env_file="B=b\n", files=more)).wait(BOUND)
        with pytest.raises(ComposeInvalid, match=r"env file \S+/\.env not found"):
            deploys.start(request(compose=compose)).wait(BOUND)
        with pytest.raises(ComposeInvalid, match=r"env file \S+/more\.env not found"):
            deploys.start(request(compose=compose, env={"A": "3"}, files={})).wait(BOUND)

    found = [project.services["web"]["environment"] for project, _ in converge.asked]
    assert found == [{"A": number, "B": "b", "MORE": number} for number in ("1", "2")]
    assert (tmp_path / "compose" / "app" / ".env").read_text() == "B=b\n# Variables of the deploy\nA=2\n"


def test_a_dot_env_that_a_container_mounts_can_be_read_there_and_a_new_text_makes_it_anew(
    engine: Engine, tmp_path: Path
) -> None:
    compose = yaml(volumes="['./.env:/app/.env:ro']")
    converge = FakeConverge()
    with house(engine, tmp_path, converge) as deploys:
        for number in ("1", "2"):
            deploys.start(request(compose=compose, env={"A": number})).wait(BOUND)

    assert (tmp_path / "compose" / "app" / ".env").stat().st_mode & 0o777 == 0o644
    one, two = (content_hash(project, "web") for project, _ in converge.asked)
    assert "" != one != two != ""


@pytest.mark.parametrize("source", ["./data", "../shared"])
def test_where_no_mount_shows_the_folder_a_relative_bind_is_refused_with_the_mount_to_add(
    source: str, engine: Engine, tmp_path: Path
) -> None:
    converge = FakeConverge()
    with house(engine, tmp_path, converge, find_host_paths=lambda: HostPaths()) as deploys:
        with pytest.raises(NoHostPath, match=f"-v {tmp_path}:{tmp_path}"):
            deploys.start(request(compose=yaml(volumes=f'["{source}:/data"]'))).wait(BOUND)
        assert not (tmp_path / "compose" / "app").exists()
        deploys.start(request(compose=yaml(volumes='["data:/data"]') + "volumes: {data: {}}\n")).wait(BOUND)
    assert converge.projects == ["app"]


@pytest.mark.parametrize(
    ("compose", "error", "words"),
    [
        ("services: [", ComposeInvalid, "yaml"),
        ("services: {web: {image: a, depends_on: [db]}}", ComposeInvalid, "db"),
        ("services: {web: {build: .}}", ComposeUnsupported, "service web needs build"),
    ],
)
def test_a_file_that_is_wrong_fails_before_anything_is_written(
    compose: str, error: type[Exception], words: str, engine: Engine, tmp_path: Path
) -> None:
    converge = FakeConverge()
    with house(engine, tmp_path, converge) as deploys:
        deploy = deploys.start(request(compose=compose))
        with pytest.raises(error, match=words):
            deploy.wait(BOUND)
        told = events_of(deploys.view(deploy.deploy_id))
    assert told[-1][:2] == ("parse", "error") and words in told[-1][2]
    assert converge.asked == [] and not (tmp_path / "compose" / "app").exists()


def test_an_error_is_told_once_and_last_and_the_advice_before_it(engine: Engine, tmp_path: Path) -> None:
    with house(engine, tmp_path, FakeConverge(failing())) as deploys:
        deploy = deploys.start(request())
        with pytest.raises(ConvergeFailed):
            deploy.wait(BOUND)
        told = events_of(deploys.view(deploy.deploy_id))
    assert [status for _, status, _ in told].count("error") == 1
    assert told[-1] == ("create", "error", "port is already allocated")
    assert told[-2][0] == "hint" and "publish another port" in told[-2][2]
    assert ("create", "running", "web: port is already allocated") in told
    assert any(step == "cleanup" and "removed web" in message for step, _, message in told)


def test_a_deploy_that_fails_leaves_the_files_of_the_one_before(engine: Engine, tmp_path: Path) -> None:
    converge = FakeConverge()
    with house(engine, tmp_path, converge) as deploys:
        deploys.start(request(compose=yaml("app:1"), env_file="A=1\n", files={"c/web.conf": "one"})).wait(BOUND)
        converge.script = failing()
        with pytest.raises(ConvergeFailed):
            deploys.start(request(compose=yaml("app:2"), files={"c/web.conf": "two", "new/x": "x"})).wait(BOUND)
        standing = deploys.stored.load("app")
    assert standing is not None and standing.compose == yaml("app:1") and standing.env_file == "A=1\n"
    folder = tmp_path / "compose" / "app"
    assert (folder / "c" / "web.conf").read_text() == "one" and not (folder / "new").exists()


def test_where_the_disk_takes_no_lock_nothing_is_begun_and_it_is_said_why(engine: Engine, tmp_path: Path) -> None:
    converge = FakeConverge()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "locks").write_text("a file where the folder should be made")
    with house(engine, tmp_path, converge) as deploys:
        deploy = deploys.start(request())
        with pytest.raises(LockFailed):
            deploy.wait(BOUND)
        (*_, last) = events_of(deploys.view(deploy.deploy_id))
    assert last[:2] == ("parse", "error")
    assert "project app cannot be locked" in last[2] and "Not a directory" in last[2]
    assert converge.asked == []


def test_the_same_deploy_joins_the_one_that_runs_and_another_waits_for_it(engine: Engine, tmp_path: Path) -> None:
    released = threading.Event()
    converge = FakeConverge(held(released))
    with house(engine, tmp_path, converge) as deploys:
        first = deploys.start(request(auths={"r.example": "secret"}))
        assert converge.begun.acquire(timeout=BOUND)
        again = deploys.start(request())
        other = deploys.start(request(compose=yaml("app:2")))
        elsewhere = deploys.start(request("elsewhere"))
        assert converge.begun.acquire(timeout=BOUND)
        released.set()
        for deploy in (first, again, other, elsewhere):
            deploy.wait(BOUND)
        waited = events_of(deploys.view(other.deploy_id))[0]
    assert again.deploy_id == first.deploy_id != other.deploy_id
    assert converge.projects == ["app", "elsewhere", "app"]
    assert "under way" in waited[2]


def test_past_the_cap_a_deploy_is_refused_and_leaves_no_record(engine: Engine, tmp_path: Path) -> None:
    released = threading.Event()
    converge = FakeConverge(held(released))
    with house(engine, tmp_path, converge) as deploys:
        waiting = [deploys.start(request(compose=yaml(f"app:{number}"))) for number in range(8)]
        with pytest.raises(QueueFull, match="8 changes of project app"):
            deploys.start(request(compose=yaml("app:one-more")))
        assert len(list((tmp_path / "state" / "deploys").iterdir())) == 8
        released.set()
        for deploy in waiting:
            deploy.wait(BOUND)


def test_a_viewer_who_comes_late_or_after_a_restart_gets_all_events(engine: Engine, tmp_path: Path) -> None:
    with house(engine, tmp_path, FakeConverge()) as deploys:
        deploy = deploys.start(request())
        live = events_of(deploys.view(deploy.deploy_id))
        assert events_of(deploys.view(deploy.deploy_id)) == live
        with pytest.raises(NoSuchDeploy, match="session not found"):
            deploys.view("deploy-0123456789abcdef")
        with pytest.raises(NoSuchDeploy):
            deploys.view("../../etc/passwd")
    with house(engine, tmp_path, FakeConverge()) as restarted:
        assert events_of(restarted.view(deploy.deploy_id)) == live
    assert live[-1][0] == "complete"


def test_two_names_that_normalise_alike_are_refused(engine: Engine, tmp_path: Path) -> None:
    converge = FakeConverge()
    with house(engine, tmp_path, converge) as deploys:
        deploys.start(request("My.App")).wait(BOUND)
        with pytest.raises(NameClash, match=r"My-?\.App"):
            deploys.start(request("myapp")).wait(BOUND)
        deploys.start(request("My.App", yaml("app:2"))).wait(BOUND)
    assert converge.projects == ["myapp", "myapp"]


def test_a_name_that_another_projects_containers_bear_in_another_form_is_refused(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str], tmp_path: Path
) -> None:
    daemon.create(busybox, name=f"{unique}-web", labels={**labels, "dockpal.project": unique.upper()})
    with house(engine, tmp_path, FakeConverge()) as deploys, pytest.raises(NameClash, match=unique.upper()):
        deploys.start(request(unique)).wait(BOUND)


def test_credentials_are_in_no_file(engine: Engine, tmp_path: Path) -> None:
    converge = FakeConverge()
    with house(engine, tmp_path, converge) as deploys:
        deploys.start(request(auths={"r.example": "c2VjcmV0"}, env={"A": "1"})).wait(BOUND)
    assert converge.asked[0][1].auths == {"r.example": "c2VjcmV0"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4 and not any("c2VjcmV0" in path.read_text() for path in files)


def interrupted(
    engine: Engine, data: Path, project: str, docker: Callable[[dict[str, str]], None]
) -> tuple[str, list[tuple[str, str, str]]]:
    """A deploy of app:2 over app:1 that is left in converge() as a kill leaves it; the next start's last words.

    `docker` gets the hashes of the new services, and makes of Docker what the kill left.
    """
    released = threading.Event()
    converge = FakeConverge()
    with house(engine, data, converge) as deploys:
        deploys.start(request(project, yaml("app:1"))).wait(BOUND)
        converge.script = held(released)
        left = deploys.start(request(project, yaml("app:2")))
        for _ in range(2):
            assert converge.begun.acquire(timeout=BOUND)
        copy = data.with_name("killed")
        copy_tree(data, copy)  # the disk as it is at this moment
        released.set()
        left.wait(BOUND)
    with house(engine, copy, FakeConverge()) as restarted:
        pending = restarted.stored.pending(project)
        assert pending is not None and pending.deploy_id == left.deploy_id
        docker({service: hashes[0] for service, hashes in pending.hashes.items()})
        restarted.settle()
        standing = restarted.stored.load(project)
        assert standing is not None and restarted.stored.pending(project) is None
        return standing.compose, events_of(restarted.view(left.deploy_id))


def copy_tree(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())


def test_killed_in_a_deploy_that_docker_does_not_hold_the_files_of_before_come_back_and_it_is_told(
    engine: Engine, tmp_path: Path
) -> None:
    compose, told = interrupted(engine, tmp_path / "data", "app", lambda hashes: None)
    assert compose == yaml("app:1")
    assert told[-1][1] == "error" and "deploy again" in told[-1][2]
    assert [status for _, status, _ in told].count("error") == 1


@pytest.mark.parametrize("stands", [True, False])
def test_killed_in_a_deploy_the_files_follow_what_docker_holds(
    stands: bool, engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str], tmp_path: Path
) -> None:
    def docker(hashes: dict[str, str]) -> None:
        has = {
            "com.docker.compose.project": unique,
            "com.docker.compose.service": "web",
            "com.docker.compose.config-hash": hashes["web"].partition("/")[0] if stands else "of the deploy before",
        }
        daemon.create(busybox, name=f"{unique}-web-1", labels={**labels, **has})

    compose, told = interrupted(engine, tmp_path / "data", unique, docker)
    assert compose == yaml("app:2" if stands else "app:1")
    assert told[-1][:2] == (("complete", "done") if stands else ("create", "error"))


def test_where_no_thread_can_be_had_for_a_deploy_its_viewers_hear_it(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with house(engine, tmp_path, FakeConverge()) as deploys:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            deploy = deploys.start(request())
        with pytest.raises(QueueFull):
            deploy.wait(BOUND)
        (*_, last) = events_of(deploys.view(deploy.deploy_id))
    assert last[1] == "error" and "can't start new thread" in last[2]


def test_what_waits_when_the_agent_ends_is_not_begun_and_its_viewers_hear_it_at_the_next_start(
    engine: Engine, tmp_path: Path
) -> None:
    released = threading.Event()
    converge = FakeConverge(held(released))
    with house(engine, tmp_path, converge) as deploys:
        deploys.start(request())
        waits = deploys.start(request(compose=yaml("app:2")))
        assert converge.begun.acquire(timeout=BOUND)
        ending = threading.Thread(target=deploys.close, args=(BOUND,))
        ending.start()
        with pytest.raises(Stopping):
            waits.wait(BOUND)
        released.set()
        ending.join(BOUND)
    assert converge.projects == ["app"]
    with house(engine, tmp_path, FakeConverge()) as restarted:
        restarted.settle()
        assert "before this deploy had changed anything" in events_of(restarted.view(waits.deploy_id))[-1][2]


def test_deployed_again_for_an_update_nothing_is_pulled_written_or_started_that_was_stopped(
    engine: Engine, tmp_path: Path
) -> None:
    def gate(containers: Mapping[str, str]) -> None:
        pass

    converge = FakeConverge()
    with house(engine, tmp_path, converge) as deploys:
        deploys.start(request("My.App", yaml(), env={"A": "b"}, profiles=("x",))).wait(BOUND)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "compose").rglob("*")}
        deploys.change("my.app", "update", lambda: deploys.redeploy("my.app", gate)).wait(BOUND)

    (first, usual), (again, options) = converge.asked
    assert again == first and options.display_name == "My.App"
    assert (options.pull, options.gate, options.leave_stopped) == ("never", gate, True)
    assert (usual.gate, usual.leave_stopped) == (None, False)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "compose").rglob("*")} == before


def test_updates_are_switched_in_the_stored_file_and_its_record_and_nowhere_else(
    engine: Engine, tmp_path: Path
) -> None:
    converge = FakeConverge()
    folder = tmp_path / "compose" / "app"
    text = "# ours\r\nservices:\r\n  web:\r\n    image: ${IMAGE}\r\n"
    labels = '    labels:\r\n      dockpal.auto-update: "true"\r\n'
    with house(engine, tmp_path, converge) as deploys:

        def switched(enabled: bool) -> bytes:
            deploys.change("app", "switch", lambda: deploys.relabel("app", enabled)).wait(BOUND)
            standing = deploys.stored.load("app")
            record = json.loads((folder / ".dockpal" / "current.json").read_text())
            assert standing is not None and record["compose"] == standing.compose
            assert record["deploy_id"] == deploy.deploy_id and standing.env == {"IMAGE": "app:1"}
            return (folder / "docker-compose.yml").read_bytes()

        deploys.start(request("app", yaml("app:0"))).wait(BOUND)
        deploy = deploys.start(request("app", text, env={"IMAGE": "app:1"}))
        deploy.wait(BOUND)
        others = {path: path.read_bytes() for path in folder.rglob("previous*")}

        assert switched(True) == (text + labels).encode()
        assert switched(True) == (text + labels).encode()
        assert switched(False) == text.encode()
        assert {path: path.read_bytes() for path in folder.rglob("previous*")} == others
        assert (folder / "docker-compose.yml").stat().st_mode & 0o777 == 0o600
        (folder / "docker-compose.yml").write_text("services:\n  by_hand:\n    image: app:2\n")
        assert b"by_hand:\n    image: app:2\n    labels:\n" in switched(True)
    assert len(converge.asked) == 2


def test_a_stored_file_that_cannot_be_switched_is_left_as_it_is(engine: Engine, tmp_path: Path) -> None:
    text = "x-l: &l [a=b]\nservices:\n  web:\n    image: app:1\n    labels: *l\nnetworks:\n  default:\n    labels: *l\n"
    with house(engine, tmp_path, FakeConverge()) as deploys:
        deploys.start(request("app", text)).wait(BOUND)
        with pytest.raises(ComposeUneditable, match="by hand"):
            deploys.change("app", "switch", lambda: deploys.relabel("app", True)).wait(BOUND)
        standing = deploys.stored.load("app")
        assert standing is not None and standing.compose == text
        with pytest.raises(StoredFailed, match="no Compose file of project other"):
            deploys.change("other", "switch", lambda: deploys.relabel("other", True)).wait(BOUND)


def test_updates_have_places_beside_those_of_all_other_changes(engine: Engine, tmp_path: Path) -> None:
    together = threading.Barrier(AT_ONCE + 2)
    with house(engine, tmp_path, FakeConverge(), updates=1) as deploys:
        changes = [
            deploys.change(f"app{number}", "update", lambda: together.wait(BOUND)) for number in range(AT_ONCE + 1)
        ]
        together.wait(BOUND)
        assert {change.wait(BOUND) for change in changes} <= set(range(AT_ONCE + 2))
