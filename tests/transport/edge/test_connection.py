"""Whatever bytes come: a message, or an error of the line; and what is sent is a frame that any WebSocket reads."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import OP_PING, Frame
from websockets.frames import Opcode as Op
from websockets.protocol import Protocol, Side

from dockpal_agent.transport.edge.connection import Connection, FrameSocket
from dockpal_agent.transport.edge.errors import LineError, LineLost, LineSilent, TokenRefused
from dockpal_agent.transport.edge.wire import Wire


def connection(patience: float = 5.0) -> tuple[Connection, socket.socket]:
    """A connection past its handshake, and the other end of its socket."""
    near, far = socket.socketpair()
    wire = Wire(near, patience)
    frames = FrameSocket()
    frames.sock = wire  # type: ignore[assignment]
    frames.connected = True
    return Connection(frames, wire), far


def fed(data: bytes) -> list[object]:
    """What comes of these bytes and the end of the connection: messages, pings (as bytes), the error."""
    line, far = connection()
    came: list[object] = []
    with far:
        far.sendall(data)
        far.shutdown(socket.SHUT_WR)
        try:
            while True:
                came.append(line.receive(came.append))
        except LineError as error:
            came.append(error)
        finally:
            line.release()
    return came


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_messages_and_then_an_error_of_the_line(data: bytes) -> None:
    *messages, error = fed(data)
    assert isinstance(error, LineError)
    assert all(isinstance(message, (str, bytes)) for message in messages)


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(Op(opcode), payload, fin).serialize(mask=False)


@given(st.text(), st.lists(st.integers(0, 300), max_size=5), st.binary(max_size=100))
def test_a_message_cut_anywhere_with_pings_between_comes_out_whole(text: str, cuts: list[int], ping: bytes) -> None:
    data = text.encode("utf-8", "replace")
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in zip(borders, borders[1:])]
    stream = b"".join(
        frame(1 if index == 0 else 0, part, fin=index == len(parts) - 1) + frame(OP_PING, ping)
        for index, part in enumerate(parts)
    )
    *came, error = fed(stream)
    assert [message for message in came if isinstance(message, str)] == [data.decode()]
    assert came.count(ping) == len(parts) and isinstance(error, LineLost)


@pytest.mark.parametrize(
    ("payload", "code", "kind"),
    [(b"", None, LineLost), (struct.pack("!H", 1001) + b"bye", 1001, LineLost),
     (struct.pack("!H", 4001) + b"authentication failed", 4001, TokenRefused), (b"\x03", 1002, LineLost),
     (struct.pack("!H", 1005), 1002, LineLost), (struct.pack("!H", 1000) + b"\xff", 1002, LineLost)],
)  # fmt: skip
def test_a_close_frame_is_what_its_code_says(payload: bytes, code: int, kind: type[LineError]) -> None:
    data = bytes((0x88, len(payload))) + payload
    (error,) = fed(data)
    assert type(error) is kind and error.code == code


def test_the_text_of_a_close_reason_cannot_break_the_log() -> None:
    (error,) = fed(frame(8, struct.pack("!H", 1000) + b"a\nb\x1b[31m"))
    assert "\n" not in str(error) and "\x1b" not in str(error)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 16384, 16385, 65536, 200_000])
def test_what_is_sent_is_read_by_another_implementation(size: int) -> None:
    line, far = connection()
    peer = Protocol(Side.SERVER, max_size=None)
    between: list[int] = []
    with far:
        far.settimeout(5)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        line.send_text(b"x" * size, lambda: between.append(1))
        line.send_ping()
        frames: list[Frame] = []
        while not frames or frames[-1].opcode is not Op.PING:
            data = far.recv(65536)
            peer.receive_data(data)
            frames += [event for event in peer.events_received() if isinstance(event, Frame)]
        received = b"".join(bytes(event.data) for event in frames[:-1])
    line.release()
    assert received == b"x" * size
    assert len(between) == len(frames) - 2 == max(0, (size - 1) // 16384)


def test_a_read_that_runs_out_of_patience_is_a_silent_line() -> None:
    line, far = connection(patience=0.01)
    with far, pytest.raises(LineSilent):
        line.receive(lambda _: None)
    line.release()


def test_a_write_that_makes_no_progress_is_a_silent_line() -> None:
    line, far = connection(patience=0.01)
    with far, pytest.raises(LineSilent):
        line.send_text(b"x" * 10_000_000, lambda: None)
    line.release()


def test_the_first_cause_of_an_end_is_the_one_that_is_told() -> None:
    line, far = connection()
    with far:
        line.abort(LineSilent("the writer's reason"))
        line.abort(LineLost("a later one"))
        with pytest.raises(LineSilent, match="the writer's reason"):
            line.receive(lambda _: None)
    line.release()
