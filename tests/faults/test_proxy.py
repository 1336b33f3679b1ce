"""The fault proxy itself: what it passes is unchanged, what it breaks is broken where it says."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dockpal_agent.engine import (
    DaemonFailed,
    Engine,
    EngineBroken,
    EngineCancelled,
    EngineTimeout,
    EngineUnavailable,
    NotFound,
    containers,
    events,
    volumes,
)
from tests.engines.daemon import Daemon
from tests.faults.proxy import FaultProxy, When


@pytest.fixture
def proxy(docker_socket: str) -> Iterator[FaultProxy]:
    with FaultProxy(docker_socket) as proxy:
        yield proxy


@pytest.fixture
def through(proxy: FaultProxy) -> Iterator[Engine]:
    client = Engine(proxy.socket_path)
    yield client
    client.close()


def test_calls_pass_unchanged_over_one_kept_connection_and_are_recorded(
    proxy: FaultProxy, through: Engine, engine: Engine
) -> None:
    assert through.get("/version").json() == engine.get("/version").json()
    with pytest.raises(NotFound, match="No such container: nobody"):
        containers.inspect(through, "nobody")
    assert proxy.calls == [("GET", "/version"), ("GET", "/containers/nobody/json")]


def test_a_refused_call_never_reaches_the_daemon_and_the_next_one_does(
    proxy: FaultProxy, through: Engine, unique: str, labels: dict[str, str]
) -> None:
    proxy.refuse("POST", "/volumes/create", status=500, message="no space left on device")

    with pytest.raises(DaemonFailed, match=r"^no space left on device$"):
        volumes.create(through, {"Name": unique, "Labels": labels})
    with pytest.raises(NotFound):
        volumes.inspect(through, unique)

    assert volumes.create(through, {"Name": unique, "Labels": labels})["Name"] == unique


def test_a_rule_starts_with_its_nth_match(proxy: FaultProxy, through: Engine) -> None:
    proxy.refuse("GET", "/info", nth=2)

    assert through.get("/info").status == 200
    with pytest.raises(DaemonFailed):
        through.get("/info")
    assert through.get("/info").status == 200


def test_a_call_cut_before_the_daemon_is_not_done(
    proxy: FaultProxy, through: Engine, unique: str, labels: dict[str, str]
) -> None:
    proxy.cut("POST", "/volumes/create", When.BEFORE)

    with pytest.raises(EngineUnavailable):
        volumes.create(through, {"Name": unique, "Labels": labels})
    with pytest.raises(NotFound):
        volumes.inspect(through, unique)


def test_a_call_cut_after_the_daemon_is_done_though_nobody_was_told(
    proxy: FaultProxy, through: Engine, unique: str, labels: dict[str, str]
) -> None:
    proxy.cut("POST", "/volumes/create", When.AFTER)

    with pytest.raises(EngineUnavailable):
        volumes.create(through, {"Name": unique, "Labels": labels})

    assert volumes.inspect(through, unique)["Name"] == unique


def test_an_answer_cut_in_mid_body_is_broken(proxy: FaultProxy, through: Engine) -> None:
    proxy.cut("GET", "/info", When.BODY, keep=20)

    with pytest.raises(EngineBroken):
        through.get("/info")


def test_a_hanging_call_goes_on_when_it_is_released(proxy: FaultProxy, through: Engine) -> None:
    fault = proxy.hang("GET", "/info")
    answers: list[int] = []
    caller = threading.Thread(target=lambda: answers.append(through.get("/info").status))
    caller.start()
    fault.wait_reached()
    assert answers == []

    fault.release()
    caller.join(10)

    assert answers == [200]


def test_a_hanging_call_runs_into_its_own_limit(proxy: FaultProxy, through: Engine) -> None:
    proxy.hang("GET", "/info")

    with pytest.raises(EngineTimeout):
        through.get("/info", within=0.2)


def test_callbacks_run_before_the_daemon_hears_and_after_it_did(
    proxy: FaultProxy, through: Engine, engine: Engine, unique: str, labels: dict[str, str]
) -> None:
    there: list[bool] = []

    def look(call: object) -> None:
        there.append(any(volume["Name"] == unique for volume in volumes.list_volumes(engine)))

    proxy.before("POST", "/volumes/create", look)
    proxy.after("POST", "/volumes/create", look)
    volumes.create(through, {"Name": unique, "Labels": labels})

    assert there == [False, True]


def test_a_silent_stream_passes_and_its_cancelling_reaches_the_daemon(
    proxy: FaultProxy, through: Engine, engine: Engine, unique: str, labels: dict[str, str]
) -> None:
    with events.subscribe(through, filters={"type": ["volume"], "event": ["create"]}) as stream:
        volumes.create(engine, {"Name": unique, "Labels": labels})
        seen = stream.json_lines()
        while next(seen)["Actor"]["ID"] != unique:
            pass
        stream.cancel()
        with pytest.raises(EngineCancelled):
            next(seen)


def test_an_upload_in_chunks_passes(
    proxy: FaultProxy, through: Engine, daemon: Daemon, unique: str, labels: dict[str, str]
) -> None:
    with pytest.raises(NotFound, match="No such container"):
        through.put(f"/containers/{unique}/archive", {"path": "/"}, data=iter([b"x" * 100_000] * 20))
    assert through.get("/info").status == 200


def test_a_proxy_that_stops_is_a_daemon_that_went_away_and_comes_back(proxy: FaultProxy, through: Engine) -> None:
    assert through.get("/info").status == 200

    proxy.stop()
    with pytest.raises(EngineUnavailable, match="no Docker socket"):
        through.get("/info")

    proxy.start()
    assert through.get("/info").status == 200
