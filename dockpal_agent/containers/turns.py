"""Who may change which container: one at a time. The same request again joins the one that runs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Final, Optional

__all__ = ["Busy", "Turns"]

JOIN_WITHIN: Final = 600.0  # seconds that a repeated request waits for the one it joined


class Busy(Exception):
    """Another change of the container is under way; the text says which."""


class _Work:
    """One change under way: what it is, and how it ended."""

    def __init__(self, title: str, key: Any) -> None:
        self.title: Final = title
        self.key: Final = key
        self.done = threading.Event()
        self.result: Any = None
        self.failure: Optional[Exception] = None


class Turns:
    """Changes under way, by the containers' names. A change holds all its containers or none."""

    def __init__(self) -> None:
        self._changed: Final = threading.Condition()  # guards _held
        self._held: dict[str, _Work] = {}

    def run(self, name: str, key: Any, title: str, within: float, deed: Callable[[], Any]) -> Any:
        """The result of `deed`, done while the container is held; or that of an equal one (`key`) that is being done.

        Waits `within` seconds for another change. Raises Busy, and what the deed raises.
        """
        work = _Work(title, key)
        running = self._take([name], work, within)
        if running is not None:
            return _result(running)
        try:
            work.result = deed()
            return work.result
        except Exception as failure:
            work.failure = failure
            raise
        finally:
            self._give([name])
            work.done.set()

    @contextlib.contextmanager
    def held(self, names: Iterable[str], title: str, within: float) -> Iterator[None]:
        """Hold these containers within the block. Raises Busy after `within` seconds; 0 asks once."""
        wanted = list(dict.fromkeys(names))
        self._take(wanted, _Work(title, object()), within)
        try:
            yield
        finally:
            self._give(wanted)

    def _take(self, names: list[str], work: _Work, within: float) -> Optional[_Work]:
        """Take all of them; None. Or the equal work that holds the one asked for."""
        end = time.monotonic() + within
        with self._changed:
            while True:
                other = next((self._held[name] for name in names if name in self._held), None)
                if other is None:
                    self._held.update(dict.fromkeys(names, work))
                    return None
                if other.key == work.key:
                    return other
                if not self._changed.wait(max(end - time.monotonic(), 0)):
                    raise Busy(f"{other.title} is under way; try again when it has ended")

    def _give(self, names: list[str]) -> None:
        with self._changed:
            for name in names:
                self._held.pop(name, None)
            self._changed.notify_all()


def _result(work: _Work) -> Any:
    if not work.done.wait(JOIN_WITHIN):
        raise Busy(f"{work.title} is still under way after {JOIN_WITHIN:g} s")
    if work.failure is not None:
        raise work.failure.with_traceback(None)  # one instance for all who joined: no trace of another's
    return work.result
