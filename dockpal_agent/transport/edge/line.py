"""The line: dial, send the token, serve until it is lost, wait, dial again, until it is stopped.

Threads: `edge-line` owns the state and reads; `edge-writer`, one for each connection, writes; `edge-worker-N` work.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Final, Optional

from dockpal_agent.transport.edge.address import Address
from dockpal_agent.transport.edge.backoff import Backoff
from dockpal_agent.transport.edge.connection import Connection
from dockpal_agent.transport.edge.dial import Trust, dial
from dockpal_agent.transport.edge.errors import ClosedEarly, LineError, LineLost, TokenRefused
from dockpal_agent.transport.edge.health import LineRecord
from dockpal_agent.transport.edge.limits import Limits
from dockpal_agent.transport.edge.serving import Client, Service, Serving
from dockpal_agent.transport.edge.state import Event, Machine, State
from dockpal_agent.transport.edge.writer import Writer

__all__ = ["EdgeLine", "EdgeSettings"]

log = logging.getLogger(__name__)

GRACE: Final = 8.0  # seconds; Docker kills a container 10 s after SIGTERM
UNASKED: Final = 60.0  # seconds; the Server's first request comes at once
GOING_AWAY: Final = 1001
NORMAL: Final = 1000
_NOT_VERIFIED: Final = (
    "edge line: the certificate of %s is NOT verified (DOCKPAL_EDGE_TLS_VERIFY=false):"
    " whoever answers there gets the token, and with it this host"
)


@dataclass(frozen=True)
class EdgeSettings:
    """Plain values. `tokens` are the forms to try, the likely one first; times are seconds.

    `tokens_now` is asked after a refusal: the forms as they are by then, () where the token cannot be read.
    """

    server: str
    tokens: tuple[str, ...] = field(repr=False)
    state_dir: Path
    version: str
    reconnect: float = 5.0
    heartbeat: float = 30.0
    ca_file: Optional[Path] = None
    verify: bool = True
    limits: Limits = Limits()
    tokens_now: Callable[[], tuple[str, ...]] = tuple


class EdgeLine:
    """One line to one Server. `run`, or `start` and `stop`, once in its life. Raises ValueError for a bad address."""

    def __init__(self, service: Service, settings: EdgeSettings, backoff: Optional[Backoff] = None) -> None:
        if not settings.tokens:
            raise ValueError("edge mode needs a token")
        self._settings: Final = settings
        self._limits: Final = settings.limits
        self._address: Final = Address.parse(settings.server)
        self._trust: Final = Trust(settings.ca_file, settings.verify)
        self._backoff: Final = backoff or Backoff(settings.reconnect)
        self._serving: Final = Serving(service, settings.limits)
        self._record: Final = LineRecord(settings.state_dir, self._address.base)
        self._machine: Final = Machine()
        self._since = time.time()
        self._error = ""
        self._tokens = settings.tokens
        self._refusals = 0
        self._told_unasked = False
        self._stop: Final = threading.Event()
        self._lock = threading.Lock()  # guards _dialing and _holding
        self._dialing: Optional[socket.socket] = None
        self._holding: Optional[tuple[Connection, Client]] = None
        self._thread: Final = threading.Thread(target=self._live, name="edge-line", daemon=True)

    @property
    def state(self) -> State:
        return self._machine.state

    def run(self, stop: threading.Event) -> None:
        """Hold the line until `stop` is set, then end it in order."""
        self.start()
        stop.wait()
        self.stop(GRACE)

    def start(self) -> None:
        self._record.write(self._machine.state, self._since, "")  # what a killed process left is not our line
        self._thread.start()

    def stop(self, within: float = GRACE) -> bool:
        """End in order: no new requests, what runs gets most of `within` seconds, a close frame, the threads.

        True when all work had ended. A resolver that hangs keeps its thread beyond that; the process may end anyway.
        """
        until = time.monotonic() + within
        self._stop.set()
        ended = self._serving.stop(max(0.0, within - self._limits.close))
        with self._lock:
            dialing, holding = self._dialing, self._holding
        if holding is not None:
            holding[1].outbox.finish(GOING_AWAY, flush=True)
        elif dialing is not None:
            _shut_down(dialing)
        self._thread.join(max(0.1, min(self._limits.close, until - time.monotonic())))
        if self._thread.is_alive() and holding is not None:
            holding[0].abort()
            self._thread.join(self._limits.close)
        self._advance(Event.STOP, "the agent was stopped")
        return ended

    def _live(self) -> None:
        delay = 0.0
        while not self._stop.wait(delay):
            try:
                error = self._once()
            except Exception as failure:  # the boundary of the thread: whatever happens, the line is tried again
                log.exception("edge line: failed unexpectedly")
                error = LineError(f"the agent failed: {type(failure).__name__}: {failure}")
            if self._stop.is_set():
                return
            delay = self._backoff.delay(time.monotonic(), retry_after=error.retry_after, slow=error.slow)
            self._lost(error, delay)

    def _once(self) -> LineError:
        """One line from dialing to its end, and why it ended."""
        self._advance(Event.DUE)
        self._backoff.dialed(time.monotonic())
        if self._address.secure and not self._settings.verify:
            log.warning(_NOT_VERIFIED, self._address.authority)
        try:
            connection = dial(
                self._address,
                self._trust,
                os.environ,
                within=self._limits.dial,
                patience=max(self._limits.welcome, 2 * self._settings.heartbeat),
                agent=f"dockpal-agent/{self._settings.version}",
                watch=self._watch,
            )
        except LineError as error:
            return error
        finally:
            self._watch(None)
        return self._hold(connection)

    def _watch(self, sock: Optional[socket.socket]) -> None:
        """Note the socket that is being connected, so that `stop` need not wait for it."""
        with self._lock:
            self._dialing = sock
        if sock is not None and self._stop.is_set():
            _shut_down(sock)

    def _hold(self, connection: Connection) -> LineError:
        """Serve one line to its end. Both its threads have ended when this returns, and its socket is closed."""
        opened = time.monotonic()
        client = Client(self._limits)
        writer = Writer(
            connection,
            client.outbox,
            heartbeat=self._settings.heartbeat,
            version=self._settings.version,
            due=self._serving.due,
            beat=lambda: self._beat(opened),
            close_within=self._limits.close,
        )
        client.outbox.put(self._token(), 0.0)
        self._advance(Event.OPENED)
        log.info("edge line: connected to %s", self._address.base)
        with self._lock:
            self._holding = (connection, client)
        if self._stop.is_set():
            client.outbox.finish(GOING_AWAY, flush=False)
        writer.start()
        ending = LineError("the agent failed while it read")
        try:
            ending = self._read(connection, client)
        finally:
            with self._lock:
                self._holding = None
            self._end(connection, client, writer, ending)
        if isinstance(ending, TokenRefused):
            self._refusals += 1
            self._renew()
        return self._early(ending, time.monotonic() - opened)

    def _read(self, connection: Connection, client: Client) -> LineError:
        """Take messages until the line ends; why it did."""
        try:
            while True:
                text = connection.receive(client.outbox.pong)
                if self._serving.receive(text, client) and self._machine.state is not State.SERVING:
                    self._refusals = 0
                    self._backoff.served()
                    connection.expect(2 * self._settings.heartbeat)
                    self._advance(Event.REQUEST)
                    log.info("edge line: serving %s", self._address.base)
        except LineError as error:
            return error

    def _end(self, connection: Connection, client: Client, writer: Writer, ending: LineError) -> None:
        """Say goodbye if the line still carries it, then let go of everything that belonged to it.

        A close frame is answered with its own code (RFC 6455 section 5.5.1).
        """
        self._serving.lost(client)
        client.outbox.finish(ending.code or NORMAL, flush=False)
        if not writer.join(self._limits.close):
            connection.abort()
            writer.join(self._limits.close)
        client.streams.close()
        connection.release()

    def _beat(self, opened: float) -> None:
        """At each heartbeat: let `healthcheck` know, and say what it may mean that nothing is asked."""
        self._record.touch()
        if self._machine.state is State.TOKEN_SENT and time.monotonic() - opened > UNASKED and not self._told_unasked:
            self._told_unasked = True
            text = "does it still look for the token among very many, or was this instance created as direct?"
            log.warning("edge line: the Server asks nothing: %s", text)

    def _token(self) -> bytes:
        """The first message. The forms of the token take turns: a refusal makes the next line try the other."""
        token = self._tokens[self._refusals % len(self._tokens)]
        return json.dumps({"token": token}).encode("ascii")

    def _renew(self) -> None:
        """A refused token may have been rotated: the file that holds it may have the new one by now."""
        tokens = self._settings.tokens_now()
        if tokens and tokens != self._tokens:
            log.info("edge line: the token has changed; the next line tries it")
            self._tokens, self._refusals = tokens, 0

    def _early(self, error: LineError, lasted: float) -> LineError:
        """An end within moments, without code and request: the Server still holds the line before (protocol 7.1)."""
        if (
            isinstance(error, LineLost)
            and error.code is None
            and lasted < self._limits.early
            and self._machine.state is State.TOKEN_SENT
        ):
            return ClosedEarly(
                f"the Server closed the line after {lasted:.1f} s without a reason: it still held the one before;"
                " the next try should succeed (if it never does: is the same token in use on another host?)"
            )
        return error

    def _lost(self, error: LineError, delay: float) -> None:
        """Say once why there is no line; the same reason again is said quietly."""
        text = str(error)
        level = logging.DEBUG if text == self._error else logging.WARNING
        log.log(level, "edge line: %s; next try in %.0f s", text, delay)
        self._advance(Event.LOST, text)

    def _advance(self, event: Event, error: Optional[str] = None) -> None:
        """Move, and let `healthcheck` know. A line that is up has no error; a new dial does not hide the last one."""
        before = self._machine.state
        if before is State.STOPPED:
            return
        after = self._machine.advance(event)
        if after is before:
            return
        if event is Event.OPENED or (after in (State.WAITING, State.STOPPED) and before is not State.DIALING):
            self._since = time.time()
        if error is not None:
            self._error = error
        elif after is State.SERVING:
            self._error = ""
        if after is not State.DIALING:
            self._record.write(after, self._since, "" if after in (State.TOKEN_SENT, State.SERVING) else self._error)


def _shut_down(sock: socket.socket) -> None:
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass  # not connected yet, or not any more
