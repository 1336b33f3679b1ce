"""The bounded pipe between the reader of a log and its viewer."""

from __future__ import annotations

import threading

import pytest

from dockpal_agent.containers.pipe import Pipe
from dockpal_agent.containers.streams import Ended


def test_small_pieces_come_out_as_messages_of_whole_pieces() -> None:
    pipe = Pipe(message=10, held=100)
    for piece in (b"aaaa", b"bbbb", b"cccc", b"dddddddddd", b"e"):
        pipe.put(piece)

    assert [pipe.take(1) for _ in range(4)] == [b"aaaabbbb", b"cccc", b"dddddddddd", b"e"]
    assert pipe.take(0.01) is None


def test_what_is_held_can_be_taken_after_the_end_and_then_the_end_is_told() -> None:
    pipe = Pipe(message=10, held=100)
    pipe.put(b"last")
    pipe.end(Ended("removed"))

    assert pipe.take(1) == b"last"
    for _ in range(2):
        with pytest.raises(Ended, match="removed"):
            pipe.take(1)


def test_the_putter_waits_while_the_viewer_does_not_take() -> None:
    pipe = Pipe(message=10, held=20)
    progress = [0]

    def put_all() -> None:
        for _ in range(100):
            assert pipe.put(b"12345")
            progress[0] += 1

    putter = threading.Thread(target=put_all)
    putter.start()
    putter.join(0.2)
    assert putter.is_alive() and progress[0] == 4

    taken = b""
    while len(taken) < 500:  # a message has one piece or two, as the putter is slow or fast
        message = pipe.take(20)
        assert message is not None
        taken += message
    putter.join(20)

    assert taken == b"12345" * 100
    assert progress[0] == 100


@pytest.mark.parametrize("side", ["put", "take"])
def test_closing_ends_a_wait_on_either_side_at_once(side: str) -> None:
    pipe = Pipe(message=10, held=5)
    outcome: list[object] = []

    def wait() -> None:
        try:
            outcome.append(pipe.put(b"12345") if side == "put" else pipe.take(60))
        except Ended as end:
            outcome.append(type(end))

    if side == "put":
        pipe.put(b"12345")
    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()

    pipe.close()
    thread.join(5)

    assert outcome == [False if side == "put" else Ended]


def test_after_closing_nothing_can_be_put_and_nothing_taken() -> None:
    pipe = Pipe(message=10, held=100)
    pipe.put(b"dropped")

    pipe.close()

    assert not pipe.put(b"x")
    with pytest.raises(Ended):
        pipe.take(1)


def test_order_and_completeness_hold_while_both_sides_run() -> None:
    pipe = Pipe(message=100, held=1000)
    pieces = [b"%d\n" % number for number in range(20_000)]

    def put_all() -> None:
        for piece in pieces:
            pipe.put(piece)
        pipe.end(Ended())

    putter = threading.Thread(target=put_all)
    putter.start()
    expected = b"".join(pieces)
    taken = b""
    while len(taken) < len(expected):
        taken += pipe.take(10) or b""
    putter.join(5)

    assert taken == expected
