"""An edit that recreates a container changes what was asked for, and nothing else that inspect shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockpal_agent.containers import carry
from dockpal_agent.engine import Engine, containers
from tests.engines.daemon import Daemon
from tests.integration.edits import Caller, house, settings, small_config


@pytest.fixture
def caller(tmp_path: Path, docker_socket: str) -> Iterator[Caller]:
    with house(small_config(tmp_path / "data", docker_socket)) as service:
        yield Caller(service)


@pytest.fixture
def network(daemon: Daemon, unique: str, labels: dict[str, str]) -> str:
    """A network with a subnet of its own, where addresses can be chosen; and a second one beside it."""
    octet = int(unique[-4:-2], 16)
    daemon.call(
        "POST",
        "/networks/create",
        body={"Name": f"{unique}_front", "Labels": labels, "IPAM": {"Config": [{"Subnet": f"10.213.{octet}.0/24"}]}},
    )
    daemon.call("POST", "/networks/create", body={"Name": f"{unique}_back", "Labels": labels})
    return f"10.213.{octet}"


def with_every_option(unique: str, network: str, folder: Path) -> dict[str, Any]:
    """A ContainerCreate that sets whatever Engine 20.10 can be told on a machine like this."""
    return {
        "Hostname": "chosen",
        "Domainname": "example.org",
        "User": "0:0",
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": False,
        "AttachStdout": True,
        "Env": ["A=1", "B=two words", "EMPTY="],
        "Cmd": ["-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
        "Entrypoint": ["sh"],
        "WorkingDir": "/tmp",
        "Volumes": {"/anonymous": {}},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "9000/tcp": {}},
        "MacAddress": "0a:11:22:33:44:55",
        "StopSignal": "SIGTERM",
        "StopTimeout": 3,
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000, "Timeout": 2_000_000_000, "Retries": 5},
        "HostConfig": {
            "Binds": [f"{folder}:/host:ro", f"{unique}-named:/named", f"{folder}:/shared:rprivate"],
            "Mounts": [
                {"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1777}},
                {
                    "Type": "volume",
                    "Source": f"{unique}-other",
                    "Target": "/other",
                    "ReadOnly": True,
                    "VolumeOptions": {"NoCopy": True, "Labels": {"kind": "other"}},
                },
                {
                    "Type": "bind",
                    "Source": str(folder),
                    "Target": "/mounted",
                    "BindOptions": {"Propagation": "private"},
                },
            ],
            "Tmpfs": {"/run": "rw,size=65536k"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
            "NetworkMode": f"{unique}_front",
            "PortBindings": {
                "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
                "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "0"}],
            },
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 7},
            "CapAdd": ["NET_ADMIN"],
            "CapDrop": ["MKNOD"],
            "CgroupnsMode": "private",
            "Dns": ["192.0.2.1"],
            "DnsOptions": ["ndots:2"],
            "DnsSearch": ["example.org"],
            "ExtraHosts": ["db:192.0.2.2"],
            "GroupAdd": ["20"],
            "IpcMode": "shareable",
            "OomScoreAdj": 100,
            "PidMode": "host",
            "ReadonlyRootfs": True,
            "SecurityOpt": ["no-new-privileges", "label=disable"],
            "UsernsMode": "host",
            "ShmSize": 32 << 20,
            "Sysctls": {"net.ipv4.ip_forward": "1"},
            "Runtime": "runc",
            "CpuShares": 512,
            "Memory": 64 << 20,
            "MemorySwap": 96 << 20,
            "MemoryReservation": 32 << 20,
            "NanoCpus": 500_000_000,
            "CpusetCpus": "0",
            "BlkioWeight": 0,
            "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rw"}],
            "DeviceCgroupRules": ["c 1:3 rw"],
            "PidsLimit": 100,
            "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 2048}],
            "Init": True,
            "MaskedPaths": ["/proc/kcore"],
            "ReadonlyPaths": ["/proc/bus"],
        },
        "NetworkingConfig": {
            "EndpointsConfig": {
                f"{unique}_front": {
                    "IPAMConfig": {"IPv4Address": f"{network}.77"},
                    "Aliases": ["web", "www"],
                    "Links": [f"{unique}-db:database"],
                    "DriverOpts": {"com.example.x": "1"},
                }
            }
        },
    }


@pytest.mark.engines
def test_an_env_only_edit_of_a_container_with_every_option_set_changes_nothing_else(
    caller: Caller, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str], network: str, tmp_path: Path
) -> None:
    daemon.run(
        busybox, "sleep", "1000", name=f"{unique}-db", labels=labels, HostConfig={"NetworkMode": f"{unique}_front"}
    )
    for volume in ("named", "other"):
        daemon.call("POST", "/volumes/create", body={"Name": f"{unique}-{volume}", "Labels": labels})
    (tmp_path / "host").mkdir()
    body = with_every_option(unique, network, tmp_path / "host")
    body = {**body, "Image": busybox, "Labels": {**labels, "dockpal.project": "shop", "own": "yes"}}
    web = daemon.call("POST", "/containers/create", {"name": f"{unique}-web"}, body=body)["Id"]
    daemon.call(
        "POST", f"/networks/{unique}_back/connect", body={"Container": web, "EndpointConfig": {"Aliases": ["api"]}}
    )
    daemon.call("POST", f"/containers/{web}/start")
    before = daemon.inspect(web)

    answer = caller.put(f"{unique}-web", env=["A=1", "B=changed", "EMPTY=", "PATH=/bin", "NEW=x"])

    after = daemon.inspect(f"{unique}-web")
    assert after["Id"] != web
    assert answer["id"] == after["Id"][:12]
    assert answer["container"]["id"] == answer["id"]
    assert sorted(after["Config"]["Env"]) == ["A=1", "B=changed", "EMPTY=", "NEW=x", "PATH=/bin"]
    assert after["State"]["Running"]
    assert after["NetworkSettings"]["Networks"][f"{unique}_front"]["IPAddress"] == f"{network}.77"
    assert after["NetworkSettings"]["Networks"][f"{unique}_front"]["MacAddress"] == "0a:11:22:33:44:55"
    expected, seen = settings(before), settings(after)
    expected["Config"]["Env"] = seen["Config"]["Env"]
    # The one difference that is meant: the anonymous volume is the same one, now by its name.
    anonymous = next(mount for mount in before["Mounts"] if mount["Destination"] == "/anonymous")["Name"]
    pinned = {"Type": "volume", "Source": anonymous, "Target": "/anonymous"}
    expected["HostConfig"]["Mounts"] = [*expected["HostConfig"]["Mounts"], pinned]
    for mount in (*expected["Mounts"], *seen["Mounts"]):
        if mount["Destination"] == "/anonymous":
            mount["Mode"] = ""
    assert seen == expected


@pytest.mark.engines
def test_a_second_edit_leaves_no_difference_at_all(
    caller: Caller, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    daemon.run(
        busybox, "sleep", "1000", name=f"{unique}-web", labels=labels, Volumes={"/data": {}}, StopSignal="SIGKILL"
    )
    caller.put(f"{unique}-web", env=["PATH=/bin", "N=1"])
    before = settings(daemon.inspect(f"{unique}-web"))

    caller.put(f"{unique}-web", env=["PATH=/bin", "N=2"])

    after = settings(daemon.inspect(f"{unique}-web"))
    assert after["Config"].pop("Env") == ["N=2", "PATH=/bin"]
    del before["Config"]["Env"]
    assert after == before


def networks_of(daemon: Daemon, unique: str, labels: dict[str, str]) -> None:
    for network in ("one", "two"):
        daemon.call("POST", "/networks/create", body={"Name": f"{unique}_{network}", "Labels": labels})


@pytest.mark.engines
def test_addresses_that_the_engine_made_are_not_taken_along_but_for_random_ones_that_look_chosen(
    caller: Caller, daemon: Daemon, engine: Engine, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    networks_of(daemon, unique, labels)
    mode = {"NetworkMode": f"{unique}_one"}
    web = daemon.create(
        busybox, "sleep", "1000", name=f"{unique}-web", labels=labels, HostConfig=mode, StopSignal="KILL"
    )
    daemon.call("POST", f"/networks/{unique}_two/connect", body={"Container": web})
    daemon.call("POST", f"/containers/{web}/start")
    before = containers.inspect(engine, web)

    request = carry.over(engine, before)

    assert "MacAddress" not in request.body
    assert request.endpoints is not None
    assert sorted(request.endpoints) == [f"{unique}_one", f"{unique}_two"]
    for name, endpoint in request.endpoints.items():
        random_mac = {"MacAddress"} if engine.supports(1, 44) and name == f"{unique}_two" else set()
        assert set(endpoint) <= {"NetworkID", "Aliases"} | random_mac
        assert web[:12] not in endpoint.get("Aliases", ())


@pytest.mark.engines
def test_a_chosen_mac_address_of_each_network_is_kept(
    caller: Caller, daemon: Daemon, engine: Engine, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    networks_of(daemon, unique, labels)
    chosen = {f"{unique}_one": "0a:00:00:00:00:11"}
    config: dict[str, Any] = {"HostConfig": {"NetworkMode": f"{unique}_one"}, "StopSignal": "KILL", "Image": busybox}
    config.update({"Cmd": ["sleep", "1000"], "Labels": labels})
    if engine.supports(1, 44):
        chosen[f"{unique}_two"] = "0a:00:00:00:00:22"
        config["NetworkingConfig"] = {"EndpointsConfig": {name: {"MacAddress": mac} for name, mac in chosen.items()}}
        web = containers.create(engine, f"{unique}-web", config)
    else:
        web = containers.create(engine, f"{unique}-web", {**config, "MacAddress": chosen[f"{unique}_one"]})
        daemon.call("POST", f"/networks/{unique}_two/connect", body={"Container": web})
    containers.start(engine, web)

    caller.put(f"{unique}-web", env=["A=1"])

    after = containers.inspect(engine, f"{unique}-web")
    assert after["Id"] != web
    macs = {name: after["NetworkSettings"]["Networks"][name]["MacAddress"] for name in chosen}
    assert macs == chosen
