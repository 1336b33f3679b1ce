"""The feed of updates: who watches sees every stage, and nobody waits for anybody."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from dockpal_agent.apps.feed import MOST_WAITING, UpdateFeed, View
from dockpal_agent.apps.record import Record
from dockpal_agent.apps.stages import ErrorCode, Stage
from dockpal_agent.compose.deployevents import TooManyViewers

WITHIN = 20.0  # seconds for what happens at once


def record(attempt_id: str, stage: Stage, message: str = "", error_code: ErrorCode | None = None) -> Record:
    return Record(
        attempt_id, "shop", stage, "auto", {}, started_at=1, updated_at=2, message=message, error_code=error_code
    )


def taken(view: View) -> list[dict[str, Any]]:
    """What waits for a viewer, until there is nothing more, or the end."""
    events = []
    try:
        while (event := view.next(0.0)) is not None:
            events.append(event)
    except EOFError:
        events.append({"stage": "end"})
    return events


def test_stages_and_skips_come_as_the_server_reads_them() -> None:
    feed = UpdateFeed(now=lambda: 5.0)
    view = feed.open()

    feed.tell(record("1-shop", Stage.PULLING))
    feed.tell(record("1-shop", Stage.FAILED, "denied", ErrorCode.AUTH_MISSING))
    feed.skipped("blog", ErrorCode.SKIPPED_WINDOW, "outside 22:00-04:00")

    assert taken(view) == [
        {"attempt_id": "1-shop", "instance_id": "", "app": "shop", "stage": "pulling", "at": 2},
        {
            "attempt_id": "1-shop",
            "instance_id": "",
            "app": "shop",
            "stage": "failed",
            "error_code": "auth_missing",
            "message": "denied",
            "at": 2,
        },
        {
            "attempt_id": "",
            "instance_id": "",
            "app": "blog",
            "stage": "pending",
            "error_code": "skipped_window",
            "message": "outside 22:00-04:00",
            "at": 5_000_000,
        },
    ]


def test_who_comes_later_first_gets_the_last_event_of_each_attempt_that_runs() -> None:
    feed = UpdateFeed()
    feed.tell(record("1-shop", Stage.PULLING))
    feed.tell(record("2-blog", Stage.PULLING))
    feed.tell(record("1-shop", Stage.RECREATING))
    feed.tell(record("3-wiki", Stage.PULLING))
    feed.tell(record("2-blog", Stage.COMPLETED))
    feed.skipped("cron", ErrorCode.SKIPPED_COOLDOWN, "")

    told = [(event["attempt_id"], event["stage"]) for event in taken(feed.open())]

    assert told == [("1-shop", "recreating"), ("3-wiki", "pulling")]


def test_a_reader_who_does_not_take_what_comes_is_dropped_and_others_get_all() -> None:
    feed = UpdateFeed(most_viewers=2)
    slow, quick = feed.open(), feed.open()
    got: list[dict[str, Any]] = []
    for number in range(MOST_WAITING + 10):
        feed.tell(record(f"{number}-shop", Stage.PULLING))
        got += taken(quick)

    assert len(got) == MOST_WAITING + 10
    had = taken(slow)
    assert [event["stage"] for event in had] == ["pulling"] * MOST_WAITING + ["end"]
    feed.open()  # the dropped one's place is free


def test_past_the_cap_a_viewer_is_refused_until_another_leaves() -> None:
    feed = UpdateFeed(most_viewers=1)
    first = feed.open()
    with pytest.raises(TooManyViewers):
        feed.open()

    first.close()
    first.close()

    assert feed.open().next(0.0) is None


@pytest.mark.parametrize("ended_by", ["its own closing", "the feed's"])
def test_a_waiting_reader_ends_at_once(ended_by: str) -> None:
    feed = UpdateFeed()
    view = feed.open()
    ended = threading.Event()

    def watch() -> None:
        try:
            view.next(600.0)
        except EOFError:
            ended.set()

    thread = threading.Thread(target=watch)
    thread.start()
    view.close() if ended_by == "its own closing" else feed.close()

    assert ended.wait(WITHIN)
    thread.join(WITHIN)


def test_a_waiting_reader_gets_an_event_as_it_is_told() -> None:
    feed = UpdateFeed()
    view = feed.open()
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(view.next(600.0)))
    thread.start()

    feed.tell(record("1-shop", Stage.PULLING))

    thread.join(WITHIN)
    assert [event["attempt_id"] for event in got] == ["1-shop"]


def test_after_the_feeds_end_a_view_is_over_when_it_has_what_runs() -> None:
    feed = UpdateFeed()
    feed.tell(record("1-shop", Stage.PULLING))
    feed.close()

    assert [event["stage"] for event in taken(feed.open())] == ["pulling", "end"]


def test_time_without_an_event_is_no_end() -> None:
    view = UpdateFeed().open()
    before = time.monotonic()

    assert view.next(0.05) is None
    assert time.monotonic() - before >= 0.04
