"""Listening, stopping, and what one server owns."""

from __future__ import annotations

import logging
import socket
import threading

import pytest

from dockpal_agent.config import Listen
from dockpal_agent.transport.direct import listening
from dockpal_agent.transport.direct.connections import Phase
from dockpal_agent.transport.direct.server import DirectServer
from tests.transport.direct.client import get, wait_for
from tests.transport.direct.conftest import Running, Start
from tests.transport.direct.service import Service

HAS_IPV6 = True
try:
    socket.create_server(("::1", 0), family=socket.AF_INET6).close()
except OSError:
    HAS_IPV6 = False

LOOPBACKS = ("127.0.0.1", "::1") if HAS_IPV6 else ("127.0.0.1",)


def reachable(running: Running) -> list[str]:
    found = []
    for address in LOOPBACKS:
        try:
            found.append(address if running.client(address=address).get()[0] == 200 else "")
        except ConnectionRefusedError:
            pass
    return found


def test_without_a_host_every_address_is_listened_on(start: Start) -> None:
    running = start(host="")
    assert reachable(running) == list(LOOPBACKS)
    assert {request.peer for request in running.service.requests} == set(LOOPBACKS)  # no "::ffff:" before IPv4


def test_without_ipv6_no_host_means_ipv4(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = listening._open

    def without_ipv6(family: socket.AddressFamily, *arguments: object, **options: object) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError("Address family not supported by protocol")
        return opened(family, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(listening, "_open", without_ipv6)
    assert reachable(start(host="")) == ["127.0.0.1"]


def test_a_host_means_that_address_only(start: Start) -> None:
    assert reachable(start(host="127.0.0.1")) == ["127.0.0.1"]
    assert reachable(start(host="0.0.0.0")) == ["127.0.0.1"]
    assert "127.0.0.1" in reachable(start(host="localhost"))
    if HAS_IPV6:
        assert reachable(start(host="::1")) == ["::1"]


def test_an_address_in_use_is_named(plain: Running) -> None:
    address = Listen("127.0.0.1", plain.server.port)
    with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{plain.server.port}: Address already in use"):
        DirectServer(Service(), [address]).start()


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(OSError, match=r"cannot listen on no-such-host\.invalid:1: "):
        DirectServer(Service(), [Listen("no-such-host.invalid", 1)]).start()


def test_when_one_address_cannot_be_had_no_other_stays_bound(plain: Running) -> None:
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    with pytest.raises(OSError, match="in use"):
        DirectServer(Service(), [Listen("127.0.0.1", port), Listen("127.0.0.1", plain.server.port)]).start()
    socket.create_server(("127.0.0.1", port)).close()


def test_stopping_lets_an_answer_end_and_closes_idle_connections_at_once(running: Running) -> None:
    idle, busy = running.client(), running.client()
    idle.get()
    busy.send(get("/wait"))
    assert running.service.waiting.acquire(timeout=5)
    stopper = threading.Thread(target=running.server.stop, args=(20.0,))
    stopper.start()
    assert idle.is_closed_within(5)
    running.service.gate.set()
    status, fields, _ = busy.answer()
    assert (status, fields["connection"]) == (200, "close")
    stopper.join(10)
    assert not stopper.is_alive()
    with pytest.raises(OSError, match=r"refused|reset"):
        running.client()


def test_stopping_cuts_what_does_not_end_in_time(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    client = running.client()
    client.send(get("/endless"))
    wait_for(lambda: running.server.connections.count(Phase.BUSY) == 1)
    with caplog.at_level(logging.WARNING):
        assert not running.server.stop(0.2)
    assert "1 connections are cut off" in caplog.text
    assert running.service.streams_closed.acquire(timeout=5)


def test_a_stopped_server_leaves_no_thread_and_its_port_can_be_bound_again(start: Start) -> None:
    before = threading.active_count()
    running = start(tls=True)
    running.client().get()
    port = running.server.port
    assert running.server.stop(5.0)
    wait_for(lambda: threading.active_count() <= before)
    again = DirectServer(Service(), [Listen("127.0.0.1", port)])
    again.start()
    again.stop(1.0)


def test_threads_have_names_that_say_what_they_are(start: Start) -> None:
    running = start(tls=True)
    running.client().get()
    names = {thread.name for thread in threading.enumerate()}
    assert {"direct-accept-0", "direct-certificate", "direct-1"} <= names
