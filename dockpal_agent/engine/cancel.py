"""Ending a wait from another thread."""

from __future__ import annotations

import threading
from typing import Callable

__all__ = ["Cancel"]


class Cancel:
    """A token that ends what waits on it: before it starts, while it waits for an answer, while it reads.

    Any thread may cancel, once or more; a token that is cancelled stays so.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()  # guards _actions, and orders cancel() against forget()
        self._actions: set[Callable[[], None]] = set()

    @property
    def cancelled(self) -> bool:
        """Whether cancel() was called."""
        return self._event.is_set()

    def cancel(self) -> None:
        """End every wait on this token at once.

        The actions (a socket's shutdown, another token's cancel) never block. They run under the lock, so that after
        forget() returns an action cannot strike what has gone on to serve another call.
        """
        with self._lock:
            self._event.set()
            for action in self._actions:
                action()
            self._actions.clear()

    def wait(self, seconds: float) -> bool:
        """Sleep until cancelled, at most `seconds`; whether it was cancelled."""
        return self._event.wait(seconds)

    def watch(self, action: Callable[[], None]) -> None:
        """Have `action` called by cancel(), or now if it was called already. It must not block."""
        with self._lock:
            if not self._event.is_set():
                self._actions.add(action)
                return
        action()

    def forget(self, action: Callable[[], None]) -> None:
        """The action is not called any more once this has returned."""
        with self._lock:
            self._actions.discard(action)
