"""The line that is up: kept alive, lost in every way there is, made again; and ended in order."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from dockpal_agent.api.messages import Json
from dockpal_agent.transport.edge.backoff import Backoff
from dockpal_agent.transport.edge.health import edge_health
from dockpal_agent.transport.edge.line import EdgeLine
from dockpal_agent.transport.edge.state import State
from tests.server_standin.link import Link
from tests.server_standin.server import BOUND, StandIn, wait_until
from tests.transport.edge.certificates import Authority, context
from tests.transport.edge.conftest import TOKEN, Starter
from tests.transport.edge.test_connecting import said
from tests.transport.edge.toy import Scripted, ToyService


@pytest.fixture
def link(server: StandIn) -> Iterator[Link]:
    with Link(server.port) as link:
        server.expected_host = f"127.0.0.1:{link.port}"
        yield link


def test_a_heartbeat_message_with_the_version_comes_every_interval(server: StandIn, start: Starter) -> None:
    start(server.port, heartbeat=0.1)
    line = server.line()
    wait_until(lambda: len(line.heartbeats) >= 3, "three heartbeats")
    assert line.heartbeats[0] == {"type": "heartbeat", "version": "0.1.0"}
    assert server.violations == []


def test_pongs_alone_keep_a_quiet_line(server: StandIn, start: Starter) -> None:
    start(server.port, heartbeat=0.1)
    line = server.line()
    wait_until(lambda: len(line.heartbeats) >= 10, "ten heartbeats")
    assert len(server.lines) == 1 and not line.ended.is_set()


def test_a_half_open_line_is_given_up_and_made_again(
    server: StandIn, link: Link, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    start(link.port, heartbeat=0.3)
    server.line().reply("req-1")
    link.freeze()
    said(caplog, "gone silent")
    link.thaw()
    server.line(2).call("GET", "/ping")


def test_a_server_that_compares_the_token_with_many_and_reads_nothing_meanwhile_is_waited_for(
    server: StandIn, link: Link, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    server.comparing = threading.Event()
    start(link.port, heartbeat=0.1)
    wait_until(lambda: server.first_messages, "the token is there")
    link.freeze()  # it answers no ping either
    assert not threading.Event().wait(1.0)  # ten heartbeats
    server.comparing.set()
    link.thaw()

    assert server.line().call("GET", "/ping").status == 200
    assert len(server.upgrades) == 1 and "gone silent" not in caplog.text


def test_a_line_that_is_silent_before_its_first_request_is_given_up_in_the_end(
    server: StandIn, link: Link, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    server.comparing = threading.Event()
    edge = start(link.port, heartbeat=0.1, welcome=0.5)
    wait_until(lambda: server.first_messages, "the token is there")
    link.freeze()
    said(caplog, "gone silent")
    server.comparing.set()
    link.thaw()
    wait_until(lambda: edge.state is State.SERVING, "the next line serves")


def test_a_line_that_is_cut_in_the_middle_of_a_request_answers_it_never_and_the_next_line_works(
    server: StandIn, link: Link, start: Starter, service: ToyService
) -> None:
    gate = service.gate("POST", "/docker/deploy/compose", {"status": "deployed"})
    service.ignored.add("/docker/deploy/compose")
    start(link.port)
    first = server.line()
    lost = first.ask("POST", "/docker/deploy/compose", body={"name": "web"})
    wait_until(lambda: service.called("/docker/deploy/compose"), "the deploy runs")
    link.cut()

    second = server.line(2)
    retry = second.ask("POST", "/docker/deploy/compose", body={"name": "web"})
    second.call("GET", "/ping")
    gate.set()

    assert second.reply(retry).body == {"status": "deployed"}
    assert service.called("/docker/deploy/compose") == 1, "the deploy went on, and the retry joined it"
    assert not first.answered(lost) and second.surplus == [] and server.violations == []


@pytest.mark.parametrize("code", [1000, 1001, 1009, 1011])
def test_a_close_with_a_code_is_answered_named_and_followed_by_a_new_line(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    start(server.port)
    line = server.line()
    line.reply("req-1")
    line.connection.close(code)

    assert line.ended.wait(BOUND) and line.close_code == code
    said(caplog, f"closed the line ({code}")
    server.line(2).call("GET", "/ping")


def test_a_close_without_a_code_and_1006_are_followed_by_a_new_line(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    start(server.port)
    line = server.line()
    line.reply("req-1")
    line.connection.socket.sendall(b"\x88\x00")
    said(caplog, "without a code")
    second = server.line(2)
    second.reply("req-2")
    second.cut()
    said(caplog, "cut without a close")
    server.line(3).call("GET", "/ping")


def test_4001_on_a_line_that_served_makes_the_next_try_slow(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    start(server.port)
    server.line().reply("req-1")
    server.line().connection.close(4001, "authentication failed")
    line = said(caplog, "refused the token")
    assert int(line.rpartition("next try in ")[2].partition(" s")[0]) >= 60


def test_a_request_takes_the_delay_back_to_its_start(server: StandIn, start: Starter) -> None:
    class Recorded(Backoff):
        limits: list[float]

        def delay(self, now: float, *, retry_after: Optional[float] = None, slow: bool = False) -> float:
            self.limits = [*getattr(self, "limits", []), 0.001 * 2**self._losses]
            return min(0.01, super().delay(now, retry_after=retry_after, slow=slow))

    backoff = Recorded(0.001)
    server.refusals += [(502, {}, b"")] * 3
    start(server.port, backoff=backoff)
    for number in (1, 2):
        server.line(number).call("GET", "/ping")
        server.line(number).cut()
    server.line(3)
    assert backoff.limits == [0.001, 0.002, 0.004, 0.001, 0.001]


def test_the_old_line_is_closed_properly_before_the_next_one_is_dialed(start: Starter) -> None:
    with StandIn(TOKEN, hold_old_line=True) as server:
        start(server.port)
        for number in range(1, 4):
            line = server.line(number)
            line.call("GET", "/ping")
            line.connection.close(1011)
        server.line(4)
        assert len(server.upgrades) == 4, "no upgrade met a line that the Server still held"


def test_a_throttled_line_stays_up_and_answers_everything_once(
    server: StandIn, link: Link, start: Starter, service: ToyService
) -> None:
    service.on("GET", "/big", lambda _: Json("x" * 1500))
    start(link.port, heartbeat=5.0)
    line = server.line()
    line.reply("req-1")
    link.rate = 1000

    asked = [line.ask("GET", "/big") for _ in range(3)]

    assert [len(line.reply(request_id, within=40).body) for request_id in asked] == [1500] * 3
    assert len(server.lines) == 1 and line.surplus == []


def test_a_server_that_stops_reading_costs_the_line_and_nothing_else(
    start: Starter, service: ToyService, caplog: pytest.LogCaptureFixture
) -> None:
    with StandIn(TOKEN, max_queue=2, ask_host_info=False) as server:
        service.on("GET", "/big", lambda _: Json("x" * 1_000_000))
        start(server.port, heartbeat=0.5, outbox_bytes=4_000_000)
        line = server.line()
        line.stalled = threading.Event()
        for _ in range(40):
            line.ask("GET", "/big")
        said(caplog, "edge line: the ")
        line.stalled.set()
        assert server.line(2).call("GET", "/ping").status == 200


def test_a_ping_is_answered_before_what_is_queued(server: StandIn, start: Starter) -> None:
    start(server.port)
    line = server.line()
    line.reply("req-1")
    assert line.connection.ping(b"life").wait(BOUND)


def test_a_ping_is_answered_in_the_middle_of_a_long_answer(
    server: StandIn, link: Link, start: Starter, service: ToyService
) -> None:
    service.on("GET", "/long", lambda _: Json("x" * 6_000_000))
    start(link.port)
    line = server.line()
    line.reply("req-1")
    link.rate, link.carried = 2_000_000, 0
    long = line.ask("GET", "/long")
    wait_until(lambda: link.carried > 500_000, "the answer is under way")

    assert line.connection.ping(b"life").wait(BOUND)

    assert not line.answered(long)
    link.rate = None
    assert len(line.reply(long).body) == 6_000_000


def test_fragmented_requests_and_control_frames_between_them_are_read(server: StandIn, start: Starter) -> None:
    start(server.port)
    line = server.line()
    text = json.dumps({"request_id": "whole", "method": "GET", "path": "/é"}, ensure_ascii=False)
    line.asked.add("whole")
    line.connection.send(iter([text[:20], text[20:40], text[40:]]))
    assert line.reply("whole").body["path"] == "/é"


def frame(opcode: int, payload: bytes, *, fin: bool = True, length: int = -1) -> bytes:
    size = len(payload) if length < 0 else length
    return struct.pack("!BBQ", opcode | (0x80 if fin else 0), 127, size) + payload


@pytest.mark.parametrize(
    "junk",
    [frame(0x1, b"\xff\xfe"), frame(0x0, b"x"), frame(0x3, b""), frame(0x1, b"a", fin=False) + frame(0x1, b"b"),
     frame(0x2, b"", length=1 << 62), b"\xc1\x00"],
    ids=["not utf-8", "nothing to continue", "unknown opcode", "mixed fragments", "endless frame", "reserved bit"],
)  # fmt: skip
def test_what_breaks_the_protocol_ends_the_line_and_a_new_one_is_made(
    server: StandIn, start: Starter, junk: bytes
) -> None:
    start(server.port)
    line = server.line()
    line.reply("req-1")
    line.connection.socket.sendall(junk)
    assert line.ended.wait(BOUND)
    assert server.line(2).call("GET", "/ping").status == 200


@pytest.mark.parametrize("fragments", [1, 20])
def test_a_message_over_16_mib_is_dropped_and_the_line_stays(
    server: StandIn, start: Starter, caplog: pytest.LogCaptureFixture, fragments: int
) -> None:
    start(server.port)
    line = server.line()
    line.reply("req-1")
    size = 17 << 20
    text = json.dumps({"request_id": "big", "method": "GET", "path": "/", "body": "x" * size})
    if fragments == 1:
        line.send(text)
    else:
        line.connection.send(text[at : at + 1_000_000] for at in range(0, len(text), 1_000_000))

    assert line.call("GET", "/ping").status == 200
    said(caplog, "was dropped: at most 16777216")
    assert not line.answered("big")


def test_on_a_stop_running_work_is_finished_and_answered_and_then_the_line_is_closed(
    server: StandIn, start: Starter, service: ToyService
) -> None:
    gate = service.gate("POST", "/slow", "done")
    edge = start(server.port)
    line = server.line()
    asked = line.ask("POST", "/slow")
    wait_until(lambda: service.called("/slow"), "the work runs")
    results: list[bool] = []
    stopping = threading.Thread(target=lambda: results.append(edge.stop(BOUND)))
    stopping.start()
    wait_until(lambda: line.call("GET", "/new").status == 503, "new requests are refused")
    gate.set()
    stopping.join(BOUND)

    assert line.reply(asked).body == "done"
    assert results == [True] and edge.state is State.STOPPED
    assert line.ended.wait(BOUND) and line.close_code == 1001


def test_a_stop_does_not_wait_longer_than_it_may(server: StandIn, start: Starter, service: ToyService) -> None:
    gate = service.gate("POST", "/slow")
    service.ignored.add("/deploy")
    deploy_gate = service.gate("POST", "/deploy")
    edge = start(server.port)
    line = server.line()
    asked, ignored = line.ask("POST", "/slow"), line.ask("POST", "/deploy")
    wait_until(lambda: service.called("/slow") and service.called("/deploy"), "the work runs")

    assert edge.stop(2.5) is False

    assert line.reply(asked).status == 503
    assert not line.answered(ignored), "where any answer is success, unfinished work is not answered"
    gate.set()
    deploy_gate.set()


def test_a_stop_ends_no_followed_deploy_as_failed_and_says_nothing_that_is_taken_for_success(
    server: StandIn, start: Starter, service: ToyService
) -> None:
    service.stream("/docker/deploy/stream/d", Scripted)
    service.ignored.add("/start")
    edge = start(server.port)
    line = server.line()
    followed = line.ask("GET", "/docker/deploy/stream/d", {"stream": "true"})
    wait_until(lambda: service.called("/docker/deploy/stream/d"), "it is followed")
    stopping = threading.Thread(target=edge.stop, args=(3.0,))
    stopping.start()
    wait_until(lambda: line.call("GET", "/new").status == 503, "new requests are refused")
    late = [line.ask("GET", "/docker/deploy/stream/d", {"stream": "true"}), line.ask("POST", "/start")]
    assert line.call("GET", "/new").status == 503
    stopping.join(BOUND)

    assert line.ended.wait(BOUND)
    assert not any(map(line.answered, [followed, *late]))
    assert service.called("/start") == 0


def test_a_stop_while_waiting_or_dialing_is_prompt(start: Starter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        dialing = start(deaf.getsockname()[1])
        wait_until(lambda: dialing.state is State.DIALING, "it dials")
        dialing.stop(BOUND)
        assert not dialing._thread.is_alive()
    waiting = start("ws://127.0.0.1:1", reconnect=60.0)
    wait_until(lambda: waiting.state is State.WAITING, "it waits")
    waiting.stop(BOUND)
    assert not waiting._thread.is_alive()


def test_run_holds_the_line_until_it_is_told_to_stop(server: StandIn, service: ToyService, tmp_path: Path) -> None:
    from dockpal_agent.transport.edge.line import EdgeSettings

    edge = EdgeLine(service, EdgeSettings(f"ws://127.0.0.1:{server.port}", (TOKEN,), tmp_path, "0.1.0"))
    stop = threading.Event()
    runner = threading.Thread(target=edge.run, args=(stop,))
    runner.start()
    line = server.line()
    stop.set()
    runner.join(BOUND)
    assert not runner.is_alive() and line.ended.wait(BOUND) and line.close_code == 1001


def test_the_record_follows_the_line(server: StandIn, link: Link, start: Starter, tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    assert "not been tried" in edge_health(state_dir, 30.0).text
    edge = start(link.port)
    server.line()
    health = wait_until(lambda: (h := edge_health(state_dir, 30.0)).ok and "waiting" not in h.text and h, "serving")
    assert f"connected to ws://127.0.0.1:{link.port} since 2" in health.text

    server.close()
    link.cut()
    broken = wait_until(lambda: not (h := edge_health(state_dir, 30.0)).ok and h, "the loss is recorded")
    assert re.match(rf"not connected to ws://127.0.0.1:{link.port} \(waiting\): .*line|.*did not answer", broken.text)
    edge.stop(5.0)
    assert "(stopped): the agent was stopped" in edge_health(state_dir, 30.0).text


def test_over_tls_both_directions_work_at_once_in_volume(start: Starter, service: ToyService, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    service.on("POST", "/echo", lambda request: Json(request.json(1 << 26)))
    with StandIn(TOKEN, tls=context(*authority.issue("dockpal"))) as server:
        start(f"wss://localhost:{server.port}", ca_file=authority.certificate)
        line = server.line()
        asked = [line.ask("POST", "/echo", body={"n": n, "text": "x" * 100_000}) for n in range(100)]
        for n, request_id in enumerate(asked):
            body = line.reply(request_id).body
            assert body["n"] == n and len(body["text"]) == 100_000
        assert server.violations == [] and len(server.lines) == 1


def test_what_a_killed_agent_left_is_not_taken_for_a_line_that_is_up(start: Starter, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "edge.json").write_text('{"state":"serving","since":1,"error":"","server":"x"}')
    assert edge_health(tmp_path / "state", 30.0).ok
    start("ws://127.0.0.1:1", reconnect=60.0)
    assert not edge_health(tmp_path / "state", 30.0).ok


def test_a_server_that_asks_nothing_is_pointed_out(
    start: Starter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockpal_agent.transport.edge.line.UNASKED", 0.1)
    with StandIn(TOKEN, ask_host_info=False) as server:
        start(server.port, heartbeat=0.1)
        said(caplog, "was this instance created as direct?")
        wait_until(lambda: len(server.line().heartbeats) >= 5, "five heartbeats")
    assert caplog.text.count("created as direct") == 1
