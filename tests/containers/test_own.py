"""Which container is the agent's own, and what is refused for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dockpal_agent.containers import own as room
from dockpal_agent.containers.own import ADVICE, OwnContainer, Protected, traces
from dockpal_agent.engine import Engine, EngineUnavailable
from tests.engines.daemon import Daemon
from tests.faults.proxy import FaultProxy

ID = "0123456789abcdef" * 4
MOUNTS = (
    "22 21 0:20 / /proc rw - proc proc rw\n"
    f"30 21 254:1 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda1 rw\n"
    f"31 21 254:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw\n"
)
PODMAN = f"30 21 0:1 /containers/overlay-containers/{ID}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw\n"


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "hostname", "found"),
    [
        (f"12:cpu:/docker/{ID}\n0::/\n", "", "web", [ID]),
        (f"0::/system.slice/docker-{ID}.scope\n", "", "web", [ID]),
        (f"0::/../{ID}\n", "", "web", [ID]),
        ("0::/\n", MOUNTS, "web", [ID]),
        ("0::/\n", PODMAN, "web", [ID]),
        ("0::/\n", "", ID[:12], [ID[:12]]),
        (f"12:cpu:/docker/{ID}\n", MOUNTS, ID[:12], [ID, ID[:12]]),
        ("9:name=systemd:/\n0::/init.scope\n", "22 21 0:20 / /proc rw - proc proc rw\n", "web", []),
        (None, None, "web", []),
    ],
    ids=["cgroup v1", "systemd", "other namespace", "mounts", "podman", "host name", "all", "no container", "no proc"],
)
def test_the_id_is_read_from_what_the_kernel_tells(
    cgroup: Any, mountinfo: Any, hostname: str, found: list[str], tmp_path: Path
) -> None:
    if cgroup is not None:
        (tmp_path / "cgroup").write_text(cgroup)
        (tmp_path / "mountinfo").write_text(mountinfo)

    assert traces(tmp_path, hostname) == found


def test_a_folder_of_another_container_that_is_mounted_for_some_purpose_is_no_trace(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(
        f"30 21 254:1 /var/lib/docker/containers/{ID}/hostname /mnt/logs/hostname rw - ext4 /dev/vda1 rw\n"
    )

    assert traces(tmp_path, "web") == []


@pytest.fixture
def agent_id(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    """A running container that stands for the agent's."""
    return daemon.run(busybox, "sleep", "1000", name=unique, labels={**labels, "dockpal.agent": "true"})


@pytest.fixture
def other_id(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    """A running container of somebody's."""
    return daemon.run(busybox, "sleep", "1000", name=f"{unique}-other", labels=labels)


def test_a_trace_that_this_daemon_does_not_know_is_passed_over(engine: Engine, agent_id: str) -> None:
    assert OwnContainer(engine, lambda: [ID, agent_id[:12]]).id() == agent_id


def test_known_by_its_id_only_that_container_is_our_own(
    engine: Engine, daemon: Daemon, agent_id: str, other_id: str
) -> None:
    own = OwnContainer(engine, lambda: [other_id])

    assert own.is_own(daemon.inspect(other_id))
    assert not own.is_own(daemon.inspect(agent_id)), "another agent on this host is not ourselves"


def test_not_known_by_its_id_a_running_container_with_the_label_is_taken_for_our_own(
    engine: Engine, daemon: Daemon, agent_id: str, other_id: str
) -> None:
    own = OwnContainer(engine, list)

    assert own.is_own(daemon.inspect(agent_id))
    assert not own.is_own(daemon.inspect(other_id))
    daemon.call("POST", f"/containers/{agent_id}/stop", {"t": 0})
    assert not own.is_own(daemon.inspect(agent_id)), "we run, so what is stopped is an agent of the past"


def test_a_name_that_looks_like_an_id_is_not_taken_for_one(
    engine: Engine, daemon: Daemon, busybox: str, labels: dict[str, str], unique: str
) -> None:
    name = f"{unique.encode().hex()[-12:]:0>12}"
    daemon.run(busybox, "sleep", "1000", name=name, labels=labels)
    try:
        assert OwnContainer(engine, lambda: [name]).id() is None
    finally:
        daemon.remove(name)


def test_while_the_daemon_is_away_nothing_is_decided_for_good(
    proxied: Engine, proxy: FaultProxy, agent_id: str
) -> None:
    own = OwnContainer(proxied, lambda: [agent_id])
    proxy.stop()
    with pytest.raises(EngineUnavailable):
        own.id()

    proxy.start()

    assert own.id() == agent_id


@pytest.mark.parametrize("action", sorted(ADVICE))
def test_the_refusal_names_the_container_the_reason_and_what_to_do_instead(
    action: Any, engine: Engine, daemon: Daemon, agent_id: str, unique: str
) -> None:
    own = OwnContainer(engine, lambda: [agent_id])

    with pytest.raises(Protected, match=rf"container {unique} cannot be .*the DockPal agent itself.*; .*host"):
        own.guard(daemon.inspect(agent_id), action)


def test_a_container_with_the_protected_label_is_refused_too_and_the_text_names_the_label(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    kept = daemon.create(busybox, name=unique, labels={**labels, "dockpal.protected": "true"})
    own = OwnContainer(engine, list)

    assert own.reason(daemon.inspect(kept)) == room.LABELLED
    with pytest.raises(Protected, match=r"dockpal\.protected=true; run `docker rm -f"):
        own.guard(daemon.inspect(kept), "remove")


def test_any_other_container_passes(engine: Engine, daemon: Daemon, agent_id: str, other_id: str) -> None:
    own = OwnContainer(engine, lambda: [agent_id])

    own.guard(daemon.inspect(other_id), "remove")

    assert own.reason(daemon.inspect(other_id)) is None
