"""What runs after each kind of deploy, whether it succeeds or fails, and that data is there after each.

All of it against the old engine and the new one; a table of what was found is printed at the end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockpal_agent.compose.apply import ConvergeFailed
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.plan import PlanRefused
from dockpal_agent.engine import Engine
from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import free_port
from tests.faults.proxy import FaultProxy
from tests.integration.stacks import Stack

pytestmark = pytest.mark.engines("old", "new")

FILE = """
services:
  db:
    image: {image}
    command: sleep 1000
    stop_signal: SIGKILL
    environment: {{LEVEL: "1"}}
    volumes: [data:/data, /anonymous]
  web:
    image: {image}
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: [db]
volumes: {{data: }}
"""
NOBODY = "dockpal-test/there-is-none:1"
WRITE = "echo named > /data/file; echo anonymous > /anonymous/file"


Table = list[tuple[str, str, str]]  # the scenario, what runs afterwards, the data in its volumes


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    """What stood after each scenario, printed when all have run."""
    rows: Table = []
    yield rows
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{'after …':{widths[0]}}   {'runs':{widths[1]}}   data")
        for scenario, runs, data in rows:
            print(f"{scenario:{widths[0]}}   {runs:{widths[1]}}   {data}")


@pytest.fixture
def references(daemon: Daemon, unique: str) -> Iterator[list[str]]:
    """Images that a test makes, removed when their containers are gone."""
    made: list[str] = []
    yield made
    daemon.clean(unique, f"com.docker.compose.project={unique}")
    for reference in made:
        daemon.answer("DELETE", f"/images/{reference}", {"force": 1})


@pytest.fixture
def empty(
    daemon: Daemon, engine: Engine, docker_compose: Path, busybox: str, unique: str, tmp_path: Path, references: object
) -> Stack:
    """A project of which nothing stands yet."""
    made = Stack(tmp_path / "project", unique, daemon, engine, docker_compose)
    made.write(FILE.format(image=busybox))
    return made


@pytest.fixture
def stack(empty: Stack, table: Table, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A project that runs, with data in a named and an anonymous volume; the data is there when the test has ended."""
    empty.ours()
    empty.daemon.exec(f"{empty.project}-db-1", "sh", "-c", WRITE)
    yield empty
    data = data_of(empty)
    table.append((scenario_of(request), runs(empty), data))
    assert data == "named, anonymous"


def scenario_of(request: pytest.FixtureRequest) -> str:
    """The test's sentence and its engine."""
    name, _, engine = str(request.node.name).removeprefix("test_").partition("[")
    return f"{engine.rstrip(']'):3} {name.replace('_', ' ')}"


def runs(stack: Stack) -> str:
    states = stack.states()
    return " ".join(name[len(stack.project) + 1 :] for name in sorted(states) if states[name] == "running") or "nothing"


def data_of(stack: Stack) -> str:
    """The words in the files of the two volumes, whether the service still mounts the named one or not."""
    if stack.daemon.exec(f"{stack.project}-db-1", "cat", "/data/file", "/anonymous/file") == b"named\nanonymous\n":
        return "named, anonymous"
    volume = f"{stack.project}_data:/named:ro"
    host = {"Binds": [volume], "VolumesFrom": [f"{stack.project}-db-1"]}
    peek = stack.daemon.run("dockpal-test/busybox:latest", "sleep", "60", name=f"{stack.project}.peek", HostConfig=host)
    found = stack.daemon.exec(peek, "cat", "/named/file", "/anonymous/file").decode().split()
    stack.daemon.remove(peek)
    return ", ".join(found)


@pytest.fixture
def proxy(docker_socket: str) -> Iterator[FaultProxy]:
    with FaultProxy(docker_socket) as proxy:
        yield proxy


def change(stack: Stack, old: str, new: str) -> None:
    text = stack.path.read_text()
    assert old in text
    stack.write(text.replace(old, new))


def names(stack: Stack, *services: str) -> dict[str, str]:
    return {f"{stack.project}-{service}": "running" for service in services}


def has_its_data(stack: Stack, container: str = "db-1") -> None:
    name = f"{stack.project}-{container}"
    assert stack.daemon.exec(name, "cat", "/data/file", "/anonymous/file") == b"named\nanonymous\n"


def restored(stack: Stack, before: dict[str, tuple[str, str]]) -> None:
    """The same containers as before, all running, with their data, and nothing besides."""
    assert {name: row[0] for name, row in stack.rows().items()} == {name: row[0] for name, row in before.items()}
    assert set(stack.states().values()) == {"running"}
    has_its_data(stack)
    assert stack.journal.unfinished() == []


def test_a_first_deploy_runs_all_services_in_their_order(stack: Stack) -> None:
    assert stack.states() == names(stack, "db-1", "web-1")
    rows = stack.rows()
    assert rows[f"{stack.project}-db-1"][1] < rows[f"{stack.project}-web-1"][1]


def test_an_unchanged_deploy_touches_nothing_and_changes_nothing_in_docker(stack: Stack, proxy: FaultProxy) -> None:
    before = stack.rows()
    through = Engine(proxy.socket_path)

    outcome = stack.bring_up(Options(), through)
    through.close()

    assert stack.rows() == before
    assert not outcome.plan.changes
    assert {method for method, _ in proxy.calls} == {"GET"}


def test_a_changed_environment_makes_that_service_anew_with_its_data_and_leaves_the_others(stack: Stack) -> None:
    before = stack.rows()
    change(stack, 'LEVEL: "1"', 'LEVEL: "2"')

    stack.ours()

    after = stack.rows()
    db, web = f"{stack.project}-db-1", f"{stack.project}-web-1"
    assert after[db][0] != before[db][0]
    assert after[web] == before[web]
    assert "LEVEL=2" in stack.daemon.inspect(db)["Config"]["Env"]
    assert stack.states() == names(stack, "db-1", "web-1")
    has_its_data(stack)


def test_an_image_that_means_another_one_now_makes_its_services_anew(
    stack: Stack, unique: str, references: list[str]
) -> None:
    daemon = stack.daemon
    references.append(f"dockpal-test/{unique}:1")
    daemon.call("POST", "/images/dockpal-test/busybox:latest/tag", {"repo": f"dockpal-test/{unique}", "tag": "1"})
    text = stack.path.read_text()
    stack.write(text.replace("image: dockpal-test/busybox:latest", f"image: {references[0]}", 1))
    stack.ours()
    before = stack.rows()
    made = daemon.create("dockpal-test/busybox:latest", "true", name=f"{unique}-seed")
    daemon.call("POST", "/commit", {"container": made, "repo": f"dockpal-test/{unique}", "tag": "1"}, body={})

    stack.ours()

    after = stack.rows()
    assert after[f"{unique}-db-1"][0] != before[f"{unique}-db-1"][0]
    assert after[f"{unique}-web-1"] == before[f"{unique}-web-1"]


def test_a_service_that_is_added_runs_beside_the_others(stack: Stack, busybox: str) -> None:
    before = stack.rows()
    added = f"services:\n  more:\n    image: {busybox}\n    command: sleep 1000\n    stop_signal: SIGKILL"
    change(stack, "services:", added)

    stack.ours()

    assert stack.states() == names(stack, "db-1", "web-1", "more-1")
    assert before.items() <= stack.rows().items()


def test_a_service_that_is_removed_from_the_file_stays_and_is_named_until_it_is_asked_to_go(stack: Stack) -> None:
    text = stack.path.read_text()
    stack.write(text[: text.index("  web:")] + text[text.index("volumes: {data") :])

    outcome = stack.ours()
    assert any(f"{stack.project}-web-1" in warning for warning in outcome.warnings)
    assert stack.states() == names(stack, "db-1", "web-1")

    stack.ours(remove_orphans=True)
    assert stack.states() == names(stack, "db-1")
    has_its_data(stack)


def test_a_volume_under_a_new_name_is_made_and_the_old_one_stays_with_its_data(stack: Stack) -> None:
    change(stack, "data:/data", "fresh:/data")
    change(stack, "volumes: {data: }", "volumes: {fresh: }")

    stack.ours()

    assert stack.daemon.exec(f"{stack.project}-db-1", "ls", "/data", "/anonymous") == b"/anonymous:\nfile\n\n/data:\n"
    assert stack.daemon.answer("GET", f"/volumes/{stack.project}_data").status == 200


def test_a_service_is_scaled_up_and_down_by_its_highest_numbers(stack: Stack) -> None:
    change(stack, "    depends_on: [db]", "    depends_on: [db]\n    scale: 3")
    stack.ours()
    assert stack.states() == names(stack, "db-1", "web-1", "web-2", "web-3")
    first = stack.rows()[f"{stack.project}-web-1"]

    change(stack, "scale: 3", "scale: 1")
    stack.ours()
    assert stack.states() == names(stack, "db-1", "web-1")
    assert stack.rows()[f"{stack.project}-web-1"] == first


def test_a_stopped_service_is_started_again(stack: Stack) -> None:
    before = stack.rows()
    stack.daemon.call("POST", f"/containers/{stack.project}-web-1/stop")

    stack.ours()

    assert stack.states() == names(stack, "db-1", "web-1")
    assert {name: row[0] for name, row in stack.rows().items()} == {name: row[0] for name, row in before.items()}


def test_an_unhealthy_dependency_fails_the_deploy_and_everything_is_put_back(stack: Stack) -> None:
    before = stack.rows()
    change(stack, 'LEVEL: "1"}', 'LEVEL: "2"}\n    healthcheck: {test: [CMD, "false"], interval: 0.2s, retries: 1}')
    change(stack, "depends_on: [db]", "depends_on: {db: {condition: service_healthy}}\n    environment: {A: b}")

    with pytest.raises(ConvergeFailed, match=f"container {stack.project}-db-1 is unhealthy") as failure:
        stack.ours()

    assert failure.value.restored
    assert f"container {stack.project}-db-1: as it was" in failure.value.undone
    restored(stack, before)


def test_a_dependency_that_does_not_become_healthy_in_time_fails_the_deploy(stack: Stack) -> None:
    before = stack.rows()
    change(stack, 'LEVEL: "1"}', 'LEVEL: "2"}\n    healthcheck: {test: [CMD, "false"], interval: 60s}')
    change(stack, "depends_on: [db]", "depends_on: {db: {condition: service_healthy}}\n    environment: {A: b}")

    with pytest.raises(ConvergeFailed, match="has not become healthy within 1 s"):
        stack.ours(wait_limit=1.0)

    restored(stack, before)


def test_a_port_that_a_container_has_already_fails_the_deploy_before_anything_is_touched(
    stack: Stack, busybox: str
) -> None:
    holder = stack.daemon.run(
        busybox,
        "sleep",
        "1000",
        name=f"{stack.project}.holder",
        ExposedPorts={"80/tcp": {}},
        HostConfig={"PortBindings": {"80/tcp": [{"HostPort": ""}]}},
    )
    port = stack.daemon.inspect(holder)["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    before = stack.rows()
    change(stack, "depends_on: [db]", f'depends_on: [db]\n    ports: ["{port}:80"]')

    with pytest.raises(PlanRefused, match=f"Bind for 0.0.0.0:{port} failed: port is already allocated.*holder"):
        stack.ours()

    assert stack.rows() == before


def test_a_port_that_a_program_of_the_host_has_fails_the_start_and_everything_is_put_back(
    stack: Stack, busybox: str
) -> None:
    port = str(free_port())
    program = ("httpd", "-f", "-p", f"127.0.0.1:{port}")  # in the engine's own network, wherever that is
    holder = stack.daemon.run(
        busybox, *program, name=f"{stack.project}.program", StopSignal="SIGKILL", HostConfig={"NetworkMode": "host"}
    )
    wait_for(lambda: port.encode() in stack.daemon.exec(holder, "netstat", "-ltn"), "the program to listen")
    before = stack.rows()
    change(stack, "depends_on: [db]", f'depends_on: [db]\n    ports: ["127.0.0.1:{port}:80"]')
    change(stack, 'LEVEL: "1"', 'LEVEL: "2"')

    with pytest.raises(ConvergeFailed, match="address already in use") as failure:
        stack.ours()

    assert "everything was put back as it was" in str(failure.value)
    restored(stack, before)


def test_an_image_that_is_nowhere_fails_the_deploy_before_anything_is_touched(stack: Stack, busybox: str) -> None:
    before = stack.rows()
    text = stack.path.read_text()
    stack.write(text.replace(f"image: {busybox}", f"image: 127.0.0.1:1/{NOBODY}", 1))

    with pytest.raises(ConvergeFailed, match=r"127\.0\.0\.1:1") as failure:
        stack.ours()

    assert "nothing was changed" in str(failure.value)
    assert stack.rows() == before


def test_a_create_that_docker_refuses_leaves_everything_running(stack: Stack) -> None:
    before = stack.rows()
    change(stack, 'LEVEL: "1"}', 'LEVEL: "2"}\n    runtime: there-is-none')

    with pytest.raises(ConvergeFailed, match=r"(?i)unknown.* runtime.*there-is-none"):
        stack.ours()

    assert stack.rows() == before


def test_a_network_that_docker_refuses_is_named(stack: Stack, daemon: Daemon, unique: str) -> None:
    before = stack.rows()
    pool = {"Driver": "default", "Config": [{"Subnet": "10.213.77.0/24"}]}
    daemon.call("POST", "/networks/create", body={"Name": f"{unique}-there", "IPAM": pool})
    try:
        taken = "{ipam: {config: [{subnet: 10.213.77.0/24}]}}"
        change(stack, "depends_on: [db]", "depends_on: [db]\n    networks: [more]")
        change(stack, "volumes: {data: }", f"networks: {{more: {taken}}}\nvolumes: {{data: }}")
        with pytest.raises(ConvergeFailed, match=f"^network {unique}_more: "):
            stack.ours()
    finally:
        daemon.call("DELETE", f"/networks/{unique}-there")
    assert stack.rows() == before


def test_a_start_that_docker_refuses_puts_everything_back(stack: Stack) -> None:
    before = stack.rows()
    change(stack, 'LEVEL: "1"}', 'LEVEL: "2"}\n    entrypoint: /no/such/program')

    with pytest.raises(ConvergeFailed, match="no such file or directory"):
        stack.ours()

    restored(stack, before)


@pytest.mark.parametrize("call", ["create", "stop", "start"])
def test_a_daemon_that_goes_away_in_the_middle_and_comes_back_finds_everything_put_back(
    stack: Stack, proxy: FaultProxy, call: str
) -> None:
    before = stack.rows()
    change(stack, 'LEVEL: "1"}', 'LEVEL: "2"}\n    networks: [default, fresh]')
    change(stack, "volumes: {data: }", "volumes: {data: }\nnetworks: {fresh: }")

    def leave(seen: object) -> None:
        proxy.stop()
        threading.Timer(1.0, proxy.start).start()

    path = "/containers/create" if call == "create" else f"/containers/[^/]+/{call}"
    proxy.after("POST", path, leave, times=1)
    through = Engine(proxy.socket_path)
    try:
        with pytest.raises(ConvergeFailed) as failure:
            stack.bring_up(Options(proof=0.5), through)
    finally:
        through.close()

    assert failure.value.restored, failure.value
    restored(stack, before)
    assert stack.daemon.answer("GET", f"/networks/{stack.project}_fresh").status == 404


def test_a_container_that_ends_at_once_puts_everything_back_and_says_its_last_words(stack: Stack) -> None:
    before = stack.rows()
    change(stack, "depends_on: [db]", 'depends_on: [db]\n    entrypoint: [sh, -c, "echo no licence; exit 3"]')

    with pytest.raises(ConvergeFailed, match=r"ended \(exit code 3\); its last output: no licence"):
        stack.ours()

    restored(stack, before)


def test_a_first_deploy_that_fails_leaves_nothing_behind_but_volumes_that_may_have_data(
    empty: Stack, daemon: Daemon, unique: str, table: Table, request: pytest.FixtureRequest
) -> None:
    def anonymous() -> set[str]:
        return {one["Name"] for one in daemon.call("GET", "/volumes")["Volumes"] or [] if len(one["Name"]) == 64}

    before = anonymous()
    change(empty, "command: sleep 1000", "entrypoint: /no/such/program")

    with pytest.raises(ConvergeFailed):
        empty.ours()

    table.append((scenario_of(request), runs(empty), "–"))
    left = anonymous() - before
    for name in left:
        daemon.answer("DELETE", f"/volumes/{name}")
    assert len(left) == 1, "db's, which was to be started"
    assert empty.rows() == {}
    assert [network["Name"] for network in daemon.call("GET", "/networks") if unique in network["Name"]] == []


def test_a_job_that_others_wait_for_runs_and_a_failing_one_stops_the_deploy(stack: Stack, busybox: str) -> None:
    job = f"services:\n  job:\n    image: {busybox}\n    command: ['true']\n    restart: unless-stopped"
    change(stack, "services:", job)
    change(stack, "depends_on: [db]", "depends_on: {job: {condition: service_completed_successfully}}\n    tty: true")
    stack.ours()
    assert stack.daemon.inspect(f"{stack.project}-web-1")["State"]["Running"]

    before = stack.rows()
    change(stack, "command: ['true']\n    restart: unless-stopped", "command: ['false']")
    change(stack, "tty: true", "tty: false")
    with pytest.raises(ConvergeFailed, match='service "job" didn\'t complete successfully: exit 1'):
        stack.ours()
    assert {name: row[0] for name, row in stack.rows().items()} == {name: row[0] for name, row in before.items()}


def test_a_network_whose_settings_changed_is_made_anew_with_everything_in_it(stack: Stack) -> None:
    stack.write(stack.path.read_text() + "networks: {default: {internal: true}}\n")

    stack.ours()

    network = stack.daemon.call("GET", f"/networks/{stack.project}_default")
    assert network["Internal"]
    assert len(network["Containers"]) == 2
    has_its_data(stack)


def test_a_failing_deploy_brings_a_network_back_with_its_old_settings(stack: Stack) -> None:
    before = stack.rows()
    stack.write(stack.path.read_text() + "networks: {default: {internal: true}}\n")
    change(stack, 'LEVEL: "1"}', 'LEVEL: "2"}\n    entrypoint: /no/such/program')

    with pytest.raises(ConvergeFailed, match="no such file or directory") as failure:
        stack.ours()

    assert failure.value.restored
    restored(stack, before)
    network = stack.daemon.call("GET", f"/networks/{stack.project}_default")
    assert not network["Internal"]
    assert set(network["Containers"]) == {row[0] for row in before.values()}
    assert stack.daemon.exec(f"{stack.project}-web-1", "sh", "-c", "ping -c 1 -W 2 db >/dev/null && echo found") == (
        b"found\n"
    )


def test_containers_of_the_original_agent_are_taken_over_with_their_volumes(
    empty: Stack, daemon: Daemon, busybox: str, unique: str, table: Table, request: pytest.FixtureRequest
) -> None:
    labels = {"dockpal.managed": "true", "dockpal.project": unique, "dockpal.service": "db"}
    old = daemon.run(
        busybox,
        "sleep",
        "1000",
        name=f"{unique}_db",
        labels=labels,
        StopSignal="SIGKILL",
        Volumes={"/anonymous": {}},
        HostConfig={"Binds": [f"{unique}_data:/data"]},
    )
    daemon.exec(old, "sh", "-c", WRITE)

    empty.ours()

    table.append((scenario_of(request), runs(empty), data_of(empty)))
    assert empty.states() == names(empty, "db-1", "web-1")
    assert not daemon.exists(f"{unique}_db")
    has_its_data(empty)


def test_the_wait_for_a_dependency_ends_when_another_service_fails(stack: Stack) -> None:
    change(stack, 'LEVEL: "1"}', 'LEVEL: "2"}\n    healthcheck: {test: [CMD, "false"], interval: 60s}')
    change(stack, "depends_on: [db]", "depends_on: {db: {condition: service_healthy}}\n    environment: {A: b}")
    broken = "services:\n  broken:\n    image: dockpal-test/busybox:latest\n    entrypoint: /no/such/program"
    change(stack, "services:", broken)

    with pytest.raises(ConvergeFailed, match="no such file or directory"):
        stack.ours(wait_limit=300.0)

    assert stack.states() == names(stack, "db-1", "web-1")
