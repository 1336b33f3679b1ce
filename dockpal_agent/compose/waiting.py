"""Waiting for containers: the conditions of `depends_on`, and the proof that what was started goes on running.

Coverage 7; the words are docker compose's, pkg/compose/convergence.go, waitDependencies.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dockpal_agent.compose.inorder import Abandoned
from dockpal_agent.containers.evidence import exit_of, last_check, last_output
from dockpal_agent.containers.proof import NotProven
from dockpal_agent.engine import Engine, NotFound, containers

__all__ = ["COMPLETED", "HEALTHY", "DependencyFailed", "Watched", "prove_all", "wait_for"]

POLL: Final = 0.25  # seconds between two looks
HEALTHY: Final = "service_healthy"
COMPLETED: Final = "service_completed_successfully"
STAYS_DOWN: Final = ("", "no", "on-failure")  # restart policies under which an exit with 0 is an end


class DependencyFailed(Exception):
    """What a service waits for did not come; the words are docker compose's."""


@dataclass(frozen=True)
class Watched:
    """A container that was started, at `at` (time.monotonic), and has to run for `run` seconds to be proven.

    `job`: others wait for its end, so it is meant to end.
    """

    id: str
    name: str
    job: bool = False
    run: float = 0.0
    at: float = 0.0


def wait_for(
    engine: Engine, service: str, condition: str, watched: Sequence[Watched], limit: float, failed: threading.Event
) -> None:
    """Return when the condition holds for all containers of a service. Raises DependencyFailed, Abandoned, EngineError.

    `limit` is seconds; `failed` ends the waiting when the whole run has failed meanwhile.
    """
    end = time.monotonic() + limit
    open_ones = list(watched)
    while True:
        open_ones = [one for one in open_ones if not _holds(engine, service, condition, one)]
        if not open_ones:
            return
        if time.monotonic() > end:
            what = "become healthy" if condition == HEALTHY else "completed"
            names = ", ".join(one.name for one in open_ones)
            raise DependencyFailed(f"dependency failed to start: {names} has not {what} within {limit:g} s")
        if failed.wait(POLL):
            raise Abandoned


def _holds(engine: Engine, service: str, condition: str, one: Watched) -> bool:
    try:
        state = containers.inspect(engine, one.id).get("State") or {}
    except NotFound:
        raise DependencyFailed(f"dependency failed to start: container {one.name} was removed") from None
    code = state.get("ExitCode")
    if condition == COMPLETED:
        if state.get("Running") and not state.get("Restarting"):
            return False
        if code == 0:
            return True
        raise DependencyFailed(
            f'service "{service}" didn\'t complete successfully: exit {code}{last_output(engine, one.id)}'
        )
    if condition != HEALTHY:
        return True
    if not state.get("Running"):
        raise DependencyFailed(
            f"dependency failed to start: container {one.name} exited ({code}){last_output(engine, one.id)}"
        )
    health = (state.get("Health") or {}).get("Status") or "none"
    if health == "none":
        raise DependencyFailed(f"dependency failed to start: container {one.name} has no healthcheck configured")
    if health == "unhealthy":
        raise DependencyFailed(f"dependency failed to start: container {one.name} is unhealthy{last_check(state)}")
    return bool(health == "healthy")


def prove_all(engine: Engine, watched: Sequence[Watched], *, health: float, must_be_healthy: bool = False) -> list[str]:
    """Watch containers that were just started until each has run for its time without an end or a restart.

    One that ends with 0 and is not to be started again is a job that is done. A health check is waited for `health`
    seconds at the most; the names of those that have not come to a verdict by then are returned, or are failures where
    they `must_be_healthy`. Raises NotProven, EngineError.
    """
    until = time.monotonic() + max([health, *(one.run for one in watched)])
    open_ones = list(watched)
    while open_ones:
        time.sleep(max(min(one.at + one.run for one in open_ones) - time.monotonic(), 0.0))
        due = [one for one in open_ones if one.at + one.run <= time.monotonic()]
        waiting = [one for one in due if not _proven(engine, one, _inspect(engine, one))]
        open_ones = [one for one in open_ones if one not in due or one in waiting]
        if waiting and time.monotonic() >= until:
            if must_be_healthy:
                raise NotProven(f"container {waiting[0].name} has not become healthy within {health:g} s")
            return [one.name for one in waiting]
        if waiting:
            time.sleep(POLL)
    return []


def _inspect(engine: Engine, one: Watched) -> Mapping[str, Any]:
    try:
        return containers.inspect(engine, one.id)
    except NotFound:
        raise NotProven(f"container {one.name} ended and removed itself") from None


def _proven(engine: Engine, one: Watched, found: Mapping[str, Any]) -> bool:
    """Whether it is; False while that is open. Raises NotProven."""
    state = found.get("State") or {}
    code = state.get("ExitCode")
    policy = str(((found.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "")
    ended = not state.get("Running") or state.get("Restarting")
    if ended and code == 0 and (one.job or policy in STAYS_DOWN):
        return True
    if found.get("RestartCount") or state.get("Restarting"):
        if one.job and code == 0:
            return True
        raise NotProven(f"container {one.name} ended and was restarted {exit_of(state)}{last_output(engine, one.id)}")
    if ended:
        raise NotProven(f"container {one.name} ended {exit_of(state)}{last_output(engine, one.id)}")
    health = (state.get("Health") or {}).get("Status") or "none"
    if health == "unhealthy":
        raise NotProven(f"container {one.name} is unhealthy{last_check(state)}")
    return health in ("none", "healthy")
