"""The states of the line, and every legal move between them. Nothing outside `Machine` changes a state.

A dial is one move from WAITING through DIALING; what ends a line is always LOST, whoever ended it, and STOP is legal
from everywhere but the end. Whether a token was right is never said by the Server: the first request says it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from enum import Enum
from typing import Final

__all__ = ["NEXT", "Event", "IllegalMove", "Machine", "State"]


class State(Enum):
    WAITING = "waiting"  # until the backoff delay has passed
    DIALING = "dialing"  # TCP, TLS and the opening handshake
    TOKEN_SENT = "token sent"  # a wrong one is answered by close code 4001
    SERVING = "serving"  # a first request came: the token was right, the backoff starts anew
    STOPPED = "stopped"


class Event(Enum):
    DUE = "due"
    OPENED = "opened"
    REQUEST = "request"
    LOST = "lost"
    STOP = "stop"


NEXT: Final[Mapping[State, Mapping[Event, State]]] = {
    State.WAITING: {Event.DUE: State.DIALING, Event.STOP: State.STOPPED},
    State.DIALING: {Event.OPENED: State.TOKEN_SENT, Event.LOST: State.WAITING, Event.STOP: State.STOPPED},
    State.TOKEN_SENT: {Event.REQUEST: State.SERVING, Event.LOST: State.WAITING, Event.STOP: State.STOPPED},
    State.SERVING: {Event.REQUEST: State.SERVING, Event.LOST: State.WAITING, Event.STOP: State.STOPPED},
    State.STOPPED: {},
}


class IllegalMove(Exception):
    """An event that the table does not have for the state. Nothing was changed."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event.value} does not happen while the line is {state.value}")
        self.state = state
        self.event = event


class Machine:
    """Holds the state; the line's thread and the one that stops it both move it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _state
        self._state = State.WAITING

    @property
    def state(self) -> State:
        return self._state

    def advance(self, event: Event) -> State:
        """Make the move and return the new state. Raises IllegalMove, and the state is as it was."""
        with self._lock:
            following = NEXT[self._state].get(event)
            if following is None:
                raise IllegalMove(self._state, event)
            self._state = following
            return following
