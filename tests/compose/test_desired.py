"""What is sent to make a container: as docker compose 2.40.3 was seen to send it."""

from __future__ import annotations

from typing import Any

from dockpal_agent.compose.desired import Surroundings, container_request
from dockpal_agent.compose.options import Options
from tests.compose.reading import read


def host(attributes: str) -> Any:
    """HostConfig of a service with these attributes."""
    project = read(f"services: {{a: {{image: x, network_mode: none, {attributes}}}}}")
    around = Surroundings(Options(), (1, 41), networks={}, volumes={}, images={})
    return container_request(project, "a", 1, around).body["HostConfig"]


def test_a_device_by_its_cdi_name_is_asked_of_the_driver_of_that_name() -> None:
    made = host("devices: ['nvidia.com/gpu=all', '/dev/null', 'nvidia.com/gpu=0:/dev/x']")

    assert made["DeviceRequests"] == [
        {"Driver": "cdi", "Count": 0, "DeviceIDs": ["nvidia.com/gpu=all"], "Capabilities": None, "Options": None}
    ]
    assert [(one["PathOnHost"], one["PathInContainer"]) for one in made["Devices"]] == [
        ("/dev/null", "/dev/null"),
        ("nvidia.com/gpu=0", "/dev/x"),
    ]


def test_capabilities_are_written_as_dockers_client_does() -> None:
    made = host("cap_add: [net_admin, ALL, CAP_CHOWN, NET_ADMIN], cap_drop: [all]")

    assert (made["CapAdd"], made["CapDrop"]) == (["ALL", "CAP_CHOWN", "CAP_NET_ADMIN"], ["ALL"])


def test_an_optional_dependency_that_is_not_active_is_in_no_label() -> None:
    needs = "{b: {condition: service_started, required: false}, c: {condition: service_healthy, restart: true}}"
    project = read(
        f"services: {{a: {{image: x, depends_on: {needs}}}, b: {{image: x, profiles: [p]}}, c: {{image: x}}}}"
    )
    around = Surroundings(Options(), (1, 41), networks={"default": "app_default"}, volumes={}, images={})

    labels = container_request(project, "a", 1, around).body["Labels"]

    assert labels["com.docker.compose.depends_on"] == "c:service_healthy:true"
