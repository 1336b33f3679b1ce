"""Whether the Docker daemon was there all the time, which single calls cannot tell: over systemd's socket a new one
answers them, and a GET over a connection that died with the old one is sent again.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Final, Optional

from dockpal_agent.engine import Cancel, Engine, EngineError, events

__all__ = ["Presence"]

log = logging.getLogger(__name__)

JOIN_WITHIN: Final = 5.0  # seconds


class Presence:
    """Holds a stream of the daemon's events open within a block: it ends with its daemon.

    The events are those of one container, so that they are few; nobody looks at them.
    """

    def __init__(self, engine: Engine, container_id: str) -> None:
        self._engine: Final = engine
        self._filters: Final = {"container": [container_id]}
        self._cancel: Final = Cancel()
        self._gone: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._listen, name="presence of docker", daemon=True)

    @property
    def gone(self) -> bool:
        """Whether the daemon has gone away since, though another one may be there now."""
        return self._gone.is_set()

    def __enter__(self) -> Presence:
        try:
            self._stream = events.subscribe(self._engine, filters=self._filters, cancel=self._cancel)
        except EngineError:  # it is away right now
            self._gone.set()
            return self
        try:
            self._thread.start()
        except RuntimeError as error:  # no more threads
            self._stream.close()
            log.warning("whether Docker is restarted cannot be watched: %s", error)
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._cancel.cancel()
        if self._thread.is_alive():
            self._thread.join(JOIN_WITHIN)

    def _listen(self) -> None:
        try:
            with self._stream as stream:
                for _ in stream.chunks():
                    pass
        except EngineError:
            pass  # however it ended
        self._gone.set()
