"""Starts containers again that ended by themselves and bear the label `dockpal.auto-recover=true`.

Docker's events tell who ended and why. What is left alone:

- what somebody stopped: a stopping signal or a `stop` came shortly before its end, or a `stop` after it;
- what Docker's restart policy brings back;
- what a change under way (a deploy, an edit) has to do with: it is looked at again when that has ended;
- what ended while events could not be heard, before the agent's start included: nobody can tell why.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Final, Optional, TypeVar

from dockpal_agent.apps.app import apps_of
from dockpal_agent.apps.choices import Choices
from dockpal_agent.compose.labels import ONEOFF, ORIGINAL_PROJECT, PROJECT
from dockpal_agent.containers import aside
from dockpal_agent.containers.describe import name_of, restart_policy
from dockpal_agent.containers.feed import Event, EventFeed
from dockpal_agent.containers.moments import parse_moment
from dockpal_agent.engine import Engine, EngineError, EngineUnavailable, NotFound, containers

__all__ = ["AUTO_RECOVER", "Recover"]

log = logging.getLogger(__name__)

AUTO_RECOVER: Final = "dockpal.auto-recover"
FIRST_DELAY: Final = 1.0  # seconds from an end to the start; doubles with each end that follows soon
LONGEST_DELAY: Final = 300.0  # seconds
WELL_AFTER: Final = 600.0  # seconds of running after which the delay begins anew
KILLED_WITHIN: Final = 120.0  # seconds between a stopping signal and the end that it is the cause of
LOOK_AGAIN: Final = 5.0  # seconds between two looks at a change that is under way
SAME_DEATH: Final = 5 * 10**9  # nanoseconds that Docker's event of an end and its FinishedAt may be apart
MOST: Final = 512  # containers remembered, of each kind

DOCKER_RESTARTS: Final = frozenset({"always", "unless-stopped"})
ENDED: Final = frozenset({"exited", "dead"})

# Signals that mean "end", by number and by name; a container's own stop signal is followed by a `stop` event anyway.
STOPPING: Final = frozenset({"", "2", "3", "9", "15", "INT", "QUIT", "KILL", "TERM"})

PROJECTS: Final = (PROJECT, ORIGINAL_PROJECT)

V = TypeVar("V")


@dataclass(frozen=True)
class _Death:
    """An end that was heard of: what it was, and when it is to be looked at."""

    due: float  # monotonic
    delay: float  # seconds that it has waited then
    time_ns: int  # the event's


@dataclass(frozen=True)
class _Life:
    """A container that was started again: when, and after which delay."""

    started: float  # monotonic
    delay: float


class Recover:
    """One for the agent. It has a thread only while some container is to be started.

    `busy` says whether a change of a project (its name as Docker has it) is under way.
    """

    def __init__(
        self,
        engine: Engine,
        feed: EventFeed,
        choices: Choices,
        busy: Callable[[str], bool],
        *,
        first_delay: float = FIRST_DELAY,
        look_again: float = LOOK_AGAIN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine: Final = engine
        self._choices: Final = choices
        self._busy: Final = busy
        self._first_delay: Final = first_delay
        self._look_again: Final = look_again
        self._clock: Final = clock
        self._changed: Final = threading.Condition()  # guards all below
        self._deaths: OrderedDict[str, _Death] = OrderedDict()  # by the containers' full ids
        self._lives: OrderedDict[str, _Life] = OrderedDict()
        self._killed: OrderedDict[str, float] = OrderedDict()  # when a stopping signal was sent
        self._heard_until = 0  # time_ns of the last event; 0 before the first stream
        self._gap: Optional[tuple[int, int]] = None  # a time without events that is to be looked into
        self._thread: Optional[threading.Thread] = None
        self._stopped = False
        self._unsubscribe: Final = feed.subscribe(self._on_event, self._on_gap)

    def stop(self, within: float = 10.0) -> None:
        """Start nothing any more, and wait up to `within` seconds for what is under way."""
        self._unsubscribe()
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(within)

    @property
    def waiting(self) -> int:
        """How many containers are to be started again."""
        with self._changed:
            return len(self._deaths)

    def _on_event(self, event: Event) -> None:
        """The feed's thread: remember, decide later."""
        if event.kind != "container":
            return
        with self._changed:
            self._heard_until = max(self._heard_until, event.time_ns)
            if event.action == "kill" and _is_stopping(event.attributes.get("signal", "")):
                _keep(self._killed, event.id, self._clock())
            elif event.action == "die":
                self._note_death(event)
            elif event.action == "stop":  # it comes after the end or, from Engine 28, before it
                self._deaths.pop(event.id, None)
                _keep(self._killed, event.id, self._clock())
            elif event.action in ("start", "destroy", "remove"):
                self._deaths.pop(event.id, None)
                self._killed.pop(event.id, None)
                if event.action in ("destroy", "remove"):
                    self._lives.pop(event.id, None)

    def _note_death(self, event: Event) -> None:
        """The lock is held."""
        now = self._clock()
        killed = self._killed.pop(event.id, None)
        if (killed is not None and now - killed <= KILLED_WITHIN) or not _may_want(event.attributes):
            return
        life = self._lives.get(event.id)
        if life is None or now - life.started >= WELL_AFTER:
            delay = self._first_delay
        else:
            delay = min(life.delay * 2, LONGEST_DELAY)
        _keep(self._deaths, event.id, _Death(now + delay, delay, event.time_ns))
        self._wake()

    def _on_gap(self) -> None:
        """A stream begins; what happened since the last event of the one before was not heard."""
        now = time.time_ns()
        with self._changed:
            if self._heard_until:
                self._gap = (self._heard_until, now)
                self._wake()
            self._heard_until = now

    def _wake(self) -> None:
        """See that there is a thread, and that it looks. The lock is held."""
        self._changed.notify_all()
        if self._thread is None and not self._stopped:
            thread = threading.Thread(target=self._run, name="recover", daemon=True)
            thread.start()  # where there can be no more threads, the next event tries again
            self._thread = thread

    def _run(self) -> None:
        """The thread, to the end of all that is to be done."""
        while True:
            with self._changed:
                job = self._next()
                if job is None:
                    self._thread = None
                    return
            try:
                job()
            except EngineError as error:
                log.info("containers cannot be recovered now: %s", error)
            except Exception:  # the boundary of a thread: what failed for one container is not to harm the others
                log.exception("recovering a container failed")

    def _next(self) -> Optional[Callable[[], None]]:
        """What is due, waiting for it; None when there is nothing more. The lock is held."""
        while not self._stopped and (self._gap or self._deaths):
            if self._gap is not None:
                gap, self._gap = self._gap, None
                return lambda: self._tell_unheard(*gap)
            container_id, death = min(self._deaths.items(), key=lambda item: item[1].due)
            left = death.due - self._clock()
            if left <= 0:
                return lambda: self._recover(container_id, death)
            self._changed.wait(left)
        return None

    def _recover(self, container_id: str, death: _Death) -> None:
        """Start one container again, if that is what is wanted of it; it is forgotten, or looked at later."""
        try:
            found = containers.inspect(self._engine, container_id)
            wanted = self._is_wanted(found, death)
            under_way = wanted and self._is_changing(found)
            if wanted and not under_way:
                self._start(container_id, found, death)
        except NotFound:
            self._settle(container_id, death, None)
        except EngineError as error:
            self._later(container_id, death, error)
        else:
            self._settle(container_id, death, self._look_again if under_way else None)

    def _is_wanted(self, found: Mapping[str, Any], death: _Death) -> bool:
        """Whether the container is ours to start: it ended as was heard, Docker will not start it, its label asks."""
        state = found.get("State") or {}
        if state.get("Status") not in ENDED or restart_policy(found) in DOCKER_RESTARTS:
            return False
        if not self._has_label(found):
            return False
        finished = parse_moment(str(state.get("FinishedAt") or "")) or 0
        if death.time_ns and finished > death.time_ns + SAME_DEATH:
            log.info("container %s: ended again while events could not be heard; left alone", name_of(found))
            return False
        return True

    def _has_label(self, found: Mapping[str, Any]) -> bool:
        config = found.get("Config") or {}
        labels = {str(key): str(value) for key, value in (config.get("Labels") or {}).items()}
        if aside.is_aside(name_of(found)) or labels.get(ONEOFF, "").lower() == "true":
            return False
        apps = apps_of([_as_listed(found, labels)])
        if apps:
            labels = {**labels, **self._choices.labels(apps[0].members[0], apps[0].project)}
        return labels.get(AUTO_RECOVER, "").strip().lower() == "true"

    def _is_changing(self, found: Mapping[str, Any]) -> bool:
        """Whether a change of its project, or a replacement of it, is under way. Raises EngineError."""
        apps = apps_of([_as_listed(found, (found.get("Config") or {}).get("Labels") or {})])
        if apps and self._busy(apps[0].project):
            return True
        others = containers.list_containers(self._engine, all=True, filters=aside.FILTER)
        halves = [aside.read(str(name)) for entry in others for name in entry.get("Names") or ()]
        own, name = str(found.get("Id") or "")[:12], name_of(found)
        return any(half is not None and (half.other == own or half.name == name) for half in halves)

    def _start(self, container_id: str, found: Mapping[str, Any], death: _Death) -> None:
        """Raises EngineError."""
        with self._changed:
            if self._stopped or self._deaths.get(container_id) is not death:  # stopped or started meanwhile
                return
            _keep(self._lives, container_id, _Life(self._clock(), death.delay))
        code = (found.get("State") or {}).get("ExitCode")
        containers.start(self._engine, container_id)
        text = "container %s: ended with exit code %s, was started again after %g s (%s)"
        log.info(text, name_of(found), code, death.delay, AUTO_RECOVER)

    def _settle(self, container_id: str, death: _Death, again_in: Optional[float]) -> None:
        """Forget this end, or look at it again in so many seconds; unless something has happened since."""
        with self._changed:
            if self._deaths.get(container_id) is not death:
                return
            if again_in is None:
                del self._deaths[container_id]
            else:
                self._deaths[container_id] = _Death(self._clock() + again_in, death.delay, death.time_ns)

    def _later(self, container_id: str, death: _Death, error: EngineError) -> None:
        """It could not be started: try again, ever less often; while the daemon is away, as often as before."""
        delay = death.delay if isinstance(error, EngineUnavailable) else min(death.delay * 2, LONGEST_DELAY)
        level = logging.WARNING if death.delay < LONGEST_DELAY else logging.DEBUG  # what lasts need not be repeated
        log.log(level, "container %s: cannot be started again, next try in %g s: %s", container_id[:12], delay, error)
        with self._changed:
            if self._deaths.get(container_id) is death:
                self._deaths[container_id] = _Death(self._clock() + delay, delay, death.time_ns)

    def _tell_unheard(self, since: int, until: int) -> None:
        """Say which containers with the label ended while events could not be heard. Raises EngineError."""
        ended = containers.list_containers(self._engine, all=True, filters={"status": sorted(ENDED)})
        for entry in ended:
            if not _may_want(entry.get("Labels") or {}):
                continue
            try:
                found = containers.inspect(self._engine, str(entry["Id"]))
            except NotFound:
                continue
            finished = parse_moment(str((found.get("State") or {}).get("FinishedAt") or "")) or 0
            if since < finished <= until and restart_policy(found) not in DOCKER_RESTARTS and self._has_label(found):
                text = "container %s: ended while Docker's events could not be heard, perhaps on purpose; left alone"
                log.warning(text, name_of(found))


def _may_want(labels: Mapping[str, Any]) -> bool:
    """Whether the label may be in force: it is there, or a deploy may have said so of a project's container."""
    return AUTO_RECOVER in labels or any(key in labels for key in PROJECTS)


def _is_stopping(signal: str) -> bool:
    word = signal.strip().upper()
    return (word[3:] if word.startswith("SIG") else word) in STOPPING


def _as_listed(found: Mapping[str, Any], labels: Mapping[str, Any]) -> dict[str, Any]:
    """An inspected container as Docker's list has it, as far as it matters to apps_of."""
    return {
        "Id": found.get("Id"),
        "Names": [str(found.get("Name") or "")],
        "Image": str((found.get("Config") or {}).get("Image") or ""),
        "ImageID": found.get("Image"),
        "State": (found.get("State") or {}).get("Status"),
        "Labels": labels,
    }


def _keep(kept: OrderedDict[str, V], key: str, value: V) -> None:
    """Put it at the end; past the cap, the first goes."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > MOST:
        kept.popitem(last=False)
