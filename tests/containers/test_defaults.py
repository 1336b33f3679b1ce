"""What came from the old image is left to the new one; what the user set stays."""

from __future__ import annotations

from typing import Any

import pytest

from dockpal_agent.containers.defaults import without_defaults

IMAGE = {
    "Env": ["PATH=/bin", "VERSION=1"],
    "Labels": {"maintainer": "x", "version": "1"},
    "Cmd": ["serve"],
    "Entrypoint": ["/entry"],
    "User": "app",
    "WorkingDir": "/srv/",
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/data": {}},
    "Healthcheck": {"Test": ["CMD", "true"]},
    "StopSignal": "SIGINT",
}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing of the user's": (
        {**IMAGE, "WorkingDir": "/srv"},
        {"Env": [], "Labels": {}, "ExposedPorts": {}, "Volumes": {}},
    ),
    "variables": (
        {"Env": ["PATH=/own", "VERSION=1", "OWN=2"]},
        {"Env": ["PATH=/own", "OWN=2"]},
    ),
    "labels": (
        {"Labels": {"maintainer": "me", "version": "1", "own": "y", "com.docker.compose.image": "sha256:old"}},
        {"Env": [], "Labels": {"maintainer": "me", "own": "y", "com.docker.compose.image": "sha256:new"}},
    ),
    "a command, the image's entrypoint": (
        {"Cmd": ["mine"], "Entrypoint": ["/entry"]},
        {"Env": [], "Cmd": ["mine"]},
    ),
    "an entrypoint, and the image's command on purpose": (
        {"Cmd": ["serve"], "Entrypoint": ["/mine"]},
        {"Env": [], "Cmd": ["serve"], "Entrypoint": ["/mine"]},
    ),
    "an entrypoint taken away": (
        {"Cmd": ["sh"], "Entrypoint": []},
        {"Env": [], "Cmd": ["sh"], "Entrypoint": []},
    ),
    "a switched-off health check": (
        {"Healthcheck": {"Test": ["NONE"]}},
        {"Env": [], "Healthcheck": {"Test": ["NONE"]}},
    ),
    "ports and volumes": (
        {"ExposedPorts": {"80/tcp": {}, "81/tcp": {}}, "Volumes": {"/data": {}, "/own": {}}},
        {"Env": [], "ExposedPorts": {"81/tcp": {}}, "Volumes": {"/own": {}}},
    ),
    "what images do not set": ({"Tty": True, "StopTimeout": 3}, {"Env": [], "Tty": True, "StopTimeout": 3}),
}


@pytest.mark.parametrize("case", list(CASES))
def test_what_equals_the_old_images_config_is_dropped(case: str) -> None:
    config, kept = CASES[case]
    found = without_defaults(config, IMAGE, "sha256:new")
    if "Entrypoint" not in config and case != "nothing of the user's":
        assert found.pop("Entrypoint", None) is None
    assert found == kept


def test_without_the_old_image_everything_is_the_users() -> None:
    found = without_defaults(IMAGE, {}, "sha256:new")
    assert {key: found[key] for key in IMAGE} == IMAGE
