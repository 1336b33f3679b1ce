"""What an edit really changes: the form's echo is no change, and what the form cannot say survives one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

import pytest

from dockpal_agent.containers import mounts
from dockpal_agent.containers.differences import changed_env, changed_ports, changed_volumes, limits, swap_for
from dockpal_agent.containers.edit import PortRow, VolumeRow

DATA = "/var/lib/docker/volumes"


def published(
    bindings: dict[str, Any], actual: Optional[dict[str, Any]] = None, exposed: Iterable[str] = ()
) -> dict[str, Any]:
    return {
        "Config": {"ExposedPorts": {key: {} for key in exposed}},
        "HostConfig": {"PortBindings": bindings},
        "NetworkSettings": {"Ports": actual or {}},
    }


def rows(*texts: str) -> frozenset[PortRow]:
    """`8080:80/tcp` as rows."""
    found = set()
    for text in texts:
        host, _, rest = text.partition(":")
        container, _, protocol = rest.partition("/")
        found.add(PortRow(int(host), int(container), protocol or "tcp"))
    return frozenset(found)


def bound(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"HostIp": address, "HostPort": port} for address, port in pairs]


ECHOES = {
    "a fixed port": (published({"80/tcp": bound(("", "8080"))}), rows("8080:80")),
    "two addresses, one row": (published({"80/tcp": bound(("127.0.0.1", "1"), ("10.0.0.1", "1"))}), rows("1:80")),
    "a chosen port with its number of now": (
        published({"80/tcp": bound(("", ""))}, {"80/tcp": bound(("0.0.0.0", "49153"), ("::", "49153"))}),
        rows("49153:80"),
    ),
    "a chosen port while stopped": (published({"80/tcp": bound(("", "0"))}), rows()),
    "a range": (
        published({"80/tcp": bound(("", "8000-8010"))}, {"80/tcp": bound(("0.0.0.0", "8003"))}),
        rows("8003:80"),
    ),
    "all exposed ports published": (published({}, {"80/tcp": bound(("0.0.0.0", "49200"))}), rows("49200:80")),
    "exposed only": (published({}, {"80/tcp": None}, ["80/tcp"]), rows()),
    "udp": (published({"53/udp": bound(("", "53"))}), rows("53:53/udp")),
}


@pytest.mark.parametrize("case", list(ECHOES))
def test_ports_that_come_back_as_the_form_showed_them_are_no_change(case: str) -> None:
    old, sent = ECHOES[case]
    assert changed_ports(old, sent, {}) is None


PORT_CHANGES: dict[str, tuple[dict[str, Any], frozenset[PortRow], dict[str, Any]]] = {
    "added": (
        published({"80/tcp": bound(("127.0.0.1", "1"))}),
        rows("1:80", "2:81"),
        {"80/tcp": bound(("127.0.0.1", "1")), "81/tcp": bound(("", "2"))},
    ),
    "removed": (
        published({"80/tcp": bound(("", "1")), "81/tcp": bound(("", "2"))}),
        rows("1:80"),
        {"80/tcp": bound(("", "1"))},
    ),
    "moved, on its address": (
        published({"80/tcp": bound(("127.0.0.1", "1"))}),
        rows("2:80"),
        {"80/tcp": bound(("127.0.0.1", "2"))},
    ),
    "one of two addresses' moved": (
        published({"80/tcp": bound(("127.0.0.1", "1"), ("10.0.0.1", "2"))}),
        rows("1:80", "3:80"),
        {"80/tcp": bound(("127.0.0.1", "1"), ("10.0.0.1", "3"))},
    ),
    "two addresses moved: none can be told": (
        published({"80/tcp": bound(("127.0.0.1", "1"), ("10.0.0.1", "1"))}),
        rows("2:80"),
        {"80/tcp": bound(("", "2"))},
    ),
    "a hidden one stays": (
        published({"80/tcp": bound(("", "")), "81/tcp": bound(("", "1"))}),
        rows("2:81"),
        {"80/tcp": bound(("", "")), "81/tcp": bound(("", "2"))},
    ),
    "a shown one that was taken out goes": (
        published({"80/tcp": bound(("", "")), "81/tcp": bound(("", "1"))}, {"80/tcp": bound(("0.0.0.0", "49153"))}),
        rows("1:81"),
        {"81/tcp": bound(("", "1"))},
    ),
    "the last one": (published({"80/tcp": bound(("", "1"))}), rows(), {}),
}


@pytest.mark.parametrize("case", list(PORT_CHANGES))
def test_changed_ports(case: str) -> None:
    old, wanted, bindings = PORT_CHANGES[case]
    changed = changed_ports(old, wanted, {})
    assert changed is not None
    assert changed[0] == bindings


def test_a_port_that_is_not_published_any_more_stays_exposed_only_where_the_image_says_so() -> None:
    old = published({"80/tcp": bound(("", "1")), "81/tcp": bound(("", "2"))}, exposed=["80/tcp", "81/tcp", "9/tcp"])
    changed = changed_ports(old, rows("3:82"), {"ExposedPorts": {"80/tcp": {}}})
    assert changed is not None
    assert sorted(changed[1]) == ["80/tcp", "82/tcp", "9/tcp"]


@pytest.mark.parametrize(
    ("current", "sent", "image", "changed"),
    [
        (["A=1", "B=2"], ["A=1", "B=2"], [], False),
        (["A=1", "B=2"], ["B=2", "A=1"], [], False),
        (["A=1"], ["A=2"], [], True),
        (["A=1"], [], [], True),
        (["A=1", "PATH=/bin"], ["A=1"], ["PATH=/bin"], False),  # the image's comes back anyway
        (["A=1", "PATH=/own"], ["A=1"], ["PATH=/bin"], True),
        (["A="], ["A"], [], False),
        (["A=1"], ["A=0", "A=1"], [], False),  # the last one counts
    ],
)
def test_environments_are_compared_by_what_they_come_to(
    current: list[str], sent: list[str], image: list[str], changed: bool
) -> None:
    found = changed_env({"Config": {"Env": current}}, sent, {"Env": image})
    assert found == (sent if changed else None)


OLD: dict[str, Any] = {
    "Mounts": [
        {"Type": "volume", "Name": "anon", "Source": f"{DATA}/anon/_data", "Destination": "/anon", "RW": True},
        {"Type": "volume", "Name": "named", "Source": f"{DATA}/named/_data", "Destination": "/named", "RW": True},
        {"Type": "bind", "Source": "/srv", "Destination": "/srv", "RW": False, "Mode": "ro"},
        {"Type": "volume", "Name": "other", "Source": f"{DATA}/other/_data", "Destination": "/other", "RW": True},
        {"Type": "tmpfs", "Source": "", "Destination": "/scratch", "RW": True},
    ],
    "HostConfig": {
        "Binds": ["named:/named:z", "/srv:/srv:ro"],
        "Mounts": [
            {"Type": "volume", "Source": "other", "Target": "/other", "VolumeOptions": {"Subpath": "x"}},
            {"Type": "tmpfs", "Target": "/scratch"},
        ],
        "Tmpfs": {"/run": "size=1m"},
        "VolumesFrom": ["data"],
    },
}
ECHO = (
    VolumeRow(f"{DATA}/anon/_data", "/anon", False),
    VolumeRow(f"{DATA}/named/_data", "/named", False),
    VolumeRow("/srv", "/srv", True),
    VolumeRow(f"{DATA}/other/_data", "/other", False),
)


def volumes_after(wanted: Iterable[VolumeRow], image: Optional[dict[str, Any]] = None) -> Optional[dict[str, Any]]:
    host = mounts.pin(OLD["HostConfig"], OLD["Mounts"])
    changed = changed_volumes(OLD, host, wanted, image or {})
    return None if changed is None else changed[0]


def test_mounts_that_come_back_as_the_form_showed_them_are_no_change() -> None:
    assert volumes_after(ECHO) is None
    assert volumes_after([row._replace(host_path=row.host_path + "/") for row in ECHO]) is None
    assert volumes_after([ECHO[0], VolumeRow("named", "/named/", False), *ECHO[2:]]) is None


def test_a_mount_taken_out_goes_and_the_others_stay_word_for_word() -> None:
    host = volumes_after([ECHO[0], ECHO[1], ECHO[3]])
    assert host is not None
    assert host["Binds"] == ["named:/named:z"]
    assert host["Mounts"] == [*OLD["HostConfig"]["Mounts"], {"Type": "volume", "Source": "anon", "Target": "/anon"}]
    assert host["Tmpfs"] == {"/run": "size=1m"}
    assert host["VolumesFrom"] is None, "what came from there is mounted by name"


def test_a_volume_moved_by_its_path_on_the_host_is_still_the_volume() -> None:
    host = volumes_after([*ECHO[:3], VolumeRow(f"{DATA}/other/_data", "/elsewhere", True)])
    assert host is not None
    assert host["Binds"][-1] == "other:/elsewhere:ro"


def test_only_the_access_changes_of_a_mount_turned_read_only() -> None:
    host = volumes_after([row._replace(read_only=not row.read_only) for row in ECHO])
    assert host is not None
    assert host["Binds"] == ["named:/named:z,ro", "/srv:/srv"]
    assert [spec.get("ReadOnly") for spec in host["Mounts"]] == [True, None, True]
    assert host["Mounts"][0]["VolumeOptions"] == {"Subpath": "x"}


def test_a_mount_over_a_tmpfs_takes_its_place() -> None:
    host = volumes_after([*ECHO, VolumeRow("/tmp/x", "/run", False), VolumeRow("/tmp/y", "/scratch", False)])
    assert host is not None
    assert host["Tmpfs"] == {}
    assert [spec["Target"] for spec in host["Mounts"]] == ["/other", "/anon"]
    assert host["Binds"][-2:] == ["/tmp/x:/run", "/tmp/y:/scratch"]


def test_a_volume_that_the_image_declares_cannot_be_taken_out_and_keeps_its_data() -> None:
    assert volumes_after(ECHO[1:], {"Volumes": {"/anon": {}}}) is None
    assert volumes_after(ECHO[1:], {}) is not None


@pytest.mark.parametrize(
    ("host", "memory", "swap"),
    [
        ({"Memory": 100, "MemorySwap": 200}, 50, 100),
        ({"Memory": 100, "MemorySwap": -1}, 50, -1),
        ({"Memory": 100, "MemorySwap": 100}, 300, 300),
        ({"Memory": 100, "MemorySwap": 130}, 300, 330),
        ({"Memory": 0, "MemorySwap": 0}, 300, 600),
        ({"Memory": 0, "MemorySwap": -1}, 300, -1),
        ({"Memory": 100, "MemorySwap": 200}, 0, 0),
    ],
)
def test_swap_follows_the_memory_and_is_never_below_it(host: dict[str, int], memory: int, swap: int) -> None:
    assert swap_for(host, memory) == swap
    assert swap in (-1, 0) or swap >= memory


def test_limits_that_are_so_already_are_no_change() -> None:
    host = {"Memory": 100, "MemorySwap": 200, "NanoCpus": 5}
    assert limits(host, 100, 5) == {}
    assert limits(host, None, None) == {}
    assert limits({}, 0, 0) == {}
    assert limits({"CpuQuota": 50000}, None, 5) == {"NanoCpus": 5, "CpuQuota": 0, "CpuPeriod": 0}
