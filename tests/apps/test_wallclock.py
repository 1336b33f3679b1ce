"""The host's clock on the wall as the daemon tells it, whatever zone the agent's own container has."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dockpal_agent.apps.wallclock import KEPT, WallClock
from dockpal_agent.engine import Engine
from tests.engine.scripted import ScriptedDaemon, refused, value
from tools import engines

NOON = float(calendar.timegm((2026, 7, 1, 12, 0, 0)))


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A container without a zone."""
    monkeypatch.delenv("TZ", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def scripted() -> Iterator[ScriptedDaemon]:
    with ScriptedDaemon() as daemon:
        yield daemon


@pytest.fixture
def asking(scripted: ScriptedDaemon) -> Iterator[Engine]:
    engine = Engine(scripted.socket_path)
    yield engine
    engine.close()


def says(daemon: ScriptedDaemon, system_time: Any) -> None:
    daemon.replies["/info"] = value({"SystemTime": system_time})


def hour_and_minute(clock: WallClock) -> tuple[int, int]:
    local = clock.local(NOON)
    return local.tm_hour, local.tm_min


@pytest.mark.parametrize(
    ("system_time", "expected"),
    [
        ("2026-07-01T14:00:00.123456789+02:00", (14, 0)),
        ("2026-07-01T08:30:00-03:30", (8, 30)),
        ("2026-07-01T17:45:00.5+05:45", (17, 45)),
        ("2026-07-01T12:00:00.5Z", (12, 0)),
    ],
)
def test_it_is_the_time_of_the_zone_that_the_daemon_lives_in(
    scripted: ScriptedDaemon, asking: Engine, system_time: str, expected: tuple[int, int]
) -> None:
    says(scripted, system_time)

    assert hour_and_minute(WallClock(asking)) == expected


@pytest.mark.parametrize("system_time", [None, "", "noon", 12])
def test_a_daemon_that_tells_no_time_leaves_the_agents_own_zone(
    scripted: ScriptedDaemon, asking: Engine, system_time: Any
) -> None:
    says(scripted, system_time)
    own = time.localtime(NOON)

    assert hour_and_minute(WallClock(asking)) == (own.tm_hour, own.tm_min)


def test_a_zone_that_was_given_to_the_agent_counts(
    scripted: ScriptedDaemon, asking: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(scripted, "2026-07-01T14:00:00+02:00")
    monkeypatch.setenv("TZ", "XYZ+5")
    time.tzset()

    assert hour_and_minute(WallClock(asking)) == (7, 0)


def test_the_daemon_is_asked_again_after_a_while_and_what_it_said_stays_while_it_is_away(
    scripted: ScriptedDaemon, asking: Engine
) -> None:
    now = 1000.0
    clock = WallClock(asking, clock=lambda: now)
    says(scripted, "2026-10-25T02:59:00+02:00")
    assert hour_and_minute(clock) == (14, 0)

    says(scripted, "2026-10-25T02:00:00+01:00")
    now += KEPT - 1
    assert hour_and_minute(clock) == (14, 0)
    now += 1
    assert hour_and_minute(clock) == (13, 0), "the clock was put back"

    scripted.replies["/info"] = refused(500, "not now")
    now += KEPT
    assert hour_and_minute(clock) == (13, 0)


@pytest.mark.engine
def test_a_real_daemon_in_another_zone() -> None:
    with engines.new_engine({"TZ": "Asia/Kathmandu"}) as started:
        engine = Engine(started.socket)
        try:
            assert hour_and_minute(WallClock(engine)) == (17, 45)
        finally:
            engine.close()
