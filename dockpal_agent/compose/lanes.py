"""Who may change which project: one piece of work at a time for each, in the order in which it came.

Work runs in a thread of its own and goes on when those who asked for it are gone. The same again joins what is last in
the project's queue: were it to join what runs before another, that other would have the last word.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any, Callable, Final, Optional

__all__ = ["AT_ONCE", "Lanes", "QueueFull", "Stopping", "Work"]

log = logging.getLogger(__name__)

# Pieces of work, of all projects together. Most of them wait: for a pull, a health check, an update's gate. All sixteen
# updates that there can be (eight by hand, eight by themselves) must leave room for a stop of another project.
AT_ONCE: Final = 24
PER_PROJECT: Final = 8  # running and waiting
IN_ALL: Final = 64


class QueueFull(Exception):
    """Too much work waits already. `project` is its name, "" where it is the agent as a whole that is full."""

    def __init__(self, message: str, project: str = "") -> None:
        super().__init__(message)
        self.project: Final = project


class Stopping(Exception):
    """The agent is ending: work that had not begun is not begun any more."""


class Work:
    """One piece of work on a project, waiting, running or ended. Any thread may wait for it."""

    def __init__(self, project: str, key: str, title: str, deed: Callable[[], Any]) -> None:
        self.project: Final = project
        self.key: Final = key
        self.title: Final = title
        self._deed: Optional[Callable[[], Any]] = deed
        self._done = threading.Event()
        self._result: Any = None
        self._failure: Optional[Exception] = None

    @property
    def ended(self) -> bool:
        """Whether it is over, well or not."""
        return self._done.is_set()

    def wait(self, timeout: float) -> Any:
        """The result of the work. Raises what it failed of, and TimeoutError when it has not ended in time."""
        if not self._done.wait(timeout):
            raise TimeoutError(f"{self.title} is still under way after {timeout:g} s; it goes on")
        if self._failure is not None:
            raise self._failure.with_traceback(None)  # one instance for all who joined: no trace of another's
        return self._result

    def run(self) -> None:
        """Do it, in this thread; what it held is let go of."""
        deed, self._deed = self._deed, None
        assert deed is not None
        try:
            self._result = deed()
        except Exception as failure:  # noqa: BLE001  the boundary of a thread: those who wait get it
            self._failure = failure
        finally:
            del deed
            self._done.set()

    def give_up(self, reason: Exception) -> None:
        """It will not be begun."""
        self._deed = None
        self._failure = reason
        self._done.set()


_Started = tuple[Work, threading.Thread]


class Lanes:
    """All work on projects. `close` begins nothing new and waits for what runs."""

    def __init__(self, *, at_once: int = AT_ONCE, per_project: int = PER_PROJECT, in_all: int = IN_ALL) -> None:
        self._at_once: Final = at_once
        self._per_project: Final = per_project
        self._in_all: Final = in_all
        self._lock = threading.Lock()  # guards all below
        self._lanes: dict[str, deque[Work]] = {}  # the first of a lane runs, or is the next to
        self._threads: dict[Work, threading.Thread] = {}
        self._closed = False

    def submit(self, work: Work) -> Work:
        """Queue work; what it becomes: itself, or the equal work at the end of its project's queue.

        Raises QueueFull, Stopping.
        """
        with self._lock:
            if self._closed:
                raise Stopping("the agent is ending")
            lane = self._lanes.get(work.project)
            if lane and lane[-1].key == work.key and not lane[-1].ended:
                return lane[-1]
            self._check_room(work.project, len(lane or ()))
            self._lanes.setdefault(work.project, deque()).append(work)
            due = self._due()
        self._start(due)
        return work

    def busy(self, project: str) -> bool:
        """Whether work on the project runs or waits."""
        with self._lock:
            return project in self._lanes

    def close(self, within: float) -> bool:
        """Begin nothing any more, wait so many seconds for what runs; whether all of it has ended."""
        with self._lock:
            self._closed = True
            threads = dict(self._threads)
            waiting = [work for lane in self._lanes.values() for work in lane if work not in threads]
        for work in waiting:
            work.give_up(Stopping(f"the agent ended before {work.title} was begun"))
        until = time.monotonic() + within
        for thread in threads.values():
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads.values())

    def _check_room(self, project: str, waiting: int) -> None:
        """The lock is held."""
        if waiting >= self._per_project:
            raise QueueFull(f"{waiting} changes of project {project} are waiting already; try again later", project)
        if sum(map(len, self._lanes.values())) >= self._in_all:
            raise QueueFull(f"{self._in_all} changes of projects are waiting already; try again later")

    def _due(self) -> list[_Started]:
        """Threads for the work that may begin now. The lock is held."""
        due = []
        for lane in self._lanes.values():
            if self._closed or len(self._threads) >= self._at_once:
                break
            if lane[0] not in self._threads:
                work = lane[0]
                thread = threading.Thread(target=self._run, args=(work,), name=work.title, daemon=True)
                self._threads[work] = thread
                due.append((work, thread))
        return due

    def _start(self, due: list[_Started]) -> None:
        left = deque(due)
        while left:
            work, thread = left.popleft()
            try:
                thread.start()
            except RuntimeError as error:  # no more threads
                work.give_up(QueueFull(f"{work.title} cannot be started: {error}"))
                left.extend(self._forget(work))

    def _run(self, work: Work) -> None:
        """The thread of one piece of work. It is forgotten once its end is told."""
        work.run()
        self._start(self._forget(work))

    def _forget(self, work: Work) -> list[_Started]:
        with self._lock:
            self._threads.pop(work, None)
            lane = self._lanes.get(work.project)
            if lane and lane[0] is work:
                lane.popleft()
                if not lane:
                    del self._lanes[work.project]
            return self._due()
