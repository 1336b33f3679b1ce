"""Docker's events, read by one thread for everybody."""

from __future__ import annotations

import threading
import time

import pytest

from dockpal_agent.containers.feed import Event, EventFeed
from dockpal_agent.engine import Engine
from tests.engines.daemon import Daemon, wait_for
from tests.faults.proxy import FaultProxy

pytestmark = pytest.mark.engines


def started(feed: EventFeed) -> list[Event]:
    """The events that come from now on."""
    events: list[Event] = []
    feed.subscribe(events.append)
    feed.start()
    assert feed.wait_connected(10)
    return events


def actions(events: list[Event], container_id: str) -> list[str]:
    return [event.action for event in events if event.id == container_id]


def test_every_subscriber_hears_what_happens_to_a_container_in_order(
    feed: EventFeed, daemon: Daemon, busybox: str, unique: str
) -> None:
    others: list[Event] = []
    feed.subscribe(others.append)
    events = started(feed)

    container = daemon.run(busybox, "sleep", "1000", name=unique)
    daemon.call("POST", f"/containers/{container}/rename", {"name": f"{unique}-b"})
    daemon.remove(container)

    wait_for(lambda: "destroy" in actions(others, container), "the container's end to be heard of")
    assert actions(events, container) == ["create", "start", "rename", "kill", "die", "destroy"]
    assert actions(others, container) == actions(events, container)
    assert all(event.kind == "container" and event.time_ns for event in events if event.id == container)


def test_what_runs_inside_a_container_does_not_wake_the_feed(
    feed: EventFeed, daemon: Daemon, busybox: str, unique: str
) -> None:
    events = started(feed)
    container = daemon.run(busybox, "sleep", "1000", name=unique)

    daemon.exec(container, "true")
    daemon.remove(container)

    wait_for(lambda: "destroy" in actions(events, container), "the container's end to be heard of")
    assert not [action for action in actions(events, container) if action.startswith("exec")]


def test_after_the_daemon_was_away_subscribers_hear_of_the_gap_and_of_what_follows(
    feed: EventFeed, proxy: FaultProxy, daemon: Daemon, busybox: str, unique: str
) -> None:
    gaps = threading.Semaphore(0)
    feed.subscribe(lambda event: None, gaps.release)
    events = started(feed)
    assert gaps.acquire(timeout=10)

    proxy.stop()
    wait_for(lambda: not feed.connected, "the loss to be seen")
    proxy.start()

    assert gaps.acquire(timeout=10)
    assert feed.wait_connected(10)
    container = daemon.create(busybox, name=unique)
    wait_for(lambda: "create" in actions(events, container), "an event after the gap")


def test_a_subscriber_that_fails_does_not_keep_the_others_from_hearing(
    feed: EventFeed, daemon: Daemon, busybox: str, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: Event) -> None:
        raise RuntimeError("a mistake")

    feed.subscribe(fail)
    events = started(feed)

    container = daemon.create(busybox, name=unique)

    wait_for(lambda: actions(events, container), "the event")
    assert "a subscriber failed" in caplog.text


def test_who_ends_the_subscription_hears_nothing_more(
    feed: EventFeed, daemon: Daemon, busybox: str, unique: str
) -> None:
    mine: list[Event] = []
    forget = feed.subscribe(mine.append)
    events = started(feed)

    forget()
    container = daemon.create(busybox, name=unique)

    wait_for(lambda: actions(events, container), "the event")
    assert not actions(mine, container)


def test_stopping_ends_the_thread_while_nothing_happens(feed: EventFeed) -> None:
    started(feed)

    feed.stop()

    assert "docker-events" not in [thread.name for thread in threading.enumerate()]


def test_stopping_ends_the_thread_while_there_is_no_daemon(proxy: FaultProxy) -> None:
    proxy.stop()
    feed = EventFeed(Engine(proxy.socket_path))
    feed.start()

    feed.stop()

    assert not feed.connected
    assert "docker-events" not in [thread.name for thread in threading.enumerate()]


def test_no_event_is_lost_between_the_answer_and_the_subscription(
    feed: EventFeed, proxy: FaultProxy, daemon: Daemon, busybox: str, unique: str
) -> None:
    """The daemon sends the header first and subscribes us afterwards; `since` covers the moment between."""
    created: list[str] = []
    proxy.before("GET", "/events", lambda call: created.append(daemon.create(busybox, name=unique)), times=1)

    events = started(feed)

    wait_for(lambda: created and actions(events, created[0]), "an event from before the stream began")
    assert time.time_ns() - events[0].time_ns < 60 * 10**9
