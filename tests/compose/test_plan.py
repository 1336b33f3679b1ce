"""Plans from what Docker is said to hold: what stands in the way of a project, and which networks it joins."""

from __future__ import annotations

from typing import Any

import pytest

from dockpal_agent.compose.observe import Observed
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.plan import plan
from tests.compose.reading import read

IMAGES: Any = {"x": {"Id": "sha256:1"}}


def refusal(ports: str, *published: tuple[str, int, str]) -> str:
    """Why a service with these ports cannot come up beside a container that publishes others."""
    project = read(f"services: {{a: {{image: x, ports: [{ports}]}}}}")
    held = tuple((address, port, protocol, "id", "other") for address, port, protocol in published)
    return plan(project, Observed("app", (1, 41), published=held, images=IMAGES), Options()).refusal


@pytest.mark.parametrize(
    ("wanted", "published"),
    [
        ("'80:80'", ("0.0.0.0", 80, "tcp")),
        ("'80:80'", ("::", 80, "tcp")),
        ("'80:80'", ("127.0.0.1", 80, "tcp")),
        ("'80:80'", ("::1", 80, "tcp")),
        ("'127.0.0.1:80:80'", ("0.0.0.0", 80, "tcp")),
        ("'127.0.0.1:80:80'", ("127.0.0.1", 80, "tcp")),
        ("'[::1]:80:80'", ("::", 80, "tcp")),
        ("'[::]:80:80'", ("::1", 80, "tcp")),
        ("'78-81:78-81'", ("0.0.0.0", 80, "tcp")),
    ],
)
def test_a_port_that_docker_could_not_publish_stands_in_the_way(wanted: str, published: tuple[str, int, str]) -> None:
    assert ":80 failed: port is already allocated (container other publishes it)" in refusal(wanted, published)


@pytest.mark.parametrize(
    ("wanted", "published"),
    [
        ("'80:80'", ("0.0.0.0", 80, "udp")),
        ("'80:80'", ("0.0.0.0", 81, "tcp")),
        ("'80'", ("0.0.0.0", 80, "tcp")),
        ("'127.0.0.1:80:80'", ("127.0.0.2", 80, "tcp")),
        ("'0.0.0.0:80:80'", ("::", 80, "tcp")),
        ("'[::]:80:80'", ("0.0.0.0", 80, "tcp")),
        ("'[::1]:80:80'", ("0.0.0.0", 80, "tcp")),
        ("'127.0.0.1:80:80'", ("::", 80, "tcp")),
    ],
)
def test_a_port_that_docker_can_publish_beside_another_does_not(wanted: str, published: tuple[str, int, str]) -> None:
    assert refusal(wanted, published) == ""


def test_two_services_that_ask_for_one_port_stand_in_each_others_way() -> None:
    project = read("services: {a: {image: x, ports: ['80:80']}, b: {image: x, ports: ['127.0.0.1:80:81']}}")

    found = plan(project, Observed("app", (1, 41), images=IMAGES), Options()).refusal

    assert found == "Bind for 127.0.0.1:80 failed: port is already allocated (app-a-1 and app-b-1 both ask for it)"


@pytest.mark.parametrize(
    ("name", "joined"), [("proxy", True), ("bridge", False), ("host", False), ("none", False), ("default", False)]
)
def test_a_deploy_joins_a_network_of_the_users_by_its_name_and_none_of_dockers_own(name: str, joined: bool) -> None:
    project = read(f"services: {{a: {{image: x, networks: [{name}]}}}}\nnetworks: {{{name}: }}")
    networks = {name: {"Name": name, "Id": "1", "Labels": {}}}

    made = plan(project, Observed("app", (1, 41), networks=networks, images=IMAGES), Options(api=True))

    assert made.networks == {name: name if joined else f"app_{name}"}
    assert any("it is joined" in warning for warning in made.warnings) is joined
