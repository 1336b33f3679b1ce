"""Pulls: each runs in a thread of its own and goes on when those who asked for it are gone; who asks again joins it.

pulls = Pulls(engine)
pulls.pull(parse("nginx"), auth)            # waits; raises what the registry or Docker said
view = pulls.watch(parse("nginx"), auth)    # the same pull's progress, as it comes
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Optional

from dockpal_agent.engine import Cancel, Engine, EngineCancelled, EngineError
from dockpal_agent.engine import images as engine_images
from dockpal_agent.images.errors import RegistryFailed, TooManyPulls
from dockpal_agent.images.failures import meaning
from dockpal_agent.images.references import Reference

__all__ = ["Pull", "Pulls", "View"]

AT_ONCE: Final = 16  # pulls; Docker itself transfers three layers at a time for all of them
KEPT: Final = 256  # progress messages of one pull; who reads slower misses some, never the end
PULL_LIMIT: Final = 7200.0  # seconds for one pull in all
JOIN_LIMIT: Final = 10.0  # seconds that the agent's end waits for cancelled pulls

log = logging.getLogger(__name__)

Key = tuple[str, str]


class Pull:
    """One pull under way. Any thread may wait for it or read its progress; one thread runs it."""

    def __init__(self, reference: Reference) -> None:
        self.reference: Final = reference
        self.cancel: Final = Cancel()
        self._changed: Final = threading.Condition()  # guards all below
        self._messages: deque[Mapping[str, Any]] = deque(maxlen=KEPT)
        self._count = 0  # messages ever said; the last is number _count
        self._ended = False
        self._failure: Optional[Exception] = None

    def say(self, message: Mapping[str, Any]) -> None:
        """Note one progress object of Docker's."""
        with self._changed:
            self._messages.append(message)
            self._count += 1
            self._changed.notify_all()

    def end(self, failure: Optional[Exception]) -> None:
        """Note the end, and what it failed of."""
        with self._changed:
            self._ended = True
            self._failure = failure
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait for the end, at most `timeout` seconds; whether it came. Raises what the pull failed of."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended, timeout):
                return False
            self._raise()
            return True

    def after(self, seen: int, timeout: float) -> tuple[int, list[Mapping[str, Any]], bool]:
        """(number of the last message, those after number `seen`, whether the pull is over): as soon as there are any.

        Raises what the pull failed of, once all messages were given.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._count > seen, timeout)
            new = min(self._count - seen, len(self._messages))
            messages = list(self._messages)[len(self._messages) - new :] if new else []
            if self._ended and not messages:
                self._raise()
            return self._count, messages, self._ended

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure.with_traceback(None)  # one instance for all who joined: no trace of another's


class View:
    """One reader's place in a pull's progress."""

    def __init__(self, pull: Pull) -> None:
        self._pull = pull
        self._seen = 0
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._closed = threading.Event()

    def next(self, timeout: float) -> Optional[Mapping[str, Any]]:
        """The next progress object, None when none came in time. Raises EOFError at the end, and the failure."""
        if not self._waiting and not self._closed.is_set():
            self._seen, messages, ended = self._pull.after(self._seen, timeout)
            self._waiting.extend(messages)
            if ended and not messages:
                raise EOFError
        if self._closed.is_set():
            raise EOFError
        return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Leave; the pull goes on."""
        self._closed.set()


class Pulls:
    """All pulls of this agent. `close` cancels them."""

    def __init__(self, engine: Engine, *, at_once: int = AT_ONCE) -> None:
        self._engine: Final = engine
        self._at_once: Final = at_once
        self._lock: Final = threading.Lock()  # guards the two below
        self._running: dict[Key, tuple[Pull, threading.Thread]] = {}
        self._closed = False

    def start(self, reference: Reference, auth: Optional[str]) -> Pull:
        """The pull of `reference` with these credentials: the one that runs, else a new one. Raises TooManyPulls.

        `auth` is an X-Registry-Auth value (credentials.recode), or None. It lives in the pull's thread alone.
        """
        key = (str(reference), hashlib.sha256((auth or "").encode()).hexdigest())
        with self._lock:
            if key in self._running:
                return self._running[key][0]
            if self._closed or len(self._running) >= self._at_once:
                raise TooManyPulls(f"{len(self._running)} pulls are running already; try again when one has ended")
            pull = Pull(reference)
            name = f"pull {reference.familiar}"
            thread = threading.Thread(target=self._run, args=(key, pull, auth), name=name, daemon=True)
            self._running[key] = (pull, thread)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            self._forget(key)
            pull.end(TooManyPulls(f"the pull cannot be started: {error}"))
        return pull

    def pull(self, reference: Reference, auth: Optional[str], *, within: float = PULL_LIMIT) -> None:
        """Pull and wait for the end. Raises ImageError, EngineError; RegistryFailed past `within` seconds."""
        if not self.start(reference, auth).wait(within):
            raise RegistryFailed(f"{reference.familiar} is still being pulled after {within:g} s; it goes on")

    def watch(self, reference: Reference, auth: Optional[str]) -> View:
        """Start or join a pull and follow its progress, from what is still known of its beginning."""
        return View(self.start(reference, auth))

    def close(self) -> None:
        """End every pull and wait for the threads. No new one starts after this."""
        with self._lock:
            self._closed = True
            running = list(self._running.values())
        for pull, _ in running:
            pull.cancel.cancel()
        end = time.monotonic() + JOIN_LIMIT
        for _, thread in running:
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self, key: Key, pull: Pull, auth: Optional[str]) -> None:
        """The thread of one pull. It is forgotten before its end is told: who asks then wants a new look."""
        started = time.monotonic()
        failure: Optional[Exception] = None
        watchdog = threading.Timer(PULL_LIMIT, pull.cancel.cancel)
        watchdog.daemon = True
        watchdog.start()
        try:
            transfer(self._engine, pull.reference, auth, pull.say, pull.cancel)
        except Exception as error:  # noqa: BLE001  the boundary of a thread: those who wait get it
            failure = error
        finally:
            watchdog.cancel()
            self._forget(key)
        seconds = time.monotonic() - started
        if failure is None:
            log.info("image %s: pulled in %.1f s", pull.reference.familiar, seconds)
        else:
            log.warning("image %s: pull failed after %.1f s: %s", pull.reference.familiar, seconds, failure)
        pull.end(failure)

    def _forget(self, key: Key) -> None:
        with self._lock:
            self._running.pop(key, None)


def transfer(
    engine: Engine,
    reference: Reference,
    auth: Optional[str],
    say: Callable[[Mapping[str, Any]], None],
    cancel: Optional[Cancel] = None,
) -> None:
    """Pull an image and tell every progress object. Raises ImageError with the fitting class, EngineError."""
    name = f"{reference.repository}@{reference.digest}" if reference.pinned else str(reference)
    try:
        for progress in engine_images.pull(engine, name, auth=auth, cancel=cancel):
            say(progress)
    except EngineCancelled as error:
        raise RegistryFailed(f"the pull of {reference.familiar} was ended before it was complete") from error
    except EngineError as error:
        raise meaning(error, reference, auth) from None  # the Engine's own text may hold what hide() took out
