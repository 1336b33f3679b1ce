from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dockpal_agent.transport.edge.limits import Limits
from dockpal_agent.transport.edge.pool import Lane, Pool
from tests.server_standin.server import BOUND, wait_until

LIMITS = Limits(threads=4, changing=2, streaming=1, queue=10, idle=0.05)


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(LIMITS)
    yield pool
    pool.drain(BOUND)
    wait_until(lambda: not workers(), "the threads have ended")


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("edge-worker")]


class Busy:
    """Work that holds its thread until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self) -> None:
        self.begun.release()
        assert self.go.wait(BOUND)

    def has_begun(self, times: int) -> None:
        for _ in range(times):
            assert self.begun.acquire(timeout=BOUND)


def test_changes_leave_threads_for_reads(pool: Pool) -> None:
    change, read = Busy(), threading.Event()
    for _ in range(5):
        assert pool.submit(Lane.CHANGE, change)
    change.has_begun(2)
    assert len(workers()) == 2, "no thread is started for work that may not run yet"

    assert pool.submit(Lane.READ, read.set)

    assert read.wait(BOUND)
    assert not change.begun.acquire(blocking=False)
    change.go.set()
    change.has_begun(3)


def test_two_pieces_of_work_at_once_get_a_thread_each_though_one_was_idle() -> None:
    pool = Pool(replace(LIMITS, idle=BOUND))
    pool.submit(Lane.READ, lambda: None)
    wait_until(lambda: pool._idle == 1, "its thread is idle")
    busy = Busy()

    pool.submit(Lane.READ, busy)
    pool.submit(Lane.READ, busy)

    busy.has_begun(2)
    busy.go.set()
    assert pool.drain(BOUND)


def test_never_more_threads_than_the_limit_and_none_when_idle(pool: Pool) -> None:
    busy = Busy()
    for _ in range(8):
        pool.submit(Lane.READ, busy)
    busy.has_begun(4)
    assert len(workers()) == 4
    busy.go.set()
    busy.has_begun(4)
    wait_until(lambda: not workers(), "idle threads end")
    assert pool.submit(Lane.READ, lambda: None)


def test_past_the_queue_work_is_refused(pool: Pool) -> None:
    busy = Busy()
    for _ in range(4):
        pool.submit(Lane.READ, busy)
    busy.has_begun(4)

    assert [pool.submit(Lane.READ, busy) for _ in range(12)] == [True] * 10 + [False] * 2

    busy.go.set()


def test_a_bug_in_a_piece_of_work_costs_no_thread(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    def bug() -> None:
        raise KeyError("bug")

    for _ in range(6):
        pool.submit(Lane.READ, bug)
    done = threading.Event()
    pool.submit(Lane.READ, done.set)
    assert done.wait(BOUND)
    assert "KeyError" in caplog.text


def test_draining_drops_what_waits_and_tells_whether_what_ran_has_ended() -> None:
    pool = Pool(replace(LIMITS, threads=1))
    busy, never = Busy(), threading.Event()
    pool.submit(Lane.READ, busy)
    busy.has_begun(1)
    pool.submit(Lane.READ, never.set)

    assert not pool.drain(0.01)
    busy.go.set()
    assert pool.drain(BOUND)
    assert not never.is_set() and not pool.submit(Lane.READ, never.set)
