"""Volumes that nobody named get their names, and what is written already stays word for word."""

from __future__ import annotations

from typing import Any

import pytest

from dockpal_agent.containers.mounts import Bind, clean, pin, read_bind


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("/a:/b", Bind("/a", "/b")),
        ("vol:/b:ro,z", Bind("vol", "/b", ("ro", "z"))),
        ("/anonymous", Bind("", "/anonymous")),
    ],
)
def test_binds_are_read_and_written_alike(text: str, bind: Bind) -> None:
    assert read_bind(text) == bind
    assert bind.text == text


def test_access_is_the_only_thing_that_changes() -> None:
    assert read_bind("/a:/b:z").with_access(read_only=True).text == "/a:/b:z,ro"
    assert read_bind("/a:/b:ro,z").with_access(read_only=False).text == "/a:/b:z"


@pytest.mark.parametrize(("path", "cleaned"), [("/a/", "/a"), ("//a//b", "/a/b"), ("/a/../b", "/b"), ("", "")])
def test_destinations_are_compared_as_docker_does(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned


def volume(name: str, destination: str, **more: Any) -> dict[str, Any]:
    return {
        "Type": "volume",
        "Name": name,
        "Source": f"/v/{name}/_data",
        "Destination": destination,
        "RW": True,
        **more,
    }


PINS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = {
    "nothing to do": ({"Binds": None, "Mounts": None}, [], {"Binds": None, "Mounts": None}),
    "named ones stay as they are": (
        {"Binds": ["a:/a:z"], "Mounts": [{"Type": "volume", "Source": "b", "Target": "/b/"}], "Tmpfs": {"/t": ""}},
        [volume("a", "/a"), volume("b", "/b"), {"Type": "tmpfs", "Destination": "/t", "Source": ""}],
        {"Binds": ["a:/a:z"], "Mounts": [{"Type": "volume", "Source": "b", "Target": "/b/"}], "Tmpfs": {"/t": ""}},
    ),
    "declared by the image or the user": (
        {},
        [volume("0f3", "/data", RW=False)],
        {"Mounts": [{"Type": "volume", "Source": "0f3", "Target": "/data", "ReadOnly": True}]},
    ),
    "a bind without a source": ({"Binds": ["/data"]}, [volume("0f3", "/data")], {"Binds": ["0f3:/data"]}),
    "a mount without a source, its options kept": (
        {"Mounts": [{"Type": "volume", "Target": "/data", "VolumeOptions": {"Subpath": "s"}}]},
        [volume("0f3", "/data")],
        {"Mounts": [{"Type": "volume", "Target": "/data", "VolumeOptions": {"Subpath": "s"}, "Source": "0f3"}]},
    ),
    "of another container": (
        {"VolumesFrom": ["data"]},
        [{"Type": "bind", "Source": "/srv", "Destination": "/srv", "Mode": "ro", "RW": False, "Propagation": "rslave"}],
        {"VolumesFrom": ["data"], "Binds": ["/srv:/srv:rslave,ro"]},
    ),
}


@pytest.mark.parametrize("case", list(PINS))
def test_pinned(case: str) -> None:
    host, points, pinned = PINS[case]
    assert pin(host, points) == pinned
