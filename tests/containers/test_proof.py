"""When a new container counts as proven, told by what inspect says from look to look; the clock is the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional, cast

import pytest

from dockpal_agent.containers import proof
from dockpal_agent.containers.proof import NotProven, Proof, prove
from dockpal_agent.engine import Engine, NotFound


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 3)


class Old:
    """An engine of API 1.41."""

    def supports(self, major: int, minor: int) -> bool:
        return (major, minor) <= (1, 41)


def seen(health: Optional[str] = None, interval: float = 1.0, restarts: int = 0, **state: Any) -> dict[str, Any]:
    """An inspect of a running container, but for what `state` says."""
    found: dict[str, Any] = {"Running": True, **state}
    if health is not None:
        found["Health"] = {"Status": health, "Log": [{"ExitCode": 1, "Output": "no answer\n"}]}
    check = {"Interval": int(interval * 1e9)} if health is not None else None
    return {"Id": "id", "State": found, "RestartCount": restarts, "Config": {"Healthcheck": check}}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time, and a container's output, which is Docker's to tell."""
    clock = Clock()
    monkeypatch.setattr(proof, "last_output", lambda engine, container_id: f"; its last output: bye of {container_id}")
    monkeypatch.setattr(proof, "time", clock)
    return clock


def watch(monkeypatch: pytest.MonkeyPatch, clock: Clock, asked: Proof, *looks: tuple[float, Any]) -> float:
    """Seconds until it is proven. `looks` are what inspect says from that second on; an exception is raised."""

    def inspect(engine: Engine, container_id: str) -> dict[str, Any]:
        answer = [value for since, value in looks if since <= clock.now + 1e-9][-1]
        if isinstance(answer, Exception):
            raise answer
        return cast("dict[str, Any]", answer)

    monkeypatch.setattr("dockpal_agent.containers.proof.containers.inspect", inspect)
    prove(cast(Engine, Old()), "id", asked)
    return round(clock.now, 1)


def test_it_has_run_two_seconds(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    assert watch(monkeypatch, clock, Proof(), (0, seen())) == 2.0


def test_a_health_check_is_waited_for(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    assert watch(monkeypatch, clock, Proof(), (0, seen("starting")), (7, seen("healthy"))) == 7.0


def test_a_check_that_has_not_spoken_in_time_is_no_failure(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    assert watch(monkeypatch, clock, Proof(), (0, seen("starting"))) == 20.0


def test_a_check_that_cannot_speak_in_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    assert watch(monkeypatch, clock, Proof(), (0, seen("starting", interval=30.0))) == 2.0


def test_a_job_that_ends_well_passes_where_that_is_meant(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    assert watch(monkeypatch, clock, Proof(one_shot=True), (0, seen()), (1, seen(Running=False, ExitCode=0))) == 1.0


def failures() -> Iterator[tuple[str, Proof, tuple[tuple[float, Any], ...], str]]:
    usual = Proof()
    yield (
        "ends",
        usual,
        ((0, seen()), (1, seen(Running=False, ExitCode=3))),
        r"ended \(exit code 3\); its last output: bye of id$",
    )
    yield "ends well", usual, ((0, seen(Running=False, ExitCode=0)),), r"ended \(exit code 0\)"
    yield "a job fails", Proof(one_shot=True), ((0, seen(Running=False, ExitCode=1)),), r"exit code 1"
    yield "memory", usual, ((0, seen(Running=False, ExitCode=137, OOMKilled=True)),), "137, out of memory"
    yield (
        "restarts",
        usual,
        ((0, seen()), (1, seen(restarts=1, ExitCode=2))),
        r"restarted \(exit code 2\); .*: bye of id$",
    )
    yield "restarting", usual, ((0, seen(Restarting=True, ExitCode=2)),), "was restarted"
    yield "unhealthy", usual, ((0, seen("starting")), (5, seen("unhealthy"))), "unhealthy: .* ended with 1, no answer"
    yield "vanishes", usual, ((0, seen()), (1, NotFound("gone", 404))), "removed itself"
    yield "never healthy", Proof(starting_passes=False), ((0, seen("starting")),), "not become healthy within 20 s"


@pytest.mark.parametrize(
    ("asked", "looks", "said"), [row[1:] for row in failures()], ids=[row[0] for row in failures()]
)
def test_what_speaks_against_it_is_said(
    asked: Proof, looks: tuple[tuple[float, Any], ...], said: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    with pytest.raises(NotProven, match=said):
        watch(monkeypatch, clock, asked, *looks)
