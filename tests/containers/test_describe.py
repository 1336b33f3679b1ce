"""The shapes of protocol 2: whatever Docker or Podman says, a Go decoder can read the answer."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.containers.describe import detail, summary

ENTRY: dict[str, Any] = {
    "Id": "abcdef0123456789" * 4,
    "Names": ["/other/web-alias", "/web"],
    "Image": "app:1",
    "Status": "Up 3 hours",
    "State": "running",
    "Created": 1700000000,
    "Ports": [
        {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 53, "Type": "udp"},
    ],
    "Labels": {"a": "b"},
    "NetworkSettings": {"Networks": {"front": {"IPAddress": "172.18.0.2"}, "none": {"IPAddress": ""}}},
}

INSPECT: dict[str, Any] = {
    "Id": "abcdef0123456789" * 4,
    "Name": "/web",
    "Created": "2023-11-14T22:13:20.123456789Z",
    "Platform": "linux",
    "State": {"Status": "running", "Running": True},
    "Config": {"Image": "app:1", "Env": ["A=b"], "Labels": None, "ExposedPorts": {"80/tcp": {}, "9000/tcp": {}}},
    "HostConfig": {
        "NetworkMode": "default",
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "Memory": 1 << 30,
        "NanoCpus": 1500000000,
        "PortBindings": {
            "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
            "81/tcp": [{"HostPort": "8000-8010"}],
        },
    },
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "9000/tcp": None},
        "Networks": {"bridge": {"IPAddress": "172.17.0.2"}},
    },
    "Mounts": [
        {"Type": "volume", "Name": "data", "Source": "/var/lib/docker/volumes/data/_data", "Destination": "/data",
         "Driver": "local", "Mode": "z", "RW": True, "Propagation": ""},
        {"Type": "tmpfs", "Source": "", "Destination": "/run", "Mode": "", "RW": True, "Propagation": ""},
    ],
}  # fmt: skip


def test_an_entry_of_a_list_becomes_a_container_info() -> None:
    assert summary(ENTRY, "always", None) == {
        "id": "abcdef012345",
        "name": "web",
        "image": "app:1",
        "status": "Up 3 hours",
        "state": "running",
        "created": 1700000000,
        "ports": [
            {"PrivatePort": 53, "Type": "udp"},
            {"PrivatePort": 80, "Type": "tcp", "PublicPort": 8080, "IP": "0.0.0.0"},
            {"PrivatePort": 80, "Type": "tcp", "PublicPort": 8080, "IP": "::"},
        ],
        "networks": {"front": "172.18.0.2", "none": ""},
        "labels": {"a": "b"},
        "restart_policy": "always",
        "protected": False,
    }


def test_a_protected_container_says_why_and_an_unknown_policy_is_left_out() -> None:
    info = summary(ENTRY, None, "it is the agent")

    assert info["protected"] is True
    assert info["protection_reason"] == "it is the agent"
    assert "restart_policy" not in info


def test_an_inspect_becomes_a_container_detail() -> None:
    info = detail(INSPECT, None)

    assert (info["status"], info["state"], info["created"]) == ("running", "running", 1700000000)
    assert (info["restart_policy"], info["memory_limit"], info["nano_cpus"]) == ("on-failure", 1 << 30, 1500000000)
    assert info["ports"] == [
        {"PrivatePort": 80, "Type": "tcp", "PublicPort": 8080, "IP": "127.0.0.1"},
        {"PrivatePort": 9000, "Type": "tcp"},
    ]
    assert info["mounts"] == [
        INSPECT["Mounts"][0],
        {"Type": "tmpfs", "Source": "", "Destination": "/run", "Mode": "", "RW": True, "Propagation": ""},
    ]
    assert (info["labels"], info["env"], info["networks"]) == ({}, ["A=b"], {"bridge": "172.17.0.2"})


def test_a_stopped_container_shows_the_ports_that_it_is_configured_with() -> None:
    stopped = {**INSPECT, "NetworkSettings": {"Ports": {}, "Networks": {}}}

    assert detail(stopped, None)["ports"] == [
        {"PrivatePort": 80, "Type": "tcp", "PublicPort": 8080, "IP": "127.0.0.1"},
        {"PrivatePort": 81, "Type": "tcp"},
        {"PrivatePort": 9000, "Type": "tcp"},
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2023-11-14T22:13:20Z", 1700000000),
        ("2023-11-15T00:13:20.5+02:00", 1700000000),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
    ],
)
def test_times_of_docker_become_unix_seconds(text: str, seconds: int) -> None:
    assert detail({**INSPECT, "Created": text}, None)["created"] == seconds


@pytest.mark.parametrize("address", ["invalid IP", "", "::1", "fe80::1", "10.0.0.1"])
def test_an_address_is_valid_or_empty(address: str) -> None:
    entry = {
        **ENTRY,
        "Ports": [{"IP": address, "PrivatePort": 80, "PublicPort": 80, "Type": "tcp"}],
        "NetworkSettings": {"Networks": {"n": {"IPAddress": address}}},
    }
    info = summary(entry, "", None)

    for text in (info["ports"][0].get("IP", ""), info["networks"]["n"]):
        assert text == "" or ipaddress.ip_address(text)


JUNK = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5))
KEYS = st.sampled_from(["Id", "Image", "Status", "State", "Created", "Names", "Ports", "Labels", "NetworkSettings"])


@given(st.dictionaries(KEYS, st.none()), JUNK, JUNK, JUNK)
def test_whatever_is_missing_or_odd_the_types_are_those_of_the_protocol(
    absent: dict[str, None], created: Any, port: Any, address: Any
) -> None:
    entry = {**ENTRY, "Created": created, "Ports": [{"IP": address, "PrivatePort": port, "PublicPort": port}], **absent}

    info = json.loads(json.dumps(summary(entry, "", None)))

    assert all(isinstance(info[key], str) for key in ("id", "name", "image", "status", "state", "restart_policy"))
    assert type(info["created"]) is int and 0 <= info["created"] < 1 << 63
    assert isinstance(info["ports"], list) and isinstance(info["labels"], dict) and isinstance(info["networks"], dict)
    for found in info["ports"]:
        assert type(found["PrivatePort"]) is int and 0 <= found["PrivatePort"] <= 65535
        assert found["Type"] in ("tcp", "udp", "sctp")
