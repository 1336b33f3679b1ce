"""Who is connected, and in what state: decides whom to admit, whom to evict for a newcomer, whom to refuse.

Decisions are made under one lock; sockets are shut down after it. A shut down socket wakes the thread that waits on it.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
import time
from collections import Counter
from typing import Callable, Final, Optional

__all__ = ["Admission", "Connection", "Connections", "Phase"]

YOUNG: Final = 1.0  # seconds in which a connection that has not asked yet cannot be evicted


class Phase(enum.Enum):
    """What a connection's thread is about."""

    ASKING = "asking"  # TLS handshake, then a request's head: nothing has been asked yet
    IDLE = "idle"  # kept alive between two requests
    BUSY = "busy"  # a request is being read or answered
    STREAMING = "streaming"  # a viewer of messages


class Admission(enum.Enum):
    """What becomes of a new connection."""

    ADMITTED = "admitted"
    REFUSED = "refused"  # told so with 503
    DROPPED = "dropped"  # closed at once: too many are being told already, or the server stops


class Connection:
    """One accepted connection. `phase` and `evicted` belong to Connections and its lock."""

    __slots__ = ("admission", "evicted", "peer", "phase", "since", "socket", "thread")

    def __init__(self, connection: socket.socket, peer: str, since: float) -> None:
        self.socket = connection
        self.peer = peer
        self.since = since  # when the phase began
        self.phase = Phase.ASKING
        self.evicted = False
        self.admission = Admission.ADMITTED
        self.thread: Optional[threading.Thread] = None


class Connections:
    """All connections of a server, at most `most`, and `refusals` more that are being told to come back later.

    Past the cap, a kept-alive connection without a request gives way, then one that has not asked for anything for a
    second (of the address that has most of them); only when all are at work is the newcomer refused.
    """

    def __init__(self, most: int, refusals: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._refusals = refusals
        self._clock = clock
        self._lock = threading.Lock()  # guards all below, and phase and evicted of each connection
        self._admitted: dict[Connection, None] = {}  # oldest first
        self._refused: dict[Connection, None] = {}
        self._stopping = False
        self._empty = threading.Condition(self._lock)

    def admit(self, accepted: socket.socket, peer: str) -> Connection:
        """Decide about a new connection; its `admission` tells. Never waits."""
        connection = Connection(accepted, peer, self._clock())
        victim = None
        with self._lock:
            if len(self._admitted) >= self._most:
                victim = self._evict()
            connection.admission = self._place(connection)
        if victim is not None:
            _cut(victim.socket)
        return connection

    def _place(self, connection: Connection) -> Admission:
        if not self._stopping and len(self._admitted) < self._most:
            self._admitted[connection] = None
            return Admission.ADMITTED
        if not self._stopping and len(self._refused) < self._refusals:
            self._refused[connection] = None
            return Admission.REFUSED
        return Admission.DROPPED

    def evict(self, most: int) -> None:
        """End up to `most` connections that nobody needs at the moment: their descriptors are needed."""
        with self._lock:
            victims = [self._evict() for _ in range(most)]
        for victim in victims:
            if victim is not None:
                _cut(victim.socket)

    def _evict(self) -> Optional[Connection]:
        victim = self._dispensable()
        if victim is not None:
            victim.evicted = True
            del self._admitted[victim]
        return victim

    def _dispensable(self) -> Optional[Connection]:
        """The connection that gives way: idle the longest, or asking the longest of the address with most that ask."""
        idle = [one for one in self._admitted if one.phase is Phase.IDLE]
        if idle:
            return min(idle, key=lambda one: one.since)
        before = self._clock() - YOUNG
        asking = [one for one in self._admitted if one.phase is Phase.ASKING and one.since <= before]
        numbers = Counter(one.peer for one in asking)
        return min(asking, key=lambda one: (-numbers[one.peer], one.since), default=None)

    def wrap(self, connection: Connection, wrapped: socket.socket) -> bool:
        """Put the TLS socket in the place of the plain one, which it took over; False when the place is lost."""
        with self._lock:
            connection.socket = wrapped
            return not connection.evicted

    def enter(self, connection: Connection, phase: Phase) -> bool:
        """Note what the connection is about from now on; False when it is to close instead."""
        with self._lock:
            if connection.evicted or (self._stopping and phase is not Phase.STREAMING):
                return False
            connection.phase = phase
            connection.since = self._clock()
            return True

    def remove(self, connection: Connection) -> None:
        """Forget a connection whose socket is closed."""
        with self._lock:
            self._admitted.pop(connection, None)
            self._refused.pop(connection, None)
            if not self._admitted and not self._refused:
                self._empty.notify_all()

    @property
    def stopping(self) -> bool:
        """Whether connections are to end after what they are about; message streams look here."""
        return self._stopping

    def count(self, phase: Optional[Phase] = None) -> int:
        """How many are admitted, or in `phase`."""
        with self._lock:
            return sum(1 for one in self._admitted if phase is None or one.phase is phase)

    def begin_stop(self) -> None:
        """Admit nobody any more and end those that nobody uses."""
        with self._lock:
            self._stopping = True
            unused = [one for one in self._admitted if one.phase in (Phase.IDLE, Phase.ASKING)]
            unused += list(self._refused)
        for connection in unused:
            _cut(connection.socket)

    def wait_empty(self, within: float) -> bool:
        """Wait until all connections are gone; False when some are left after `within` seconds."""
        with self._lock:
            return self._empty.wait_for(lambda: not self._admitted and not self._refused, timeout=max(within, 0.0))

    def cut_all(self) -> None:
        """End every connection at once, whatever it is about."""
        with self._lock:
            left = [*self._admitted, *self._refused]
        for connection in left:
            _cut(connection.socket)


def _cut(connection: socket.socket) -> None:
    """Wake the connection's thread with an end. Below TLS: SSLSocket.shutdown would pull its state from under it."""
    with contextlib.suppress(OSError):  # closed already
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
