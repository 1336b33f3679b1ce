"""Requests over the line: who is answered, with what, by when, and how often."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from dockpal_agent.api.messages import Json, Request, Response
from dockpal_agent.transport.edge.limits import Limits
from dockpal_agent.transport.edge.outbox import Outgoing
from dockpal_agent.transport.edge.serving import Client, Serving
from tests.server_standin.server import BOUND, Line, StandIn, wait_until
from tests.transport.edge.conftest import Starter
from tests.transport.edge.test_connecting import said
from tests.transport.edge.toy import ToyService


@pytest.fixture
def line(server: StandIn, start: Starter) -> Line:
    start(server.port)
    return server.line()


def test_status_and_body_come_back_under_the_requests_id(line: Line, service: ToyService) -> None:
    service.on("PUT", "/docker/containers/web", lambda request: Json({"name": request.json()["name"]}, 418))
    reply = line.call("PUT", "/docker/containers/web", body={"name": "new"})
    assert (reply.status, reply.body, reply.stream) == (418, {"name": "new"}, False)


def test_a_slow_request_delays_no_other(line: Line, service: ToyService) -> None:
    gates = [service.gate("POST", f"/docker/containers/{n}/stop", n) for n in range(4)]
    slow = [line.ask("POST", f"/docker/containers/{n}/stop") for n in range(4)]
    wait_until(lambda: all(service.called(f"/docker/containers/{n}/stop") for n in range(4)), "four stops run")

    for _ in range(50):
        assert line.call("GET", "/docker/containers").status == 200

    assert not any(map(line.answered, slow))
    for gate in gates:
        gate.set()
    assert [line.reply(request_id).body for request_id in slow] == [0, 1, 2, 3]


def test_forty_changes_that_hang_leave_room_for_reads(line: Line, service: ToyService) -> None:
    gates = [service.gate("POST", f"/pull/{n}", n) for n in range(40)]
    pulls = [line.ask("POST", f"/pull/{n}") for n in range(40)]
    wait_until(lambda: sum(service.called(f"/pull/{n}") for n in range(40)) == 16, "sixteen pulls run")

    assert line.call("GET", "/docker/containers").status == 200

    for gate in gates:
        gate.set()
    assert [line.reply(request_id).body for request_id in pulls] == list(range(40))


def test_three_hundred_stats_at_once_are_all_answered(line: Line, service: ToyService) -> None:
    barrier = threading.Barrier(32)

    def stats(request: Request) -> Response:
        barrier.wait(BOUND)  # all thirty-two threads are at it together
        return Json({"id": request.target})

    paths = [f"/docker/containers/{n}/stats" for n in range(320)]
    for path in paths:
        service.on("GET", path, stats)
    asked = [line.ask("GET", path) for path in paths]
    assert [line.reply(request_id).body["id"] for request_id in asked] == paths


def test_what_needs_no_docker_is_answered_while_everything_else_hangs(
    server: StandIn, start: Starter, service: ToyService
) -> None:
    service.prompt_paths.add("/host/stats")
    gate = service.gate("GET", "/docker/containers/web/stats")
    start(server.port, threads=4, queue=20)
    line = server.line()
    line.reply("req-1")
    hanging = [line.ask("GET", "/docker/containers/web/stats") for _ in range(4)]
    wait_until(lambda: service.called("/docker/containers/web/stats") == 4, "every thread hangs")
    hanging += [line.ask("GET", "/docker/containers/web/stats") for _ in range(20)]
    assert line.call("GET", "/docker/containers/web/stats").status == 503, "threads and queue are full"

    assert line.call("GET", "/host/stats").status == 200

    assert not any(map(line.answered, hanging))
    gate.set()
    assert [line.reply(request_id).status for request_id in hanging] == [200] * 24


def test_past_the_queue_a_read_gets_503_and_a_change_whose_status_is_ignored_gets_nothing(
    server: StandIn, start: Starter, service: ToyService
) -> None:
    service.ignored.add("/stop")
    gate = service.gate("GET", "/hang")
    start(server.port, threads=2, queue=3)
    line = server.line()
    line.reply("req-1")
    hanging = [line.ask("GET", "/hang") for _ in range(2)]
    wait_until(lambda: service.called("/hang") == 2, "both threads hang")
    hanging += [line.ask("GET", "/hang") for _ in range(3)]

    assert line.call("GET", "/more").status == 503
    lost = line.ask("POST", "/stop")
    assert line.call("GET", "/more").status == 503

    gate.set()
    assert [line.reply(request_id).status for request_id in hanging] == [200] * 5
    assert not line.answered(lost) and service.called("/stop") == 0


def test_what_takes_too_long_is_answered_with_504_goes_on_and_its_retry_joins_it(
    server: StandIn, start: Starter, service: ToyService
) -> None:
    gate = service.gate("POST", "/docker/containers/web/update-image", {"id": "new"})
    start(server.port, answer=0.3, heartbeat=0.1)
    line = server.line()

    late = line.call("POST", "/docker/containers/web/update-image", {"auth": ""})
    assert late.status == 504 and "it goes on" in late.body["error"]

    retry = line.ask("POST", "/docker/containers/web/update-image", {"auth": ""})
    line.call("GET", "/ping")
    gate.set()
    assert line.reply(retry).body == {"id": "new"}
    assert service.called("/docker/containers/web/update-image") == 1 and line.surplus == []


def test_a_read_that_takes_too_long_says_that_docker_did_not_answer(
    server: StandIn, start: Starter, service: ToyService
) -> None:
    gate = service.gate("GET", "/docker/containers")
    start(server.port, answer=0.2, heartbeat=0.1)
    line = server.line()
    late = line.call("GET", "/docker/containers")
    gate.set()
    assert late.status == 504 and "Docker" in late.body["error"]
    line.call("GET", "/ping")
    assert line.surplus == []


def test_where_any_answer_is_success_nothing_is_said_before_the_work_is_done(
    server: StandIn, start: Starter, service: ToyService
) -> None:
    service.ignored.add("/docker/images/pull")
    gate = service.gate("POST", "/docker/images/pull", {"status": "pulled"})
    start(server.port, answer=0.1, heartbeat=0.05)
    line = server.line()
    first = line.ask("POST", "/docker/images/pull", {"image": "app:1"})
    wait_until(lambda: len(line.heartbeats) >= 8, "four times the limit has passed")
    assert not line.answered(first)

    retry = line.ask("POST", "/docker/images/pull", {"image": "app:1"})
    line.call("GET", "/ping")
    gate.set()

    assert line.reply(first).body == line.reply(retry).body == {"status": "pulled"}
    assert service.called("/docker/images/pull") == 1


def test_a_504_is_unfinished_work_and_is_not_said_where_any_answer_is_success(line: Line, service: ToyService) -> None:
    service.ignored.add("/stop")
    service.on("POST", "/stop", lambda _: Json({"error": "Docker did not answer within 30 s"}, 504))
    asked = line.ask("POST", "/stop")
    wait_until(lambda: service.called("/stop"), "it was tried")
    service.on("POST", "/inspect", lambda _: Json({"error": "Docker did not answer within 30 s"}, 504))
    assert line.call("POST", "/inspect").status == 504
    service.on("POST", "/stop", lambda _: Json({"error": "no such container"}, 404))
    assert line.call("POST", "/stop").status == 404, "what is known to have failed is said"
    assert not line.answered(asked)


def test_what_failed_where_any_answer_is_success_is_in_the_log_with_its_reason(
    line: Line, service: ToyService, caplog: pytest.LogCaptureFixture
) -> None:
    service.ignored.add("/docker/containers/web/start")
    refusal = Json({"error": "port is already allocated"}, 409)
    service.on("POST", "/docker/containers/web/start", lambda _: refusal)
    assert line.call("POST", "/docker/containers/web/start", {"auth": "secret"}).status == 409

    told = said(caplog, "POST /docker/containers/web/start failed (409): port is already allocated")
    assert "does not look at this answer" in told and "secret" not in caplog.text
    service.on("POST", "/inspect", lambda _: refusal)
    line.call("POST", "/inspect")
    assert "/inspect" not in caplog.text, "where the status is read, the Server tells its user"


@pytest.mark.parametrize(
    "other",
    [("POST", "/other", {"a": "1"}, {"x": 1}), ("PUT", "/change", {"a": "1"}, {"x": 1}),
     ("POST", "/change", {"a": "2"}, {"x": 1}), ("POST", "/change", {"a": "1"}, {"x": 2})],
    ids=["path", "method", "query", "body"],
)  # fmt: skip
def test_only_the_same_question_joins(line: Line, service: ToyService, other: tuple[str, str, Any, Any]) -> None:
    gate = service.gate("POST", "/change")
    asked = line.ask("POST", "/change", {"a": "1"}, {"x": 1})
    wait_until(lambda: service.called("/change"), "it runs")
    service.on("POST", "/change", lambda _: Json("mine"))
    reply = line.call(*other)
    assert reply.status == 200 and sum(service.calls.values()) == 3  # host-info, and each of the two
    gate.set()
    line.reply(asked)


def test_reads_never_join_since_what_they_tell_must_not_be_older_than_the_question(
    line: Line, service: ToyService
) -> None:
    gate = service.gate("GET", "/docker/containers")
    asked = [line.ask("GET", "/docker/containers") for _ in range(3)]
    wait_until(lambda: service.called("/docker/containers") == 3, "three lists run")
    gate.set()
    assert [line.reply(request_id).status for request_id in asked] == [200] * 3


def test_work_that_was_not_begun_in_time_never_begins(server: StandIn, start: Starter, service: ToyService) -> None:
    gate = service.gate("POST", "/slow")
    start(server.port, changing=1, answer=0.3, heartbeat=0.1)
    line = server.line()
    slow = line.ask("POST", "/slow")
    wait_until(lambda: service.called("/slow"), "it runs")

    stop = line.call("POST", "/docker/containers/web/stop")
    assert stop.status == 504 and "nothing was done" in stop.body["error"]
    gate.set()

    assert line.reply(slow).status == 504
    assert line.call("POST", "/after").status == 200
    assert service.called("/docker/containers/web/stop") == 0


def test_work_that_waited_when_the_line_was_lost_never_begins(
    server: StandIn, start: Starter, service: ToyService
) -> None:
    gate = service.gate("POST", "/slow")
    start(server.port, changing=1)
    first = server.line()
    first.ask("POST", "/slow")
    first.ask("POST", "/docker/containers/web/stop")
    wait_until(lambda: service.called("/slow"), "it runs")
    first.call("GET", "/ping")
    first.cut()

    second = server.line(2)
    gate.set()
    assert second.call("POST", "/after").status == 200
    assert service.called("/docker/containers/web/stop") == 0 and second.surplus == []


def test_one_id_is_answered_once_though_it_comes_twice(line: Line, service: ToyService) -> None:
    gate = service.gate("POST", "/x", "x")
    text = json.dumps({"request_id": "twice", "method": "POST", "path": "/x"})
    line.asked.add("twice")
    line.send(text)
    line.send(text)
    wait_until(lambda: service.called("/x"), "it runs")
    gate.set()
    assert line.reply("twice").body == "x"
    line.call("GET", "/ping")
    assert service.called("/x") == 1 and line.surplus == []


def test_messages_that_are_no_requests_are_logged_once_and_dropped(
    line: Line, server: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    for text in ("nonsense", "[]", "[" * 10_000, '{"request_id":1,"method":"GET","path":"/"}', "{}", '"\\ud83d"'):
        line.send(text)
    assert line.call("GET", "/ping").status == 200
    said(caplog, "a message was dropped")
    assert len([record for record in caplog.records if "was dropped" in record.getMessage()]) == 1
    assert server.violations == [] and len(server.lines) == 1


def test_a_bad_request_with_a_usable_id_is_answered_with_what_is_wrong(line: Line) -> None:
    line.asked.add("bad")
    line.send(json.dumps({"request_id": "bad", "method": 7, "path": "/"}))
    reply = line.reply("bad")
    assert reply.status == 400 and "method" in reply.body["error"]


@pytest.mark.parametrize("value", [float("nan"), {"x": b"bytes"}, {1, 2}])
def test_no_answer_is_of_a_kind_that_makes_the_server_drop_the_line(
    line: Line, server: StandIn, service: ToyService, value: Any
) -> None:
    service.on("GET", "/bad", lambda _: Json(value))
    assert line.call("GET", "/bad").status == 500
    assert server.violations == [] and line.call("GET", "/ping").status == 200


def test_an_answer_beyond_16_mib_is_an_error_that_says_so_and_one_below_is_carried(
    line: Line, service: ToyService
) -> None:
    service.on("GET", "/huge", lambda _: Json("x" * (17 << 20)))
    service.on("GET", "/large", lambda _: Json("x" * (15 << 20)))
    assert line.call("GET", "/huge").status == 413
    assert len(line.call("GET", "/large").body) == 15 << 20


def test_bytes_are_not_carried_and_their_source_is_closed(line: Line, service: ToyService) -> None:
    closed = service.bytes("/docker/files/download")
    reply = line.call("GET", "/docker/files/download", {"container": "web"})
    assert reply.status == 501 and "direct mode" in reply.body["error"]
    assert closed.wait(BOUND)


def test_what_comes_after_an_answer_waits_until_that_is_written(service: ToyService) -> None:
    serving, client, done = Serving(service, Limits()), Client(Limits()), threading.Event()
    service.on("POST", "/restart", lambda _: Json({"status": "restarted"}, then=done.set))
    serving.receive(json.dumps({"request_id": "r", "method": "POST", "path": "/restart"}), client)

    answer = client.outbox.take(BOUND)

    assert isinstance(answer, Outgoing) and answer.sent is not None and b"restarted" in answer.data
    assert not done.wait(0.05), "the answer is not written yet"
    answer.sent.set()
    assert done.wait(BOUND)
    serving.stop(BOUND)


def test_a_stop_does_not_wait_for_what_caused_it(server: StandIn, start: Starter, service: ToyService) -> None:
    """A restart of the agent's own container returns when the agent has ended."""
    begun, ended = threading.Event(), threading.Event()

    def then() -> None:
        begun.set()
        ended.wait(BOUND)

    service.on("POST", "/restart", lambda _: Json({"status": "restarted"}, then=then))
    edge = start(server.port)
    assert server.line().call("POST", "/restart").status == 200
    assert begun.wait(BOUND)

    before = time.monotonic()
    assert edge.stop(8.0) is True
    assert time.monotonic() - before < 3.0
    ended.set()


def test_what_comes_after_an_answer_happens_over_the_line_too(line: Line, service: ToyService) -> None:
    answered_before: list[bool] = []
    done = threading.Event()

    def then() -> None:
        answered_before.append(bool(wait_until(lambda: line.answered(request_id), "the answer is there")))
        done.set()

    service.on("POST", "/restart", lambda _: Json({"status": "restarted"}, then=then))
    request_id = line.ask("POST", "/restart")
    assert done.wait(BOUND) and answered_before == [True]
