"""Learning about containers before anybody asks: in a thread that is there only while there is something to learn."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable
from typing import Callable, Final, Optional

from dockpal_agent.engine import Engine, EngineError, NotFound, containers

__all__ = ["Ahead", "side_by_side"]

log = logging.getLogger(__name__)


class Ahead:
    """Gathers ids of containers and passes them on, some `delay` seconds after the first, to `learn` in its own thread.

    `learn` may raise EngineError: what fails here is left to who asks in earnest, and is told about it. `all` says
    whether everything() means stopped containers too.
    """

    def __init__(
        self, name: str, engine: Engine, learn: Callable[[list[str]], None], *, all: bool, delay: float = 0.0
    ) -> None:
        self._name: Final = name
        self._engine: Final = engine
        self._learn: Final = learn
        self._with_stopped: Final = all
        self._delay: Final = delay
        self._stopped: Final = threading.Event()
        self._lock = threading.Lock()  # guards what follows
        self._ids: set[str] = set()
        self._everything = False
        self._thread: Optional[threading.Thread] = None

    @property
    def busy(self) -> bool:
        """Whether there is something still to be learned."""
        with self._lock:
            return self._thread is not None

    def add(self, container_id: str) -> None:
        """Learn about this container."""
        self._wake({container_id}, everything=False)

    def everything(self) -> None:
        """Learn about all containers there are."""
        self._wake(set(), everything=True)

    def stop(self) -> None:
        """Learn nothing more; what is under way ends by itself."""
        self._stopped.set()

    def _wake(self, ids: set[str], *, everything: bool) -> None:
        with self._lock:
            self._ids |= ids
            self._everything = self._everything or everything
            if self._thread is not None or self._stopped.is_set():
                return
            thread = self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        thread.start()

    def _run(self) -> None:
        while True:
            self._stopped.wait(self._delay)
            with self._lock:
                ids, everything = self._ids, self._everything
                self._ids, self._everything = set(), False
                if self._stopped.is_set() or not (ids or everything):
                    self._thread = None
                    return
            try:
                if everything:
                    entries = containers.list_containers(self._engine, all=self._with_stopped)
                    ids.update(str(entry.get("Id") or "") for entry in entries)
                self._learn(list(ids))
            except EngineError as error:
                log.debug("%s: not learned ahead: %s", self._name, error)


def side_by_side(ids: Iterable[str], workers: int, ask: Callable[[str], None]) -> None:
    """Call `ask` for each id, `workers` at a time, this thread among them. Raises the first EngineError; who vanished
    meanwhile (NotFound) is passed over.
    """
    waiting = deque(ids)
    failures: list[EngineError] = []

    def work() -> None:
        while not failures:
            try:
                container_id = waiting.popleft()
            except IndexError:  # nothing is left
                return
            try:
                ask(container_id)
            except NotFound:
                continue  # it vanished meanwhile
            except EngineError as error:
                failures.append(error)

    helpers = [
        threading.Thread(target=work, name=f"ask-{number}", daemon=True)
        for number in range(1, min(workers, len(waiting)))
    ]
    for thread in helpers:
        thread.start()
    work()
    for thread in helpers:
        thread.join()  # bounded, as every ask is
    if failures:
        raise failures[0]
