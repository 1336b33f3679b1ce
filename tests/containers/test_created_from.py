"""The reference that a container was created from, once that means another image."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from dockpal_agent.containers import created_from as room
from dockpal_agent.containers.created_from import CreatedFrom
from dockpal_agent.containers.feed import EventFeed
from dockpal_agent.containers.inventory import Inventory
from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.engine import Engine, EngineUnavailable, containers
from tests.engines.daemon import Daemon
from tests.faults.proxy import FaultProxy

pytestmark = pytest.mark.engines


@pytest.fixture
def moved(daemon: Daemon, busybox: str, scratch_image: str, unique: str) -> Iterator[str]:
    """A reference; call `move` to let it mean another image than at first."""
    reference = f"{unique}/moved:1"
    tag(daemon, busybox, reference)
    yield reference
    daemon.answer("DELETE", f"/images/{reference}", {"force": 1})


def tag(daemon: Daemon, image: str, reference: str) -> None:
    repository, _, version = reference.rpartition(":")
    daemon.call("POST", f"/images/{image}/tag", {"repo": repository, "tag": version})


def image_of(created_from: CreatedFrom, engine: Engine, container_id: str) -> str:
    entries = created_from.named(containers.list_containers(engine, all=True))
    (found,) = [entry["Image"] for entry in entries if entry["Id"] == container_id]
    return str(found)


def inspects(proxy: FaultProxy, container_id: str) -> int:
    return len([path for _, path in proxy.calls if path == f"/containers/{container_id}/json"])


def test_a_reference_that_means_another_image_now_is_asked_for_once(
    proxied: Engine, proxy: FaultProxy, daemon: Daemon, scratch_image: str, moved: str, unique: str
) -> None:
    container = daemon.create(moved, "true", name=unique)
    created_from = CreatedFrom(proxied)
    assert image_of(created_from, proxied, container) == moved
    assert inspects(proxy, container) == 0, "Docker's list tells it"

    tag(daemon, scratch_image, moved)
    (raw,) = [entry for entry in containers.list_containers(proxied, all=True) if entry["Id"] == container]
    assert raw["Image"] == raw["ImageID"], "Docker's list does not tell it any more"

    assert [image_of(created_from, proxied, container) for _ in range(3)] == [moved] * 3
    assert inspects(proxy, container) == 1


def test_the_list_of_containers_and_the_inspect_agree_on_the_image(
    proxied: Engine, feed: EventFeed, daemon: Daemon, scratch_image: str, moved: str, unique: str
) -> None:
    container = daemon.create(moved, "true", name=unique)
    inventory = Inventory(proxied, OwnContainer(proxied, list), feed)
    tag(daemon, scratch_image, moved)

    (info,) = [info for info in inventory.list(all=True) if info["id"] == container[:12]]

    assert info["image"] == moved == daemon.inspect(container)["Config"]["Image"]


def test_a_container_made_from_an_id_keeps_it(
    proxied: Engine, proxy: FaultProxy, daemon: Daemon, busybox: str, unique: str
) -> None:
    image_id = daemon.call("GET", f"/images/{busybox}/json")["Id"]
    container = daemon.create(image_id, "true", name=unique)
    created_from = CreatedFrom(proxied)

    assert [image_of(created_from, proxied, container) for _ in range(2)] == [image_id] * 2
    assert inspects(proxy, container) <= 1


def test_where_docker_does_not_answer_about_one_container_its_image_id_is_shown(
    proxied: Engine, proxy: FaultProxy, daemon: Daemon, scratch_image: str, moved: str, unique: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(room, "INSPECT_WITHIN", 0.3)
    container = daemon.create(moved, "true", name=unique)
    tag(daemon, scratch_image, moved)
    proxy.hang("GET", re.escape(f"/containers/{container}/json"), times=None)
    created_from = CreatedFrom(proxied)

    assert image_of(created_from, proxied, container).startswith("sha256:")
    asked = inspects(proxy, container)
    assert image_of(created_from, proxied, container).startswith("sha256:")
    assert inspects(proxy, container) == asked, "it is left alone for a while"


def test_a_container_that_vanishes_between_list_and_inspect_harms_nobody(
    proxied: Engine, proxy: FaultProxy, daemon: Daemon, scratch_image: str, moved: str, unique: str
) -> None:
    container = daemon.create(moved, "true", name=unique)
    tag(daemon, scratch_image, moved)
    proxy.before("GET", re.escape(f"/containers/{container}/json"), lambda call: daemon.remove(container), times=1)

    assert image_of(CreatedFrom(proxied), proxied, container).startswith("sha256:")


def test_without_a_daemon_the_list_says_so(
    proxied: Engine, proxy: FaultProxy, daemon: Daemon, scratch_image: str, moved: str, unique: str
) -> None:
    container = daemon.create(moved, "true", name=unique)
    tag(daemon, scratch_image, moved)
    entries = containers.list_containers(proxied, all=True)
    proxy.stop()
    created_from = CreatedFrom(proxied)

    with pytest.raises(EngineUnavailable):
        created_from.named(entries)

    proxy.start()
    assert {entry["Image"] for entry in created_from.named(entries) if entry["Id"] == container} == {moved}


def test_past_the_cap_what_is_not_listed_any_more_is_forgotten(
    proxied: Engine, daemon: Daemon, scratch_image: str, moved: str, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST", 1)
    made = [daemon.create(moved, "true", name=f"{unique}-{number}") for number in range(3)]
    tag(daemon, scratch_image, moved)
    created_from = CreatedFrom(proxied)
    assert image_of(created_from, proxied, made[0]) == moved
    for container in made[1:]:
        daemon.remove(container)

    assert image_of(created_from, proxied, made[0]) == moved

    assert not set(made[1:]) & set(created_from._references)
