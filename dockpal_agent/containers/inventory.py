"""The list of containers: one Engine call, and what Docker's events have taught (design rule 3).

A list lacks only the restart policy, which an inspect has (and now and then the image's reference, created_from.py). It
is kept until an event says that it may have changed. Two rules keep the cache from lying:

- while the event stream is down, nothing is taken from it and nothing put in; a new stream begins with an empty one;
- what an inspect said is kept only if no event has changed anything since before the inspect was sent (`_epoch`).

What events bring up (all containers when the stream begins, then each new or changed one) is asked about at once, in a
thread that ends when nothing is left: 50 inspects cost ten times what the list itself does, and no list is to wait for
them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, Optional

from dockpal_agent.containers import describe
from dockpal_agent.containers.ahead import Ahead, side_by_side
from dockpal_agent.containers.created_from import CreatedFrom
from dockpal_agent.containers.feed import Event, EventFeed
from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.engine import Engine, EngineBroken, EngineTimeout, containers, segment

__all__ = ["Inventory"]

log = logging.getLogger(__name__)

WORKERS: Final = 4  # inspects at a time; more are no faster from one process
INSPECT_WITHIN: Final = 3.0  # seconds; Docker may hold one container's lock for long while its list answers
SILENT_FOR: Final = 30.0  # seconds that a container is not asked about again after that
TURN_WITHIN: Final = 10.0  # seconds that a list waits for another one that asks for the same
GAP_WITHIN: Final = 1.0  # seconds from a new stream's beginning until it counts as connected

# What events say of what is kept: `update` may set the policy; `destroy` (Podman: `remove`) makes an entry useless.
CHANGING: Final = frozenset({"update", "destroy", "remove"})
ARRIVING: Final = frozenset({"create", "update"})


class Inventory:
    """Lists containers. `feed` tells of changes, `own` which container is the agent's."""

    def __init__(
        self, engine: Engine, own: OwnContainer, feed: EventFeed, created_from: Optional[CreatedFrom] = None
    ) -> None:
        self._engine: Final = engine
        self._created_from: Final = created_from or CreatedFrom(engine)
        self._own: Final = own
        self._feed: Final = feed
        self._lock = threading.Lock()  # guards _policies, _silent and _epoch
        self._policies: dict[str, str] = {}  # full id: restart policy
        self._silent: dict[str, float] = {}  # full id: until when not to ask again
        self._epoch = 0  # counts what may have made an answer that is under way a thing of the past
        self._turn = threading.Lock()  # held by who asks for what is missing, so that others find it kept
        self._ahead: Final = Ahead("inventory", engine, self._learn, all=True)
        feed.subscribe(self._on_event, self._on_gap)

    def list(self, *, all: bool = False) -> list[dict[str, Any]]:
        """ContainerInfo of the running containers, or of all. Raises EngineError.

        One that was removed while it was asked about is left out; where Docker does not answer about one in time, its
        restart policy is left out.
        """
        entries = self._created_from.named(containers.list_containers(self._engine, all=all))
        policies = self._policies_of([str(entry.get("Id") or "") for entry in entries])
        infos = []
        for entry in entries:
            container_id = str(entry.get("Id") or "")
            if container_id in policies:
                running = entry.get("State") == "running"
                reason = self._own.protection(container_id, entry.get("Labels"), running)
                infos.append(describe.summary(entry, policies[container_id], reason))
        return infos

    def forget(self, container_id: str) -> None:
        """Drop what is known of a container (its full id) that the caller has just changed: events take a moment."""
        with self._lock:
            self._epoch += 1
            self._policies.pop(container_id, None)

    def _policies_of(self, ids: Sequence[str]) -> dict[str, Optional[str]]:
        """{id: policy} of those that still exist, None for one that Docker does not answer about in time."""
        known = self._known(ids)
        if len(known) == len(ids):
            return known
        mine = self._turn.acquire(timeout=TURN_WITHIN)
        try:
            known = self._known(ids)
            with self._lock:
                epoch = self._epoch
            connected = self._feed.connected  # read after the epoch: a stream that begins later changes it
            learned = _inspect(self._engine, [container_id for container_id in ids if container_id not in known])
            silent_until = time.monotonic() + SILENT_FOR
            with self._lock:
                self._silent.update({key: silent_until for key, policy in learned.items() if policy is None})
                if connected and epoch == self._epoch:
                    self._policies.update({key: policy for key, policy in learned.items() if policy is not None})
            return {**known, **learned}
        finally:
            if mine:
                self._turn.release()

    def _known(self, ids: Iterable[str]) -> dict[str, Optional[str]]:
        now = time.monotonic()
        known: dict[str, Optional[str]] = {}
        with self._lock:
            self._silent = {key: until for key, until in self._silent.items() if until > now}
            if self._silent:
                known.update({key: None for key in ids if key in self._silent})
            if self._feed.connected:
                known.update({key: self._policies[key] for key in ids if key in self._policies})
        return known

    def _on_event(self, event: Event) -> None:
        if event.kind != "container":
            return
        if event.action in CHANGING:
            self.forget(event.id)
        if event.action in ARRIVING:
            self._ahead.add(event.id)

    def _on_gap(self) -> None:
        with self._lock:
            self._epoch += 1
            self._policies.clear()
        self._ahead.everything()

    def _learn(self, ids: Sequence[str]) -> None:
        """Ask about what has arrived. Raises EngineError."""
        if self._feed.wait_connected(GAP_WITHIN):
            self._policies_of(ids)


def _inspect(engine: Engine, ids: Sequence[str]) -> dict[str, Optional[str]]:
    """The restart policies of these containers that still exist. Raises EngineError."""
    learned: dict[str, Optional[str]] = {}

    def ask(container_id: str) -> None:
        learned[container_id] = _policy(engine, container_id)

    side_by_side(ids, WORKERS, ask)
    return learned


def _policy(engine: Engine, container_id: str) -> Optional[str]:
    """A container's restart policy; None when Docker does not answer about it in time. Raises NotFound, EngineError."""
    try:
        answer = engine.get(f"/containers/{segment(container_id)}/json", within=INSPECT_WITHIN).json()
    except EngineTimeout:
        log.warning("container %s: Docker does not answer about it within %g s", container_id[:12], INSPECT_WITHIN)
        return None
    if not isinstance(answer, dict):
        raise EngineBroken("the Docker daemon's answer about a container is not an object")
    return describe.restart_policy(answer)
