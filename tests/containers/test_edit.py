"""Reading an edit: every field's type and range, and what counts as absent."""

from __future__ import annotations

from typing import Any

import pytest

from dockpal_agent.containers.edit import Edit, InvalidEdit, PortRow, VolumeRow, read, same_image


@pytest.mark.parametrize(
    "body", [{}, {"name": None, "env": None, "ports": None, "memory_limit": None}, {"name": "", "restart_policy": ""}]
)
def test_absent_null_and_empty_texts_leave_things_as_they_are(body: dict[str, Any]) -> None:
    assert read(body) == Edit()


def test_every_field_is_read() -> None:
    edit = read(
        {
            "name": "web.1",
            "restart_policy": "on-failure",
            "memory_limit": 64 << 20,
            "cpu_limit": 1.5,
            "image": " nginx:1 ",
            "env": ["A=1", "B=two\nlines\tand a tab", "BARE"],
            "ports": [
                {"host_port": 8080, "container_port": 80, "protocol": ""},
                {"host_port": 8080, "container_port": 80, "protocol": "TCP"},
                {"host_port": 53, "container_port": 53, "protocol": "udp"},
            ],
            "volumes": [
                {"host_path": "/srv", "container_path": "/data//x/", "read_only": True},
                {"host_path": "named", "container_path": "/n"},
            ],
            "unknown": {"is": "ignored"},
        }
    )

    assert edit == Edit(
        name="web.1",
        restart_policy="on-failure",
        memory=64 << 20,
        nano_cpus=1_500_000_000,
        image="nginx:1",
        env=("A=1", "B=two\nlines\tand a tab", "BARE"),
        ports=frozenset({PortRow(8080, 80, "tcp"), PortRow(53, 53, "udp")}),
        volumes=(VolumeRow("/srv", "/data/x", True), VolumeRow("named", "/n", False)),
    )


def test_empty_lists_are_wishes_and_not_absent() -> None:
    assert read({"env": [], "ports": [], "volumes": []}) == Edit(env=(), ports=frozenset(), volumes=())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "3f2ab1c29d04_web.dockpal-old.running"}, "the agent itself"),
        ({"name": "a" * 129}, "1 to 128"),
        ({"cpu_limit": float("inf")}, "cores"),
        ({"cpu_limit": True}, "cores"),
        ({"memory_limit": 1 << 63}, "bytes"),
        ({"image": "a b"}, "image: invalid image reference"),
        ({"env": ["A=1", ""]}, "env[1]"),
        ({"env": ["A=\ud800"]}, "env[0] is not valid text"),
        ({"ports": ["80:80"]}, "ports[0] must be an object"),
        ({"ports": [{"container_port": 80}]}, "ports[0].host_port"),
        ({"volumes": [{"host_path": "/a\nb", "container_path": "/x"}]}, "control characters"),
        ({"volumes": "x"}, "volumes must be a list"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(body: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidEdit) as refused:
        read(body)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("nginx", "docker.io/library/nginx:latest", True),
        ("nginx:1", "nginx:2", False),
        ("localhost:5000/app", "localhost:5000/app:latest", True),
        ("sha256:" + "a" * 64, "nginx", False),
        ("sha256:" + "a" * 64, "sha256:" + "a" * 64, True),
        ("Not An Image", "nginx", False),
    ],
)
def test_references_are_compared_as_docker_reads_them(one: str, other: str, same: bool) -> None:
    assert same_image(one, other) is same
