"""The list: one engine call when warm, and never an answer that events have overtaken."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from dockpal_agent.containers import inventory as room
from dockpal_agent.containers.feed import EventFeed
from dockpal_agent.containers.inventory import Inventory
from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.engine import Engine, EngineUnavailable
from tests.engines.daemon import Daemon, wait_for
from tests.faults.proxy import FaultProxy

pytestmark = pytest.mark.engines


@pytest.fixture
def inventory(proxied: Engine, feed: EventFeed) -> Inventory:
    return Inventory(proxied, OwnContainer(proxied, list), feed)


@pytest.fixture
def web(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    """A container that is never started, restarted always."""
    host = {"RestartPolicy": {"Name": "always"}}
    return daemon.create(busybox, "sleep", "1000", name=unique, labels=labels, HostConfig=host)


def listed(inventory: Inventory, container_id: str) -> dict[str, Any]:
    """The entry of one container."""
    (found,) = [info for info in inventory.list(all=True) if info["id"] == container_id[:12]]
    return found


def inspects(proxy: FaultProxy, container_id: str) -> int:
    """How often it was inspected."""
    return len([path for _, path in proxy.calls if path == f"/containers/{container_id}/json"])


def settled(inventory: Inventory, feed: EventFeed) -> None:
    """Start the feed, and wait until everything there is has been learned."""
    feed.start()
    assert feed.wait_connected(10)
    wait_for(lambda: not inventory._ahead.busy, "what is there to be learned")


def test_the_restart_policy_is_listed_and_a_second_list_asks_nothing_more(
    inventory: Inventory, feed: EventFeed, proxy: FaultProxy, web: str
) -> None:
    settled(inventory, feed)
    assert listed(inventory, web)["restart_policy"] == "always"
    asked = inspects(proxy, web)

    before = len(proxy.calls)
    listed(inventory, web)

    assert inspects(proxy, web) == asked
    assert ("GET", "/containers/json") in proxy.calls[before:]


def test_a_container_that_arrives_is_asked_about_before_anybody_lists_it(
    inventory: Inventory, feed: EventFeed, proxy: FaultProxy, daemon: Daemon, busybox: str, unique: str
) -> None:
    settled(inventory, feed)
    container = daemon.create(busybox, name=unique)
    wait_for(lambda: container in inventory._policies, "it to be learned")

    assert listed(inventory, container)["restart_policy"] in ("no", "")

    assert inspects(proxy, container) == 1


def test_a_changed_restart_policy_is_seen_by_the_event_alone(
    inventory: Inventory, feed: EventFeed, daemon: Daemon, web: str
) -> None:
    settled(inventory, feed)
    assert listed(inventory, web)["restart_policy"] == "always"

    daemon.call("POST", f"/containers/{web}/update", body={"RestartPolicy": {"Name": "unless-stopped"}})

    wait_for(lambda: listed(inventory, web)["restart_policy"] == "unless-stopped", "the new policy")


def test_while_the_event_stream_is_down_nothing_is_taken_from_what_was_learned(
    inventory: Inventory, proxy: FaultProxy, feed: EventFeed, daemon: Daemon, web: str
) -> None:
    settled(inventory, feed)
    assert listed(inventory, web)["restart_policy"] == "always"
    proxy.refuse("GET", "/events", times=None)
    proxy.stop()
    proxy.start()
    wait_for(lambda: not feed.connected, "the loss to be seen")

    daemon.call("POST", f"/containers/{web}/update", body={"RestartPolicy": {"Name": "no"}})

    assert listed(inventory, web)["restart_policy"] == "no"
    daemon.call("POST", f"/containers/{web}/update", body={"RestartPolicy": {"Name": "on-failure"}})
    assert listed(inventory, web)["restart_policy"] == "on-failure"


def test_what_changed_while_the_daemon_was_away_is_not_believed_afterwards(
    inventory: Inventory, proxy: FaultProxy, feed: EventFeed, daemon: Daemon, web: str
) -> None:
    settled(inventory, feed)
    assert listed(inventory, web)["restart_policy"] == "always"

    proxy.stop()
    wait_for(lambda: not feed.connected, "the loss to be seen")
    daemon.call("POST", f"/containers/{web}/update", body={"RestartPolicy": {"Name": "no"}})
    proxy.start()
    assert feed.wait_connected(10)

    assert listed(inventory, web)["restart_policy"] == "no"


def test_an_inspect_that_an_event_has_overtaken_is_not_kept(
    inventory: Inventory, proxy: FaultProxy, feed: EventFeed, daemon: Daemon, web: str
) -> None:
    """The daemon answers the inspect, then the policy changes and the event comes, then the answer reaches us."""
    settled(inventory, feed)
    inventory.forget(web)
    path = re.escape(f"/containers/{web}/json")

    def change(_: object) -> None:
        daemon.call("POST", f"/containers/{web}/update", body={"RestartPolicy": {"Name": "no"}})
        epoch = inventory._epoch
        wait_for(lambda: inventory._epoch > epoch or heard.is_set(), "the event")

    heard = threading.Event()
    feed.subscribe(lambda event: heard.set() if event.action == "update" and event.id == web else None)
    fault = proxy.after("GET", path, change, times=1)

    listed(inventory, web)

    fault.wait_reached()
    wait_for(lambda: listed(inventory, web)["restart_policy"] == "no", "the policy that was set last")


def test_a_container_that_vanishes_between_list_and_inspect_is_left_out(
    inventory: Inventory, proxy: FaultProxy, daemon: Daemon, web: str
) -> None:
    proxy.before("GET", re.escape(f"/containers/{web}/json"), lambda call: daemon.remove(web), times=1)

    assert not [info for info in inventory.list(all=True) if info["id"] == web[:12]]


def test_where_docker_does_not_answer_about_one_container_the_list_comes_without_its_policy(
    inventory: Inventory, proxy: FaultProxy, web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "INSPECT_WITHIN", 0.3)
    proxy.hang("GET", re.escape(f"/containers/{web}/json"), times=None)

    assert "restart_policy" not in listed(inventory, web)
    asked = inspects(proxy, web)
    assert "restart_policy" not in listed(inventory, web)
    assert inspects(proxy, web) == asked, "it is left alone for a while"


def test_without_a_daemon_a_list_says_so_and_all_is_well_when_it_is_back(
    inventory: Inventory, proxy: FaultProxy, feed: EventFeed, web: str
) -> None:
    settled(inventory, feed)
    proxy.stop()
    with pytest.raises(EngineUnavailable, match="Docker"):
        inventory.list(all=True)

    proxy.start()

    assert listed(inventory, web)["restart_policy"] == "always"
    assert feed.wait_connected(10)


def test_many_lists_at_once_ask_about_each_container_once(
    inventory: Inventory, feed: EventFeed, proxy: FaultProxy, web: str
) -> None:
    settled(inventory, feed)
    inventory.forget(web)
    asked = inspects(proxy, web)
    found: list[str] = []

    def look() -> None:
        found.append(listed(inventory, web)["restart_policy"])

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert found == ["always"] * 8
    assert inspects(proxy, web) == asked + 1


def test_only_running_containers_are_listed_unless_all_are_asked_for(inventory: Inventory, web: str) -> None:
    assert not [info for info in inventory.list() if info["id"] == web[:12]]


def test_what_was_removed_is_not_remembered(inventory: Inventory, feed: EventFeed, daemon: Daemon, web: str) -> None:
    settled(inventory, feed)
    listed(inventory, web)

    daemon.remove(web)

    wait_for(lambda: web not in inventory._policies, "it to be forgotten")
