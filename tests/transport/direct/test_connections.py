"""Who is admitted, who gives way, who is refused: decided on a clock of the test's own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dockpal_agent.transport.direct.connections import Admission, Connection, Connections, Phase


class Door:
    """Connections with four places and two refusals, their sockets, and a clock that stands still."""

    def __init__(self, sockets: ExitStack) -> None:
        self.now = 100.0
        self.connections = Connections(4, 2, clock=lambda: self.now)
        self._sockets = sockets

    def comes(self, peer: str = "a", phase: Phase = Phase.ASKING) -> Connection:
        near, far = socket.socketpair()
        self._sockets.enter_context(near)
        self._sockets.enter_context(far)
        connection = self.connections.admit(near, peer)
        if phase is not Phase.ASKING:
            assert self.connections.enter(connection, phase)
        return connection


@pytest.fixture
def door() -> Iterator[Door]:
    with ExitStack() as sockets:
        yield Door(sockets)


def is_cut(connection: Connection) -> bool:
    connection.socket.setblocking(False)
    try:
        return connection.socket.recv(1) == b""
    except BlockingIOError:
        return False


def test_when_all_are_at_work_newcomers_are_refused_and_then_dropped(door: Door) -> None:
    for _ in range(2):
        door.comes(phase=Phase.BUSY)
        door.comes(phase=Phase.STREAMING)
    door.now += 1000
    found = [door.comes().admission for _ in range(3)]
    assert found == [Admission.REFUSED, Admission.REFUSED, Admission.DROPPED]


def test_a_refused_connection_leaves_its_place_to_the_next(door: Door) -> None:
    for _ in range(4):
        door.comes(phase=Phase.BUSY)
    first = door.comes()
    door.comes()
    door.connections.remove(first)
    assert door.comes().admission is Admission.REFUSED


def test_the_connection_that_is_idle_the_longest_gives_way(door: Door) -> None:
    busy, old = door.comes(phase=Phase.BUSY), door.comes(phase=Phase.IDLE)
    door.now += 1
    young, asking = door.comes(phase=Phase.IDLE), door.comes()
    door.now += 60
    assert door.comes().admission is Admission.ADMITTED
    assert [is_cut(one) for one in (busy, old, young, asking)] == [False, True, False, False]
    assert not door.connections.enter(old, Phase.BUSY)
    assert door.connections.count() == 4


def test_one_that_asks_gives_way_after_a_second_only(door: Door) -> None:
    asking = [door.comes() for _ in range(4)]
    door.now += 0.9
    assert door.comes().admission is Admission.REFUSED
    door.now += 0.1
    assert door.comes().admission is Admission.ADMITTED
    assert [is_cut(one) for one in asking] == [True, False, False, False]


def test_of_those_that_ask_the_address_with_most_of_them_gives_way(door: Door) -> None:
    lone, first, second, _ = door.comes("b"), door.comes("a"), door.comes("a"), door.comes(phase=Phase.BUSY)
    door.now += 5
    door.comes("c")
    assert [is_cut(one) for one in (lone, first, second)] == [False, True, False]


def test_an_evicted_connection_that_is_being_wrapped_learns_of_it(door: Door) -> None:
    asking = [door.comes() for _ in range(4)]
    door.now += 5
    door.comes()
    assert not door.connections.wrap(asking[0], asking[0].socket)
    assert door.connections.wrap(asking[1], asking[1].socket)


def test_stopping_cuts_those_without_a_request_and_waits_for_the_others(door: Door) -> None:
    busy, idle, asking, viewer = (
        door.comes(phase=phase) for phase in (Phase.BUSY, Phase.IDLE, Phase.ASKING, Phase.STREAMING)
    )
    door.connections.begin_stop()
    assert [is_cut(one) for one in (busy, idle, asking, viewer)] == [False, True, True, False]
    assert door.comes().admission is Admission.DROPPED
    assert not door.connections.wait_empty(0)
    door.connections.cut_all()
    assert is_cut(busy)
    for one in (busy, idle, asking, viewer):
        door.connections.remove(one)
    assert door.connections.wait_empty(0)


def test_giving_up_descriptors_takes_as_many_as_there_are(door: Door) -> None:
    idle = [door.comes(phase=Phase.IDLE) for _ in range(3)]
    busy = door.comes(phase=Phase.BUSY)
    door.connections.evict(8)
    assert [is_cut(one) for one in (*idle, busy)] == [True, True, True, False]
