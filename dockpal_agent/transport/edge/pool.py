"""The threads that work for the line: bounded, with a bounded queue before them, started when needed, ended when idle.

Work waits in lanes. A lane may hold only so many threads at once, so that thirty-two pulls that take minutes leave
threads for the list that takes a millisecond.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from enum import Enum
from typing import Callable, Final, Optional

from dockpal_agent.transport.edge.limits import Limits

__all__ = ["Lane", "Pool"]

log = logging.getLogger(__name__)

Work = Callable[[], None]


class Lane(Enum):
    READ = "read"
    CHANGE = "change"
    STREAM = "stream"


class Pool:
    """Oldest work first, of the lanes that have a thread left."""

    def __init__(self, limits: Limits, name: str = "edge-worker") -> None:
        self._limits: Final = limits
        self._name: Final = name
        self._most: Final = {Lane.READ: limits.threads, Lane.CHANGE: limits.changing, Lane.STREAM: limits.streaming}
        self._lock = threading.Lock()  # guards everything below
        self._work = threading.Condition(self._lock)  # idle threads wait here
        self._done = threading.Condition(self._lock)  # drain waits here
        self._order = itertools.count()
        self._waiting: dict[Lane, deque[tuple[int, Work]]] = {lane: deque() for lane in Lane}
        self._busy = dict.fromkeys(Lane, 0)
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, lane: Lane, work: Work) -> bool:
        """Queue `work`, which must not raise; False when the queue is full or the pool closed. Never waits."""
        with self._lock:
            if self._closed or sum(map(len, self._waiting.values())) >= self._limits.queue:
                return False
            self._waiting[lane].append((next(self._order), work))
            self._staff()
            return True

    def drain(self, within: float) -> bool:
        """Drop what waits, take nothing more, wait up to `within` seconds for what runs; whether all has ended."""
        until = time.monotonic() + within
        with self._lock:
            self._closed = True
            for waiting in self._waiting.values():
                waiting.clear()
            self._work.notify_all()
            while any(self._busy.values()):
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._done.wait(left)
            return True

    def _staff(self) -> None:
        """See to it that whatever can run has a thread that is free for it. The lock is held.

        Counting the idle alone would not do: one that was woken and has not run yet is idle still.
        """
        runnable = sum(min(len(self._waiting[lane]), self._most[lane] - self._busy[lane]) for lane in Lane)
        if runnable > self._threads - sum(self._busy.values()) and self._threads < self._limits.threads:
            self._start_one()
        elif runnable and self._idle:
            self._work.notify()

    def _start_one(self) -> None:
        self._threads += 1
        try:
            threading.Thread(target=self._run, name=f"{self._name}-{self._threads}", daemon=True).start()
        except RuntimeError:  # the machine has no thread left: those that run will get to it
            self._threads -= 1
            log.error("edge line: no further thread could be started beside %d", self._threads)

    def _run(self) -> None:
        lane: Optional[Lane] = None
        while True:
            with self._lock:
                if lane is not None:
                    self._busy[lane] -= 1
                    self._done.notify_all()
                taken = self._take()
                if taken is None:
                    self._threads -= 1
                    return
                lane, work = taken
                self._busy[lane] += 1
                self._staff()  # the thread that a lane has given up may suit other work than ours
            try:
                work()
            except Exception:  # the boundary of the thread: a bug costs one answer, not a thread of the pool
                log.exception("edge line: work failed unexpectedly")

    def _take(self) -> Optional[tuple[Lane, Work]]:
        """The next piece of work; None when this thread is not needed any more. The lock is held."""
        until = time.monotonic() + self._limits.idle
        while True:
            ready = [lane for lane in Lane if self._waiting[lane] and self._busy[lane] < self._most[lane]]
            if ready:
                lane = min(ready, key=lambda lane: self._waiting[lane][0][0])
                return lane, self._waiting[lane].popleft()[1]
            left = until - time.monotonic()
            if self._closed or left <= 0:
                return None
            self._idle += 1
            self._work.wait(left)
            self._idle -= 1
