"""PUT /docker/containers/:id against a real engine: what changes in place, what recreates, what survives the form."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.daemon import Daemon
from tests.integration.edits import Caller, house, small_config, variant

MB = 1 << 20


@pytest.fixture
def caller(tmp_path: Path, docker_socket: str) -> Iterator[Caller]:
    with house(small_config(tmp_path / "data", docker_socket)) as service:
        yield Caller(service)


class Made:
    """Containers of one test: `made.run(...)` gives the name."""

    def __init__(self, daemon: Daemon, image: str, unique: str, labels: dict[str, str]) -> None:
        self.daemon, self.image, self.unique, self.labels = daemon, image, unique, labels

    def run(self, name: str = "web", *command: str, **config: Any) -> str:
        config = {"StopSignal": "SIGKILL", **config}
        image = config.pop("Image", self.image)
        full = f"{self.unique}-{name}"
        self.daemon.run(image, *(command or ("sleep", "1000")), name=full, labels=self.labels, **config)
        return full

    def inspect(self, name: str) -> Any:
        return self.daemon.inspect(name)


@pytest.fixture
def made(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> Made:
    return Made(daemon, busybox, unique, labels)


def form(detail: dict[str, Any]) -> dict[str, Any]:
    """What the Server's page sends back with every change (protocol 2.2)."""
    ports = {(p["PublicPort"], p["PrivatePort"], p["Type"]) for p in detail["ports"] if p.get("PublicPort")}
    sent: dict[str, Any] = {
        "name": detail["name"],
        "restart_policy": detail["restart_policy"],
        "memory_limit": detail["memory_limit"],
        "cpu_limit": detail["nano_cpus"] / 1e9,
        "env": detail["env"],
        "ports": [{"host_port": host, "container_port": inner, "protocol": kind} for host, inner, kind in ports],
        "volumes": [
            {"host_path": m["Source"], "container_path": m["Destination"], "read_only": not m["RW"]}
            for m in detail["mounts"]
            if m["Source"] and m["Destination"]
        ],
    }
    return {key: value for key, value in sent.items() if value not in ("", [])}


def in_order(found: dict[str, Any]) -> dict[str, Any]:
    """Docker lists mounts in an order of the moment."""
    return {**found, "Mounts": sorted(found["Mounts"], key=lambda mount: str(mount["Destination"]))}


def rich(unique: str, folder: Path) -> dict[str, Any]:
    """A container with all that the form shows in its lossy way."""
    return {
        "Volumes": {"/anonymous": {}},
        "ExposedPorts": {"80/tcp": {}, "81/tcp": {}, "82/tcp": {}},
        "HostConfig": {
            "Binds": [f"{unique}-named:/named", f"{folder}:/host:ro"],
            "Mounts": [{"Type": "tmpfs", "Target": "/scratch"}],
            "Tmpfs": {"/run": ""},
            "PortBindings": {
                "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}],
                "81/tcp": [{"HostIp": "127.0.0.3", "HostPort": "20081"}, {"HostIp": "127.0.0.4", "HostPort": "20081"}],
            },
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 4},
            "Memory": 64 * MB,
            "NanoCpus": 300_000_000,
        },
    }


def test_the_form_sent_back_as_it_was_changes_nothing(caller: Caller, made: Made, unique: str, tmp_path: Path) -> None:
    web = made.run(**rich(unique, tmp_path))
    before = made.inspect(web)

    answer = caller.put(web, **form(caller.call("GET", web)[1]))

    assert in_order(made.inspect(web)) == in_order(before)
    assert answer["id"] == before["Id"][:12]
    assert answer["container"] == {key: value for key, value in answer.items() if key != "container"}


def test_a_change_of_the_name_in_the_form_renames_in_place(
    caller: Caller, made: Made, unique: str, tmp_path: Path
) -> None:
    web = made.run(**rich(unique, tmp_path))
    before = made.inspect(web)

    answer = caller.put(web, **{**form(caller.call("GET", web)[1]), "name": f"{unique}-shop"})

    assert answer["name"] == f"{unique}-shop"
    after = made.inspect(f"{unique}-shop")
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])


def test_what_the_form_cannot_say_survives_a_recreate(caller: Caller, made: Made, unique: str, tmp_path: Path) -> None:
    web = made.run(**rich(unique, tmp_path))
    before = made.inspect(web)
    made.daemon.exec(web, "sh", "-c", "echo a > /anonymous/f; echo n > /named/f")
    sent = form(caller.call("GET", web)[1])
    sent["env"] = [*sent["env"], "NEW=1"]

    caller.put(web, **sent)

    after = made.inspect(web)
    assert after["Id"] != before["Id"]
    volumes = {mount["Destination"]: mount.get("Name") for mount in after["Mounts"]}
    assert volumes == {mount["Destination"]: mount.get("Name") for mount in before["Mounts"]}
    assert after["HostConfig"]["PortBindings"] == before["HostConfig"]["PortBindings"]
    assert after["HostConfig"]["RestartPolicy"] == before["HostConfig"]["RestartPolicy"]
    assert after["HostConfig"]["Tmpfs"] == {"/run": ""}
    assert made.daemon.exec(web, "cat", "/anonymous/f", "/named/f") == b"a\nn\n"
    assert b"tmpfs on /scratch" in made.daemon.exec(web, "mount")


def test_policy_memory_and_cpus_change_in_place_and_swap_keeps_its_proportion(caller: Caller, made: Made) -> None:
    web = made.run(HostConfig={"Memory": 64 * MB})
    before = made.inspect(web)
    assert before["HostConfig"]["MemorySwap"] == 128 * MB

    answer = caller.put(web, restart_policy="unless-stopped", memory_limit=32 * MB, cpu_limit=0.25)

    after = made.inspect(web)
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert after["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert (after["HostConfig"]["Memory"], after["HostConfig"]["MemorySwap"]) == (32 * MB, 64 * MB)
    assert after["HostConfig"]["NanoCpus"] == 250_000_000
    assert (answer["memory_limit"], answer["nano_cpus"]) == (32 * MB, 250_000_000)


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ({}, 64 * MB, (64 * MB, 128 * MB)),
        ({"Memory": 64 * MB}, 256 * MB, (256 * MB, 512 * MB)),
        ({"Memory": 64 * MB, "MemorySwap": -1}, 256 * MB, (256 * MB, -1)),
        ({"Memory": 64 * MB, "MemorySwap": 64 * MB}, 32 * MB, (32 * MB, 32 * MB)),
        ({"Memory": 64 * MB, "MemorySwap": 72 * MB}, 128 * MB, (128 * MB, 136 * MB)),
        ({"Memory": 64 * MB}, 0, (0, 0)),
    ],
    ids=["none before", "raised", "unlimited swap", "no swap", "some swap", "lifted"],
)
def test_a_memory_limit_leaves_the_users_choice_of_swap(
    before: dict[str, int], wanted: int, after: tuple[int, int], caller: Caller, made: Made
) -> None:
    web = made.run(HostConfig=before)

    caller.put(web, memory_limit=wanted)

    found = made.inspect(web)
    assert (found["HostConfig"]["Memory"], found["HostConfig"]["MemorySwap"]) == after
    assert found["State"]["Running"]


@pytest.mark.parametrize(
    ("host", "cores", "nano"),
    [({"NanoCpus": 500_000_000}, 0, 0), ({"CpuQuota": 50_000, "CpuPeriod": 100_000}, 0.75, 750_000_000)],
    ids=["lifted", "said as a quota before"],
)
def test_what_docker_cannot_change_in_place_recreates(
    host: dict[str, int], cores: float, nano: int, caller: Caller, made: Made
) -> None:
    web = made.run(HostConfig=host)
    before = made.inspect(web)["Id"]

    caller.put(web, cpu_limit=cores)

    found = made.inspect(web)
    assert found["Id"] != before
    assert (found["HostConfig"]["NanoCpus"], found["HostConfig"]["CpuQuota"]) == (nano, 0)


def test_an_update_that_docker_refuses_takes_the_name_back(caller: Caller, made: Made, unique: str) -> None:
    web = made.run()

    status, answer = caller.call("PUT", web, {"name": f"{unique}-other", "memory_limit": 1000})

    assert status == 400
    assert "Minimum memory limit" in answer["error"]
    assert made.inspect(web)["State"]["Running"]


def test_everything_at_once_is_one_recreate_under_the_new_name(
    caller: Caller, made: Made, unique: str, tmp_path: Path
) -> None:
    web = made.run(**rich(unique, tmp_path))
    root = made.daemon.call("GET", "/info")["DockerRootDir"]

    answer = caller.put(
        web,
        name=f"{unique}-shop",
        restart_policy="always",
        memory_limit=32 * MB,
        cpu_limit=0.5,
        env=["ONLY=1"],
        ports=[{"host_port": 20090, "container_port": 81, "protocol": ""}],
        volumes=[{"host_path": f"{root}/volumes/{unique}-named/_data", "container_path": "/moved"}],
    )

    found = made.inspect(f"{unique}-shop")
    assert not made.daemon.exists(web)
    assert answer["name"] == f"{unique}-shop"
    assert sorted(found["Config"]["Env"]) == ["ONLY=1", "PATH=/bin"]
    host = found["HostConfig"]
    assert (host["RestartPolicy"]["Name"], host["Memory"], host["NanoCpus"]) == ("always", 32 * MB, 500_000_000)
    assert host["PortBindings"] == {"81/tcp": [{"HostIp": "", "HostPort": "20090"}]}
    mounts = {mount["Destination"]: (mount["Type"], mount.get("Name")) for mount in found["Mounts"]}
    assert mounts == {"/moved": ("volume", f"{unique}-named"), "/scratch": ("tmpfs", None)}


def test_a_changed_host_port_stays_on_its_host_address(caller: Caller, made: Made) -> None:
    web = made.run(
        ExposedPorts={"80/tcp": {}},
        HostConfig={"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.5", "HostPort": "20100"}]}},
    )

    caller.put(web, ports=[{"host_port": 20101, "container_port": 80, "protocol": "tcp"}])

    bindings = made.inspect(web)["HostConfig"]["PortBindings"]
    assert bindings == {"80/tcp": [{"HostIp": "127.0.0.5", "HostPort": "20101"}]}


def test_a_mount_turned_read_only_stays_the_same_volume(caller: Caller, made: Made, unique: str) -> None:
    web = made.run(Volumes={"/data": {}})
    volume = made.inspect(web)["Mounts"][0]

    caller.put(web, volumes=[{"host_path": volume["Source"], "container_path": "/data", "read_only": True}])

    mount = made.inspect(web)["Mounts"][0]
    assert (mount["Type"], mount["Name"], mount["RW"]) == ("volume", volume["Name"], False)


@pytest.mark.parametrize("state", ["created", "exited", "paused", "running"])
def test_the_state_is_afterwards_what_it_was(state: str, caller: Caller, made: Made, unique: str) -> None:
    if state == "created":
        web = f"{unique}-web"
        made.daemon.create(made.image, "sleep", "1000", name=web, labels=made.labels)
    else:
        web = made.run()
    if state == "exited":
        made.daemon.call("POST", f"/containers/{web}/stop", {"t": 0})
    if state == "paused":
        made.daemon.call("POST", f"/containers/{web}/pause")
    before = made.inspect(web)
    assert before["State"]["Status"] == state

    answer = caller.put(web, env=["A=1"])

    found = made.inspect(web)
    assert found["Id"] != before["Id"]
    assert found["State"]["Status"] == ("created" if state == "exited" else state)
    assert answer["state"] == found["State"]["Status"]
    assert len(made.daemon.containers(name=[unique])) == 1


def test_a_container_that_removes_itself_keeps_its_anonymous_volume(caller: Caller, made: Made) -> None:
    web = made.run(Volumes={"/data": {}}, HostConfig={"AutoRemove": True})
    made.daemon.exec(web, "sh", "-c", "echo kept > /data/f")

    caller.put(web, env=["A=1"])

    found = made.inspect(web)
    assert found["HostConfig"]["AutoRemove"]
    assert "A=1" in found["Config"]["Env"]
    assert made.daemon.exec(web, "cat", "/data/f") == b"kept\n"


def test_one_that_removes_itself_is_made_again_when_its_successor_fails(
    caller: Caller, made: Made, unique: str
) -> None:
    web = made.run(
        "web", "sh", "-c", "[ -z $BREAK ] && exec sleep 1000", Volumes={"/data": {}}, HostConfig={"AutoRemove": True}
    )
    made.daemon.exec(web, "sh", "-c", "echo kept > /data/f")

    status, answer = caller.call("PUT", web, {"env": ["BREAK=1"]})

    assert status == 409
    assert "removed itself" in answer["error"] or "ended" in answer["error"]
    found = made.inspect(web)
    assert found["State"]["Running"]
    assert "BREAK=1" not in found["Config"]["Env"]
    assert made.daemon.exec(web, "cat", "/data/f") == b"kept\n"
    assert len(made.daemon.containers(name=[unique])) == 1


def test_containers_that_share_its_network_are_replaced_with_it(caller: Caller, made: Made, unique: str) -> None:
    vpn = made.run("vpn", Hostname="tunnel")
    app = made.run("app", HostConfig={"NetworkMode": f"container:{made.inspect(vpn)['Id']}"})
    idle = f"{unique}-idle"
    made.daemon.create(
        made.image,
        "true",
        name=idle,
        labels=made.labels,
        HostConfig={"NetworkMode": f"container:{made.inspect(vpn)['Id']}"},
    )

    caller.put(vpn, env=["A=1"])

    vpn_id = made.inspect(vpn)["Id"]
    for name, state in ((app, "running"), (idle, "created")):
        found = made.inspect(name)
        assert found["HostConfig"]["NetworkMode"] == f"container:{vpn_id}"
        assert found["State"]["Status"] == state
    links = made.daemon.exec(app, "ls", "/sys/class/net")
    assert b"eth0" in links
    assert len(made.daemon.containers(name=[unique])) == 3


def test_they_all_come_back_when_one_of_them_fails(caller: Caller, made: Made, unique: str) -> None:
    vpn = made.run("vpn")
    vpn_id = made.inspect(vpn)["Id"]
    app = made.run(
        "app",
        "sh",
        "-c",
        "[ -e /started ] && exit 4; sleep 1000",
        Volumes={"/state": {}},
        HostConfig={"NetworkMode": f"container:{vpn_id}"},
    )
    made.daemon.exec(app, "sh", "-c", "touch /state/ran")
    fragile = made.run(
        "fragile",
        "sh",
        "-c",
        "[ -e /state/once ] && echo was here before >&2 && exit 5; touch /state/once; sleep 1000",
        HostConfig={"NetworkMode": f"container:{vpn_id}", "Binds": [f"{unique}-state:/state"]},
    )
    ids = {name: made.inspect(name)["Id"] for name in (vpn, app)}

    status, answer = caller.call("PUT", vpn, {"env": ["A=1"]})

    assert status == 409
    assert f"container {fragile}" in answer["error"]
    assert "ended (exit code 5); its last output: was here before;" in answer["error"]
    assert {name: made.inspect(name)["Id"] for name in (vpn, app)} == ids
    assert all(made.inspect(name)["State"]["Running"] for name in (vpn, app))


def test_what_came_from_the_old_image_follows_the_new_one(
    caller: Caller, made: Made, unique: str, busybox: str
) -> None:
    def image(version: str, *more: str) -> str:
        return variant(
            made.daemon,
            busybox,
            f"dockpal-test/{unique}:{version}",
            f"ENV VERSION={version}",
            f"LABEL version={version}",
            f"LABEL dropped.{version}=x",
            f'CMD ["sleep","100{version}"]',
            f"WORKDIR /opt/{version}",
            f"EXPOSE 80{version}/tcp",
            f"HEALTHCHECK --interval={version}s CMD true",
            *more,
        )

    one, two = image("1"), image("2")
    web = f"{unique}-web"
    made.daemon.run(
        one,
        name=web,
        labels={**made.labels, "own": "yes"},
        Env=["MINE=1", "PATH=/bin:/extra"],
        ExposedPorts={"9000/tcp": {}},
        HostConfig={"NetworkMode": "none"},
        StopTimeout=1,
    )
    try:
        caller.put(web, image=two)

        config = made.inspect(web)["Config"]
        assert config["Image"] == two
        assert sorted(config["Env"]) == ["MINE=1", "PATH=/bin:/extra", "VERSION=2"]
        assert config["Cmd"] == ["sleep", "1002"]
        assert config["WorkingDir"] == "/opt/2"
        assert config["Healthcheck"]["Interval"] == 2_000_000_000
        assert sorted(config["ExposedPorts"]) == ["802/tcp", "9000/tcp"]
        assert {key: value for key, value in config["Labels"].items() if key not in made.labels} == {
            "own": "yes",
            "version": "2",
            "dropped.2": "x",
        }
    finally:
        made.daemon.remove(web)
        for reference in (one, two):
            made.daemon.answer("DELETE", f"/images/{reference}")


def test_an_edit_keeps_the_image_although_its_tag_has_moved_on(
    caller: Caller, made: Made, unique: str, busybox: str
) -> None:
    reference = f"dockpal-test/{unique}:latest"
    variant(made.daemon, busybox, reference, "LABEL n=1")
    web = made.run(Image=reference)
    old_image = made.inspect(web)["Image"]
    variant(made.daemon, busybox, reference, "LABEL n=2")
    new_image = made.daemon.call("GET", f"/images/{reference}/json")["Id"]
    assert new_image != old_image
    try:
        caller.put(web, env=["A=1"])

        found = made.inspect(web)
        assert (found["Image"], found["Config"]["Image"]) == (old_image, reference)
        assert made.daemon.call("GET", f"/images/{reference}/json")["Id"] == new_image
    finally:
        made.daemon.remove(web)
        made.daemon.answer("DELETE", f"/images/{new_image}", {"force": 1})
        made.daemon.answer("DELETE", f"/images/{old_image}", {"force": 1})


def test_the_same_edit_twice_at_once_is_done_once_and_both_are_answered(
    caller: Caller, made: Made, unique: str
) -> None:
    web = made.run()
    answers: list[tuple[int, Any]] = []

    def edit() -> None:
        answers.append(caller.call("PUT", web, {"env": ["A=1"]}))

    threads = [threading.Thread(target=edit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    found = made.inspect(web)
    assert [(status, answer["id"]) for status, answer in answers] == [(200, found["Id"][:12])] * 3
    assert len(made.daemon.containers(name=[unique])) == 1


def test_a_retry_by_the_id_of_before_finds_it_done(caller: Caller, made: Made) -> None:
    web = made.run()
    before = made.inspect(web)["Id"]
    first = caller.put(before, env=["A=1", "PATH=/bin"])

    again = caller.put(before[:12], env=["A=1", "PATH=/bin"])

    assert again["id"] == first["id"] == made.inspect(web)["Id"][:12]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "-x"},
        {"name": 5},
        {"restart_policy": "on-failure:3"},
        {"memory_limit": -1},
        {"memory_limit": "64m"},
        {"memory_limit": 1.5},
        {"memory_limit": True},
        {"cpu_limit": "1"},
        {"cpu_limit": -0.1},
        {"image": "UPPER/Case"},
        {"env": "A=1"},
        {"env": [1]},
        {"env": ["A=\u0007"]},
        {"env": ["=x"]},
        {"ports": [{"host_port": 0, "container_port": 80}]},
        {"ports": [{"host_port": 80, "container_port": 65536}]},
        {"ports": [{"host_port": "80", "container_port": 80}]},
        {"ports": [{"host_port": 80, "container_port": 80, "protocol": "icmp"}]},
        {"ports": {}},
        {"volumes": [{"host_path": "", "container_path": "/x"}]},
        {"volumes": [{"host_path": "/x", "container_path": "x"}]},
        {"volumes": [{"host_path": "../x", "container_path": "/x"}]},
        {"volumes": [{"host_path": "/x", "container_path": "/"}]},
        {"volumes": [{"host_path": "/x", "container_path": "/y", "read_only": "yes"}]},
        {"volumes": [{"host_path": "/a", "container_path": "/y"}, {"host_path": "/b", "container_path": "/y/"}]},
    ],
    ids=repr,
)
def test_what_is_no_edit_is_a_400_that_names_the_field(body: dict[str, Any], caller: Caller) -> None:
    status, answer = caller.call("PUT", "nobody-is-called-so", body)

    assert status == 400
    assert next(iter(body)) in answer["error"]


def test_an_unknown_container_is_a_404(caller: Caller) -> None:
    status, answer = caller.call("PUT", "nobody-is-called-so", {"env": ["A=1"]})

    assert (status, "No such container" in answer["error"]) == (404, True)


def test_a_protected_container_is_edited_in_place_and_never_replaced(caller: Caller, made: Made) -> None:
    made.labels = {**made.labels, "dockpal.protected": "true"}
    web = made.run()
    before = made.inspect(web)["Id"]

    status, answer = caller.call("PUT", web, {"env": ["A=1"]})
    assert (status, "dockpal.protected" in answer["error"]) == (409, True)

    caller.put(web, restart_policy="always")
    found = made.inspect(web)
    assert (found["Id"], found["HostConfig"]["RestartPolicy"]["Name"]) == (before, "always")
