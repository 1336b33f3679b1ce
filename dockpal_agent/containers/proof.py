"""When a container that was just started counts as proven, and what speaks against it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dockpal_agent.containers.evidence import exit_of, last_check, last_output
from dockpal_agent.engine import Engine, NotFound, containers

__all__ = ["NotProven", "Proof", "prove"]

POLL: Final = 0.2  # seconds between two looks
DEFAULT_INTERVAL: Final = 30.0  # seconds between health checks where the container does not say (Docker's default)
DEFAULT_START_INTERVAL: Final = 5.0  # seconds, within the start period, from API 1.44 on


class NotProven(Exception):
    """The container exited, restarted, or is unhealthy; the text says which, with Docker's evidence."""


@dataclass(frozen=True)
class Proof:
    """What is asked of a new container.

    `run` is seconds without exit or restart; `health` seconds, at most, for a health check to come to a verdict.
    `one_shot` takes an exit with 0 for success: a job that is meant to end.
    """

    run: float = 2.0
    health: float = 20.0
    starting_passes: bool = True  # a check that has not spoken in time is no failure
    one_shot: bool = False


def prove(engine: Engine, container_id: str, proof: Proof) -> None:
    """Watch a container that was just started until it is proven. Raises NotProven, EngineError."""
    begin = time.monotonic()
    while True:
        try:
            found = containers.inspect(engine, container_id)
        except NotFound:
            raise NotProven("the new container ended and removed itself (AutoRemove)") from None
        if _verdict(engine, found, proof, age=time.monotonic() - begin):
            return
        time.sleep(POLL)


def _verdict(engine: Engine, found: Mapping[str, Any], proof: Proof, age: float) -> bool:
    """Whether it is proven; False while that is open. Docker counts restarts from each start by hand on."""
    state = found.get("State") or {}
    if found.get("RestartCount") or state.get("Restarting"):
        raise NotProven(f"the new container ended and was restarted {exit_of(state)}{_output(engine, found)}")
    if not state.get("Running"):
        if proof.one_shot and state.get("ExitCode") == 0:
            return True
        raise NotProven(f"the new container ended {exit_of(state)}{_output(engine, found)}")
    health = (state.get("Health") or {}).get("Status") or "none"
    if health == "unhealthy":
        raise NotProven(f"the new container is unhealthy{last_check(state)}")
    if age < proof.run:
        return False
    if health in ("none", "healthy"):
        return True
    if age < proof.health and _first_check(engine, found) < proof.health:
        return False
    if proof.starting_passes:
        return True
    raise NotProven(f"the new container has not become healthy within {proof.health:g} s{last_check(state)}")


def _output(engine: Engine, found: Mapping[str, Any]) -> str:
    return last_output(engine, str(found.get("Id") or ""))


def _first_check(engine: Engine, found: Mapping[str, Any]) -> float:
    """Seconds from the start to the first health check: waiting for one that comes later tells nothing."""
    check = (found.get("Config") or {}).get("Healthcheck") or {}
    interval = (check.get("Interval") or 0) / 1e9 or DEFAULT_INTERVAL
    if check.get("StartPeriod") and engine.supports(1, 44):
        interval = min(interval, (check.get("StartInterval") or 0) / 1e9 or DEFAULT_START_INTERVAL)
    return float(interval)
