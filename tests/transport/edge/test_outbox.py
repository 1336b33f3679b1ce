from __future__ import annotations

import threading

from dockpal_agent.transport.edge.limits import Limits
from dockpal_agent.transport.edge.outbox import Closing, Outbox, Outgoing, Pong
from tests.server_standin.server import BOUND


def outbox(messages: int = 3, size: int = 100) -> Outbox:
    return Outbox(Limits(outbox_messages=messages, outbox_bytes=size))


def test_messages_come_out_in_order_and_a_pong_before_them() -> None:
    box = outbox()
    assert box.put(b"1", 0.0) and box.put(b"2", 0.0)
    box.pong(b"first ping")
    box.pong(b"last ping")
    assert [box.take(0.0) for _ in range(4)] == [Pong(b"last ping"), Outgoing(b"1"), Outgoing(b"2"), None]


def test_past_its_messages_or_bytes_nothing_is_taken_in() -> None:
    box = outbox(messages=2)
    assert [box.put(b"x", 0.0) for _ in range(3)] == [True, True, False]
    box = outbox(size=10)
    assert [box.put(b"x" * 6, 0.0) for _ in range(2)] == [True, False]


def test_an_empty_outbox_takes_a_message_of_any_size() -> None:
    assert outbox(size=10).put(b"x" * 1000, 0.0)


def test_who_waits_for_room_gets_it_once_there_is_some() -> None:
    box = outbox(messages=1)
    box.put(b"1", 0.0)
    put = threading.Thread(target=box.put, args=(b"2", BOUND))
    put.start()
    assert box.take(0.0) == Outgoing(b"1")
    assert box.take(BOUND) == Outgoing(b"2")
    put.join(BOUND)


def test_who_waits_for_room_is_let_go_when_the_line_is_over() -> None:
    box = outbox(messages=1)
    box.put(b"1", 0.0)
    results: list[bool] = []
    put = threading.Thread(target=lambda: results.append(box.put(b"2", BOUND)))
    put.start()
    box.close()
    put.join(BOUND)
    assert results == [False]


def test_finishing_with_a_flush_writes_what_is_queued_and_then_the_close() -> None:
    box = outbox()
    box.put(b"1", 0.0)
    box.finish(1001, flush=True)
    assert not box.open and not box.put(b"2", 0.0)
    assert [box.take(0.0), box.take(0.0)] == [Outgoing(b"1"), Closing(1001)]


def test_finishing_without_a_flush_drops_what_is_queued_and_tells_who_waits_for_it() -> None:
    box, sent = outbox(), threading.Event()
    box.put(b"1", 0.0, sent)
    box.finish(1000, flush=False)
    assert sent.is_set() and box.take(0.0) == Closing(1000)
