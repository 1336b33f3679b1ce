"""Message streams over the line: deploys one event at a time, logs whole."""

from __future__ import annotations

import pytest

from dockpal_agent.api.messages import Json, Messages, Request, Response
from tests.server_standin.server import Line, StandIn, wait_until
from tests.transport.edge.conftest import Starter
from tests.transport.edge.toy import Scripted, ToyService

DEPLOY = "/docker/deploy/stream/deploy-1"
STREAM = {"stream": "true"}
COMPLETE = {"step": "complete", "message": "deployed", "status": "done", "time": "12:00:03"}


def event(message: str, status: str = "running", step: str = "create") -> dict[str, str]:
    return {"step": step, "message": message, "status": status, "time": "12:00:00"}


@pytest.fixture
def line(server: StandIn, start: Starter) -> Line:
    start(server.port, sign_of_life=0.2, streams=2, stream_idle=0.0)
    return server.line()


def test_a_deploy_comes_as_plain_text_events_counted_from_one_and_ends_as_success(
    line: Line, service: ToyService
) -> None:
    stream = Scripted(event("creating web"), event("web started", "done"), COMPLETE, None)
    service.stream(DEPLOY, lambda: stream)

    replies = list(line.follow("deploy-1"))

    assert [(reply.stream, reply.chunk, reply.data) for reply in replies[:-1]] == [
        (True, 1, "creating web"), (True, 2, "web started"), (True, 3, "deployed"),
    ]  # fmt: skip
    assert (replies[-1].stream, replies[-1].status) == (False, 200)
    assert stream.closed.is_set() and service.called(DEPLOY) == 1


def test_a_failed_deploy_says_its_reason_as_data_and_then_ends_as_failed(line: Line, service: ToyService) -> None:
    hint = event("free the port", "error", step="hint")
    stream = Scripted(hint, event("port is already allocated", "error"), event("undone", "done", "cleanup"), None)
    service.stream(DEPLOY, lambda: stream)

    replies = list(line.follow("deploy-1"))

    assert [reply.data for reply in replies[:-1]] == ["free the port", "error: port is already allocated", "undone"]
    end = replies[-1]
    assert (end.stream, end.status, end.body) == (False, 500, {"error": "port is already allocated"})


def test_a_deploy_that_ends_without_a_word_is_not_recorded_as_deployed(line: Line, service: ToyService) -> None:
    service.stream(DEPLOY, lambda: Scripted(event("creating web"), None))
    assert [reply.status for reply in line.follow("deploy-1")] == [200, 500]


def test_while_nothing_happens_an_empty_event_is_a_sign_of_life(line: Line, service: ToyService) -> None:
    stream = Scripted()
    service.stream(DEPLOY, lambda: stream)
    first = line.call("GET", DEPLOY, STREAM)
    second = line.call("GET", DEPLOY, STREAM)
    stream.put(COMPLETE)
    third = line.call("GET", DEPLOY, STREAM)
    assert [(reply.stream, reply.chunk, reply.data) for reply in (first, second, third)] == [
        (True, 1, ""), (True, 2, ""), (True, 3, "deployed"),
    ]  # fmt: skip


def test_an_unknown_id_ends_the_stream_with_its_reason(line: Line, service: ToyService) -> None:
    service.on("GET", DEPLOY, lambda _: Json({"error": "session not found"}, 404))
    (reply,) = line.follow("deploy-1")
    assert (reply.stream, reply.status, reply.data) == (False, 404, "session not found")


def test_a_stream_that_cannot_be_opened_or_breaks_ends_as_failed(line: Line, service: ToyService) -> None:
    class Broken(Scripted):
        def next(self, timeout: float) -> None:
            raise OSError("the daemon went away")

    broken = Broken()

    def refuse() -> Scripted:
        raise OSError("the daemon is not there")

    service.stream(DEPLOY, refuse)
    (reply,) = line.follow("deploy-1")
    assert (reply.status, reply.data) == (500, "the daemon is not there")
    service.stream(DEPLOY, lambda: broken)
    (reply,) = line.follow("deploy-1")
    assert (reply.status, reply.data) == (500, "the daemon went away")
    assert broken.closed.is_set()


def test_a_lost_line_ends_its_streams_and_the_next_one_begins_anew(
    line: Line, server: StandIn, service: ToyService
) -> None:
    streams = [Scripted(event("one"), event("two")), Scripted(event("one"), COMPLETE, None)]
    opened = iter(streams)
    service.stream(DEPLOY, lambda: next(opened))
    assert line.call("GET", DEPLOY, STREAM).data == "one"
    line.cut()

    second = server.line(2)
    assert [reply.data for reply in second.follow("deploy-1")][:2] == ["one", "deployed"]
    assert streams[0].closed.is_set()


def test_streams_that_nobody_asks_about_make_room_for_new_ones(line: Line, service: ToyService) -> None:
    streams = {n: Scripted(event(str(n))) for n in range(5)}
    for n, stream in streams.items():
        service.stream(f"/docker/deploy/stream/{n}", lambda stream=stream: stream)  # type: ignore[misc]
    for n in streams:
        assert line.call("GET", f"/docker/deploy/stream/{n}", STREAM).data == str(n)
    assert sum(not stream.closed.is_set() for stream in streams.values()) <= 2


def test_past_the_cap_a_follower_gets_signs_of_life_and_no_false_end(
    server: StandIn, start: Starter, service: ToyService
) -> None:
    start(server.port, sign_of_life=0.2, streams=1)
    line = server.line()
    held, waits = Scripted(), Scripted(COMPLETE, None)
    service.stream("/docker/deploy/stream/held", lambda: held)
    service.stream("/docker/deploy/stream/waits", lambda: waits)
    line.call("GET", "/docker/deploy/stream/held", STREAM)
    reply = line.call("GET", "/docker/deploy/stream/waits", STREAM)
    assert (reply.stream, reply.status, reply.data) == (True, 200, "")
    held.put(None)
    list(line.follow("held"))
    assert "deployed" in [reply.data for reply in line.follow("waits")]


def test_a_full_queue_ends_no_stream(server: StandIn, start: Starter, service: ToyService) -> None:
    gate = service.gate("GET", "/hang")
    start(server.port, threads=1, queue=1, sign_of_life=0.2, heartbeat=0.1)
    line = server.line()
    line.reply("req-1")
    for _ in range(2):
        line.ask("GET", "/hang")
        wait_until(lambda: service.called("/hang"), "it hangs")
    reply = line.call("GET", DEPLOY, STREAM)
    assert (reply.stream, reply.chunk, reply.data, reply.status) == (True, 1, "", 200)
    gate.set()


def logs(*messages: object) -> tuple[list[Request], object]:
    asked: list[Request] = []

    def handler(request: Request) -> Response:
        asked.append(request)
        return Messages(lambda: Scripted(*messages, None))  # type: ignore[arg-type]

    return asked, handler


def test_logs_come_at_once_as_one_json_string_in_body_and_data(line: Line, service: ToyService) -> None:
    asked, handler = logs("first\n", b"sec", b"ond \xff\n")
    service.on("GET", "/docker/containers/web/logs", handler)  # type: ignore[arg-type]

    reply = line.call("GET", "/docker/containers/web/logs", {"tail": "2"})

    assert reply.status == 200 and reply.body == reply.data == "first\nsecond �\n"
    assert reply.stream is False
    assert dict(asked[-1].query) == {"tail": "2", "follow": "false", "format": "text"}


def test_of_a_log_that_is_too_long_the_last_whole_lines_are_answered(
    server: StandIn, start: Starter, service: ToyService
) -> None:
    start(server.port, log_bytes=997)
    line = server.line()
    text = "".join(f"line {n}\n" for n in range(10_000))
    _, handler = logs(*(text[at : at + 700] for at in range(0, len(text), 700)))
    service.on("GET", "/docker/containers/web/logs", handler)  # type: ignore[arg-type]

    body = line.call("GET", "/docker/containers/web/logs").body

    assert 900 < len(body) <= 997 and text.endswith(body) and body.startswith("line ")


def test_a_log_that_does_not_end_is_answered_with_what_there_is(
    server: StandIn, start: Starter, service: ToyService
) -> None:
    stream = Scripted("so far\n")
    service.stream("/docker/containers/web/logs", lambda: stream)
    start(server.port, collect=0.2)
    assert server.line().call("GET", "/docker/containers/web/logs").body == "so far\n"
    assert stream.closed.is_set()


def test_logs_of_what_is_not_there_are_an_error_with_its_status(line: Line, service: ToyService) -> None:
    service.on("GET", "/docker/containers/gone/logs", lambda _: Json({"error": "no such container"}, 404))
    reply = line.call("GET", "/docker/containers/gone/logs")
    assert (reply.status, reply.body) == (404, {"error": "no such container"})


def test_a_stream_of_objects_is_answered_with_its_first(line: Line, service: ToyService) -> None:
    service.stream("/docker/containers/web/stats/ws", lambda: Scripted({"cpu_percent": 1.5}))
    assert line.call("GET", "/docker/containers/web/stats/ws").body == {"cpu_percent": 1.5}
