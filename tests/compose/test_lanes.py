"""Changes of projects, each in its turn."""

from __future__ import annotations

import threading
from typing import Any, Callable

import pytest

from dockpal_agent.apps.updates import BY_HAND
from dockpal_agent.compose.lanes import Lanes, QueueFull, Stopping, Work

BOUND = 20.0
MOST_BY_THEMSELVES = 8  # of DOCKPAL_AUTO_UPDATE_CONCURRENCY


def work(project: str, key: str, deed: Callable[[], Any] = lambda: None) -> Work:
    return Work(project, key, f"{key} of {project}", deed)


def test_equal_work_joins_the_last_in_the_queue_and_not_what_another_will_overrule() -> None:
    lanes, gate = Lanes(), threading.Event()
    first = lanes.submit(work("app", "a", lambda: gate.wait(BOUND)))
    assert lanes.submit(work("app", "a")) is first
    second = lanes.submit(work("app", "b", lambda: "b"))
    third = lanes.submit(work("app", "a", lambda: "again"))
    assert third is not first and lanes.submit(work("app", "a")) is third
    gate.set()
    assert (first.wait(BOUND), second.wait(BOUND), third.wait(BOUND)) == (True, "b", "again")
    assert lanes.close(BOUND)


def test_as_many_run_at_once_as_may_and_those_of_one_project_never() -> None:
    lanes, gate = Lanes(at_once=2), threading.Event()
    running, most = threading.Semaphore(0), []
    lock = threading.Lock()
    now: set[str] = set()

    def deed(name: str) -> Callable[[], None]:
        def run() -> None:
            with lock:
                assert name not in now
                now.add(name)
                most.append(len(now))
            running.release()
            gate.wait(BOUND)
            with lock:
                now.discard(name)

        return run

    every = [lanes.submit(work(name, f"{name}{n}", deed(name))) for n in range(3) for name in ("a", "b", "c")]
    for _ in range(2):
        assert running.acquire(timeout=BOUND)
    gate.set()
    for each in every:
        each.wait(BOUND)
    assert max(most) == 2 and len(most) == 9


def test_a_project_can_be_stopped_while_as_many_updates_watch_as_there_can_be() -> None:
    lanes, gate = Lanes(), threading.Event()
    watching = BY_HAND + MOST_BY_THEMSELVES
    updates = [lanes.submit(work(f"app{number}", "update", lambda: gate.wait(BOUND))) for number in range(watching)]

    assert lanes.submit(work("other", "stop", lambda: "stopped")).wait(BOUND) == "stopped"

    assert not any(update.ended for update in updates)
    gate.set()
    assert lanes.close(BOUND)


def test_what_fails_is_raised_for_all_who_joined_and_the_next_goes_on() -> None:
    lanes = Lanes()
    gate = threading.Event()

    def fail() -> None:
        gate.wait(BOUND)
        raise ValueError("no")

    failing = lanes.submit(work("app", "a", fail))
    after = lanes.submit(work("app", "b", lambda: 1))
    gate.set()
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            failing.wait(BOUND)
    assert after.wait(BOUND) == 1
    lanes.close(BOUND)
    assert not lanes.busy("app")


def test_past_the_caps_work_is_refused_and_after_the_close_too() -> None:
    lanes, gate = Lanes(at_once=1, per_project=2, in_all=3), threading.Event()
    lanes.submit(work("a", "1", lambda: gate.wait(BOUND)))
    waiting = lanes.submit(work("a", "2"))
    with pytest.raises(QueueFull) as full:
        lanes.submit(work("a", "3"))
    assert full.value.project == "a"
    lanes.submit(work("b", "1"))
    with pytest.raises(QueueFull) as full:
        lanes.submit(work("c", "1"))
    assert full.value.project == ""
    assert not lanes.close(0.0)
    with pytest.raises(Stopping):
        waiting.wait(BOUND)
    with pytest.raises(Stopping):
        lanes.submit(work("a", "4"))
    gate.set()


def test_where_no_thread_can_be_had_the_work_is_refused_and_so_is_what_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    lanes = Lanes()
    with pytest.raises(QueueFull, match="cannot be started"):
        lanes.submit(work("a", "1")).wait(0.0)
    assert not lanes.busy("a")


def test_a_wait_that_is_too_short_says_that_it_goes_on() -> None:
    lanes, gate = Lanes(), threading.Event()
    running = lanes.submit(work("a", "1", lambda: gate.wait(BOUND)))
    with pytest.raises(TimeoutError, match="it goes on"):
        running.wait(0.0)
    gate.set()
    assert running.wait(BOUND)
