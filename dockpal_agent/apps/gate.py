"""The health gate: whether an app whose containers were just replaced is well (protocol 5.4).

    gate = Gate(engine, grace=60, known=ids_before, stopping=event)
    gate({"shop-web-1": web_id, "shop-db-1": db_id})     # returns when all are well, raises NotProven with evidence

`verdict` judges one look at one container; the gate looks again and again for the whole grace, as an app that is well
at second 4 may fall at second 5. docs/updates.md says the same for users.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Callable, Final, Optional

from dockpal_agent.apps.presence import Presence
from dockpal_agent.containers.evidence import exit_of, last_check, last_output
from dockpal_agent.containers.proof import NotProven
from dockpal_agent.engine import Engine, EngineError, EngineUnavailable, NotFound, containers, system

__all__ = ["Baseline", "Gate", "Interrupted", "Verdict", "patience", "verdict"]

LOOK_EVERY: Final = 2.0  # seconds
LOOKS: Final = 5  # at least, within a short grace
LONGEST: Final = 3600.0  # seconds that a health check is waited for, whatever its interval
STAYS_DOWN: Final = ("", "no", "on-failure")  # restart policies under which an exit with 0 is an end
# Docker's defaults of a health check.
INTERVAL: Final = 30.0  # seconds
TIMEOUT: Final = 30.0  # seconds
RETRIES: Final = 3

Found = Mapping[str, Any]


class Interrupted(NotProven):
    """The agent ends, or the daemon did, or somebody stopped a container, and there is no verdict: the old containers
    come back, and nothing is said against the new.
    """


class Verdict(Enum):
    """What one look says. What speaks against a container is NotProven."""

    OPEN = "open"  # it may yet become well
    WELL = "well"  # it runs, and is healthy where it has a health check
    ENDED = "ended"  # it has done what it was meant to do


@dataclass(frozen=True)
class Baseline:
    """What a container had gone through before the gate began: a new one nothing."""

    restarts: int = 0
    out_of_memory: bool = False


NEW: Final = Baseline()


def verdict(found: Found, baseline: Baseline = NEW, *, late: bool = False) -> Verdict:
    """Judge an inspected container. Raises NotProven, whose text is evidence that follows the container's name.

    A restart is forgiven while there is time for the container to show that it then runs on: many wait for a database
    by ending until it answers. `late` says that this time is over; `baseline` then has the restarts up to there.
    """
    state = found.get("State") or {}
    if state.get("OOMKilled") and not baseline.out_of_memory:
        raise NotProven(f"ran out of memory {exit_of(state)}")
    restarts = int(found.get("RestartCount") or 0)
    restarted = restarts > baseline.restarts or bool(state.get("Restarting"))
    if restarted and late:
        last = f" {exit_of(state)}" if state.get("Restarting") else ""  # while it runs, Docker shows no exit
        raise NotProven(f"ends and is restarted again and again, {restarts} times so far{last}")
    if state.get("Restarting"):
        return Verdict.OPEN
    if state.get("Paused"):
        return Verdict.WELL
    if not state.get("Running"):
        return _ended(found, state)
    return _healthy(state)


def _ended(found: Found, state: Found) -> Verdict:
    """One without processes, which Docker is not about to start again."""
    if state.get("Status") == "created":
        return Verdict.OPEN
    if state.get("ExitCode") != 0 or state.get("Dead"):
        raise NotProven(f"ended {exit_of(state)}")
    policy = str(((found.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "")
    return Verdict.ENDED if policy in STAYS_DOWN else Verdict.OPEN


def _healthy(state: Found) -> Verdict:
    health = (state.get("Health") or {}).get("Status") or "none"
    if health == "unhealthy":
        raise NotProven(f"is unhealthy{last_check(state)}")
    return Verdict.WELL if health in ("none", "healthy") else Verdict.OPEN


def patience(found: Found) -> float:
    """Seconds that a container's own health check may take to a verdict: start_period + interval × retries + timeout.

    0 where it has none.
    """
    check = (found.get("Config") or {}).get("Healthcheck") or {}
    if not (found.get("State") or {}).get("Health"):
        return 0.0
    start = (check.get("StartPeriod") or 0) / 1e9
    interval = (check.get("Interval") or 0) / 1e9 or INTERVAL
    timeout = (check.get("Timeout") or 0) / 1e9 or TIMEOUT
    return float(min(start + interval * (check.get("Retries") or RETRIES) + timeout, LONGEST))


class _Watched:
    """One container before the gate. `found` is the last look, None before the first."""

    def __init__(self, name: str, container_id: str, *, new: bool) -> None:
        self.name: Final = name
        self.id: Final = container_id
        self.new: Final = new
        self.verdict = Verdict.OPEN
        self.found: Optional[Found] = None
        self.early: Optional[Baseline] = NEW if new else None
        self.half: Optional[Baseline] = None  # what it had gone through when half of the grace was over
        self.ended = False  # as of the last look

    def judge(self, found: Found, *, late: bool) -> None:
        """Note a look. Raises NotProven."""
        self.found = found
        self.ended = not (found.get("State") or {}).get("Running")
        now = Baseline(int(found.get("RestartCount") or 0), bool((found.get("State") or {}).get("OOMKilled")))
        if self.early is None:
            self.early = now
        if late and self.half is None:
            self.half = Baseline(now.restarts, self.early.out_of_memory)
        self.verdict = verdict(found, self.half if late and self.half else self.early, late=late)


class Gate:
    """Judges once. `waited` is what was said about a longer wait, `summary` what all came to, when it has returned.

    `grace` is seconds; `known` are the ids of containers that ran before the update; of these, `unwell` were unhealthy
    or being restarted then, so that they say nothing against it. `stopping` ends the gate with Interrupted.
    """

    def __init__(
        self,
        engine: Engine,
        grace: float,
        *,
        known: Collection[str] = (),
        unwell: Collection[str] = (),
        stopping: Optional[threading.Event] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine: Final = engine
        self._grace: Final = grace
        self._known: Final = frozenset(known)
        self._unwell: Final = frozenset(unwell)
        self._stopping: Final = stopping or threading.Event()
        self._clock: Final = clock
        self._away: Optional[EngineError] = None  # the daemon did not answer the last look
        self._presence: Optional[Presence] = None
        self._restarted = False  # the daemon was gone for a while, and all containers' processes with it
        self.summary = ""

    def __call__(self, ids: Mapping[str, str]) -> None:
        """Watch these containers (ids by name). Raises NotProven with evidence, Interrupted, EngineError."""
        watched = [
            _Watched(name, container_id, new=container_id not in self._known)
            for name, container_id in sorted(ids.items())
            if container_id not in self._unwell
        ]
        begin = self._clock()
        if watched:
            with Presence(self._engine, [one.id for one in watched]) as self._presence:
                self._watch(watched, begin)
        self.summary = _summary(watched, self._clock() - begin)

    def _watch(self, watched: list[_Watched], begin: float) -> None:
        """Look until it is decided; returns when all are well."""
        while True:
            age = self._clock() - begin
            self._look(watched, late=age >= self._grace / 2)
            if self._decided(watched, age):
                return
            if self._stopping.wait(self._pause(age)):
                raise Interrupted("the agent ended before the health of the new containers was certain")

    def _look(self, watched: list[_Watched], *, late: bool) -> None:
        self._away = None
        for one in watched:
            try:
                one.judge(containers.inspect(self._engine, one.id), late=late)
            except NotFound:
                one.ended = True
                self._refuse(one, "ended and was removed")
            except NotProven as evidence:
                self._refuse(one, str(evidence))
            except EngineError as error:  # a daemon that is being restarted: the end of the grace decides
                self._note_away(error)

    def _refuse(self, one: _Watched, words: str) -> None:
        """Raise NotProven; what ended with its daemon is looked at again when that is back. Nothing is said against an
        image whose container somebody stopped, or that ended with Docker itself.
        """
        leaving = _leaving(self._engine)
        if leaving is not None:
            self._note_away(leaving)
            return
        evidence = f"container {one.name} {words}"
        if self._restarted or (self._presence is not None and self._presence.gone):
            raise Interrupted(f"{evidence}, after the Docker daemon went away in the middle") from None
        if self._presence is not None and one.ended and self._presence.stopped(one.id):
            raise Interrupted(f"{evidence}, after somebody stopped it") from None
        raise NotProven(f"{evidence}{last_output(self._engine, one.id)}") from None

    def _note_away(self, error: EngineError) -> None:
        self._away = error
        self._restarted = self._restarted or isinstance(error, EngineUnavailable)

    def _decided(self, watched: list[_Watched], age: float) -> bool:
        """Whether all are well and the time is over; or have ended, and nothing can come any more."""
        if self._away is None and all(one.verdict is Verdict.ENDED for one in watched):
            return True
        if age < self._grace:
            return False
        if self._away is not None:
            raise self._away
        for one in watched:
            limit = max(self._grace, _waits(one))
            if one.verdict is Verdict.OPEN and age >= limit:
                raise NotProven(f"container {one.name} {_undecided(one)} within {limit:g} s")
        return not any(one.verdict is Verdict.OPEN for one in watched)

    def _pause(self, age: float) -> float:
        """Seconds to the next look; one falls on the end of the grace."""
        pause = min(LOOK_EVERY, self._grace / LOOKS)
        left = self._grace - age
        return min(pause, left) if left > 0 else pause


def _leaving(engine: Engine) -> Optional[EngineError]:
    """Why the daemon does not answer who comes now, None for one that does. One that is being stopped listens no more,
    then ends all containers, and answers over old connections until it is gone itself.
    """
    newcomer = Engine(engine.socket_path, pool=1)
    try:
        system.ping(newcomer)
    except EngineError as error:
        return error
    finally:
        newcomer.close()
    return None


def _waits(one: _Watched) -> float:
    """Seconds from the gate's beginning that one's health check is waited for."""
    state = (one.found or {}).get("State") or {}
    starting = (state.get("Health") or {}).get("Status") == "starting" and state.get("Running")
    return patience(one.found) if one.found is not None and starting else 0.0


def _undecided(one: _Watched) -> str:
    state = (one.found or {}).get("State") or {}
    if state.get("Health") and state.get("Running"):
        return f"has not become healthy{last_check(state)}"
    return f"does not run ({state.get('Status') or 'unknown'}, exit code {state.get('ExitCode')})"


def _summary(watched: list[_Watched], seconds: float) -> str:
    """`web is healthy, db runs; watched for 60 s`."""
    if not watched:
        return "no container of it is meant to run"
    return f"{', '.join(f'{one.name} {_well(one)}' for one in watched)}; watched for {seconds:.0f} s"


def _well(one: _Watched) -> str:
    state = (one.found or {}).get("State") or {}
    if one.verdict is Verdict.ENDED:
        return "ended with 0"
    if state.get("Paused"):
        return "is paused"
    words = "is healthy" if state.get("Health") else "runs"
    restarts = int((one.found or {}).get("RestartCount") or 0) if one.new else 0
    return words + (f" after {restarts} restart{'' if restarts == 1 else 's'}" if restarts else "")
