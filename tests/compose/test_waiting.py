"""The proof that what was started goes on running: how long, counted from where, and what ends it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable, cast

import pytest

from dockpal_agent.compose import waiting
from dockpal_agent.compose.waiting import Watched, prove_all
from dockpal_agent.containers.proof import NotProven
from dockpal_agent.engine import Engine

RUNNING = {"State": {"Running": True}}
ENGINE = cast(Engine, object())


class Clock:
    """Time that passes by sleeping only, and containers that change with it; `asked` is who was looked at, and when."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, found: Callable[[str, float], dict[str, Any]]) -> None:
        self.now = 100.0
        self.asked: list[tuple[str, float]] = []
        self._found = found
        monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep))
        monkeypatch.setattr(waiting, "containers", SimpleNamespace(inspect=self._inspect))
        monkeypatch.setattr(waiting, "last_output", lambda engine, container_id: "")

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _inspect(self, engine: Engine, container_id: str) -> dict[str, Any]:
        self.asked.append((container_id, round(self.now, 3)))
        return self._found(container_id, self.now)


def test_each_is_looked_at_when_it_has_run_for_its_own_time_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, lambda container_id, now: RUNNING)
    watched = [
        Watched("replaced", "replaced", run=2.0, at=99.0),
        Watched("new", "new", run=1.0, at=100.0),
        Watched("early", "early", run=2.0, at=90.0),
        Watched("last", "last", run=2.0, at=99.5),
    ]

    assert prove_all(ENGINE, watched, health=20.0) == []

    assert clock.asked == [("early", 100.0), ("replaced", 101.0), ("new", 101.0), ("last", 101.5)]


def test_one_that_ends_before_its_time_is_over_is_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch, lambda _, now: {"State": {"Running": now < 101.9, "ExitCode": 3}})

    with pytest.raises(NotProven, match=r"container web ended \(exit code 3\)"):
        prove_all(ENGINE, [Watched("id", "web", run=2.0, at=100.0)], health=20.0)


def test_a_health_check_has_its_own_limit_and_is_then_told_or_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    starting = {"State": {"Running": True, "Health": {"Status": "starting"}}}
    found: dict[str, dict[str, Any]] = {"slow": starting, "well": RUNNING}
    clock = Clock(monkeypatch, lambda container_id, now: found[container_id])
    watched = [Watched("slow", "slow", run=2.0, at=100.0), Watched("well", "well", run=2.0, at=100.0)]

    assert prove_all(ENGINE, watched, health=20.0) == ["slow"]
    assert 120.0 <= clock.now <= 120.5
    with pytest.raises(NotProven, match="slow has not become healthy within 20 s"):
        prove_all(ENGINE, watched, health=20.0, must_be_healthy=True)


def test_one_that_turns_unhealthy_while_another_is_waited_for_is_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(container_id: str, now: float) -> dict[str, Any]:
        status = "starting" if container_id == "slow" or now < 105.0 else "unhealthy"
        return {"State": {"Running": True, "Health": {"Status": status}}}

    Clock(monkeypatch, found)
    watched = [Watched("slow", "slow", run=2.0, at=100.0), Watched("ill", "ill", run=2.0, at=100.0)]

    with pytest.raises(NotProven, match="ill is unhealthy"):
        prove_all(ENGINE, watched, health=20.0)
