"""Doing what a plan says: networks and volumes, new containers beside the old, then the switch, the start, the proof.

Nothing that runs is stopped before everything that is to take its place stands ready. What is removed goes last, after
the one commit point of the journal. Any failure before that puts everything back (docs/decisions/0004).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Optional

from dockpal_agent.compose.along import prepare_guests
from dockpal_agent.compose.desired import Surroundings, container_request, network_body, parents_of, volume_body
from dockpal_agent.compose.hooks import HookFailed, run_hooks
from dockpal_agent.compose.inlinefiles import put_files
from dockpal_agent.compose.inorder import in_order
from dockpal_agent.compose.observe import Observed
from dockpal_agent.compose.options import DONE, ERROR, Options, Progress, Report
from dockpal_agent.compose.plan import Action, Plan
from dockpal_agent.compose.project import Project
from dockpal_agent.compose.waiting import COMPLETED, HEALTHY, DependencyFailed, Watched, prove_all, wait_for
from dockpal_agent.containers import made as surroundings_made
from dockpal_agent.containers.carry import endpoints_of
from dockpal_agent.containers.create import CreateRequest
from dockpal_agent.containers.journal import Entry, Journal, JournalFailed, Step
from dockpal_agent.containers.made import Made, reattach, settings_of
from dockpal_agent.containers.proof import NotProven
from dockpal_agent.containers.replace import Group, StepFailed, what_is_not_back
from dockpal_agent.engine import Engine, EngineError, EngineRefused, NotFound, containers, images, networks, volumes
from dockpal_agent.engine.errors import refusal

__all__ = ["Run", "RunFailed"]

STARTS_AT_ONCE: Final = 8
IN_MOTION: Final = ("running", "restarting")  # states of what is meant to run
KEPT_DATA: Final = "what new containers wrote into volumes and host paths meanwhile stays there"
FAILURES: Final = (
    StepFailed,
    JournalFailed,
    EngineError,
    NotProven,
    DependencyFailed,
    HookFailed,
    ValueError,
    KeyError,
)


class RunFailed(Exception):
    """The plan could not be carried out; the text says why and what was undone, the cause is what failed."""

    def __init__(self, message: str, restored: bool, undone: tuple[str, ...], began_start: bool) -> None:
        super().__init__(message)
        self.restored: Final = restored
        self.undone: Final = undone
        self.began_start: Final = began_start


class Run:
    """One plan, being carried out."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        project: Project,
        options: Options,
        report: Report,
        plan: Plan,
        observed: Observed,
    ) -> None:
        self._engine: Final = engine
        self._project: Final = project
        self._options: Final = options
        self._report: Final = report
        self._plan: Final = plan
        self._observed: Final = observed
        self._group: Final = Group(engine, journal, f"deploy of {project.name}")
        self._lock = threading.Lock()  # guards all below
        self._entries: dict[str, Entry] = {}  # by the container's name
        self._olds: dict[str, Mapping[str, Any]] = {}  # inspects of what is replaced, by the same
        self._requests: dict[str, CreateRequest] = {}
        self._guests: list[Entry] = []  # containers that live in what is replaced, parents first
        self._ids: dict[str, str] = {  # of all containers of the project by name
            action.container: action.old.id for action in plan.of("service", "keep", "start") if action.old is not None
        }
        self._started: list[Watched] = []
        self._borrowing = threading.Lock()  # held while a tag may mean an older image, for the moment of a create

    def carry_out(self) -> tuple[dict[str, str], list[str]]:
        """(ids by name, warnings). Raises RunFailed."""
        try:
            warnings = self._all()
            self._group.commit()
        except FAILURES as error:
            raise self._failure(error) from _cause(error)
        except BaseException:
            self._report(Progress("cleanup", "", "interrupted: undoing what was begun"))
            self._group.undo()
            raise
        for action in self._plan.of("service", "remove"):
            self._report(Progress("create", action.name, f"container {action.container}: removed", DONE))
        return dict(self._ids), warnings

    def _all(self) -> list[str]:
        project, options = self._project, self._options
        order = list(project.order())
        self._make_networks()
        self._make_volumes()
        needs = {name: self._created_after(name) for name in order}
        in_order(order, needs, self._prepare, f"create {project.name}")
        self._prepare_guests()
        self._retire()
        users = {name: [other for other in order if name in self._needed_by(other)] for name in order}
        for entry in reversed(self._guests):
            self._group.switch(entry)
        in_order(order[::-1], users, self._switch, f"stop {project.name}")
        self._swap_networks()
        if not options.start:
            return []
        needed = {name: self._needed_by(name) for name in order}
        in_order(order, needed, self._start, f"start {project.name}", STARTS_AT_ONCE)
        self._start_guests()
        slow = self._prove()
        self._pause_again()
        return [f"container {name}: its health check has not come to a verdict yet" for name in slow]

    def _prove(self) -> list[str]:
        """Judge what was started; the names of those whose health check has not come to a verdict."""
        options = self._options
        if options.gate is not None:
            options.gate(self._meant_to_run())
            return []
        return prove_all(
            self._engine,
            self._started,
            health=options.wait_limit if options.wait else options.health_limit,
            must_be_healthy=options.wait,
        )

    def _meant_to_run(self) -> dict[str, str]:
        """Ids by name of what was started, and of what is kept and runs."""
        started = {one.name: one.id for one in self._started}
        kept = self._plan.of("service", "keep")
        return {
            **{one.container: one.old.id for one in kept if one.old is not None and one.old.state in IN_MOTION},
            **started,
        }

    def _pause_again(self) -> None:
        """What was paused is so again, where nothing is to be started that did not run."""
        if self._options.leave_stopped:
            for action in self._plan.of("service", "recreate"):
                self._group.pause(self._entries[action.container])
            for entry in self._guests:
                self._group.pause(entry)

    def _left_as_it_is(self, action: Action) -> bool:
        """Whether a container that does not run stays so: nothing waits for it either."""
        old = action.old
        if not self._options.leave_stopped or old is None:
            return False
        if action.action == "keep":
            return old.state not in IN_MOTION
        return (
            action.action == "recreate"
            and not self._entries[action.container].was.ran
            and not self._is_job(action.name)
        )

    def _actions(self, service: str, *kinds: str) -> list[Action]:
        return [action for action in self._plan.of("service", *kinds) if action.name == service]

    def _needed_by(self, service: str) -> list[str]:
        return [need.service for need in self._project.dependencies(service)]

    def _created_after(self, service: str) -> list[str]:
        """The services whose containers' ids or names a create needs."""
        entry = self._project.services[service]
        return [*parents_of(entry), *(link.partition(":")[0] for link in entry.get("links", ()))]

    def _make_networks(self) -> None:
        for action in self._plan.of("network", "create"):
            key = next(key for key, name in self._plan.networks.items() if name == action.name)
            one = Made(surroundings_made.NETWORK, action.name, surroundings_made.now())
            self._group.make(one)
            with _named(f"network {action.name}"):
                one.id = networks.create(
                    self._engine, network_body(self._project, key, self._options, self._observed.api_version)
                )
            self._group.note()
            self._report(Progress("create", action.name, f"network {action.name}: created", DONE))

    def _make_volumes(self) -> None:
        for action in self._plan.of("volume", "create"):
            key = next(key for key, name in self._plan.volumes.items() if name == action.name)
            one = Made(surroundings_made.VOLUME, action.name, surroundings_made.now(), users=self._users_of(key))
            self._group.make(one)
            with _named(f"volume {action.name}"):
                volumes.create(self._engine, volume_body(self._project, key, self._options))
            one.id = action.name
            self._group.note()
            self._report(Progress("create", action.name, f"volume {action.name}: created", DONE))

    def _users_of(self, key: str) -> list[str]:
        """The containers that mount a volume."""
        return [
            action.container
            for action in self._plan.of("service", "create", "recreate", "start", "keep")
            for mount in self._project.services[action.name].get("volumes", ())
            if mount.get("source") == key and mount["type"] == "volume"
        ]

    def _around(self) -> Surroundings:
        """What the bodies depend on, as far as it is known now."""
        names: dict[str, list[str]] = {}
        parents: dict[str, str] = {}
        with self._lock:
            ids = dict(self._ids)
        stays = self._plan.of("service", "keep", "start", "create", "recreate")
        for action in sorted(stays, key=lambda one: (one.name, one.number)):
            if action.container in ids:
                names.setdefault(action.name, []).append(action.container)
                parents.setdefault(action.name, ids[action.container])
        return Surroundings(
            options=self._options,
            version=self._observed.api_version,
            networks=self._plan.networks,
            volumes=self._plan.volumes,
            images=self._observed.images,
            parents=parents,
            names=names,
            ids=ids,
        )

    def _prepare(self, service: str, failed: threading.Event) -> None:
        """Create what is new of one service, under temporary names where it replaces something."""
        for action in self._actions(service, "create", "recreate"):
            if failed.is_set():
                return
            self._report(Progress("create", service, f"container {action.container}: creating"))
            old = containers.inspect(self._engine, action.old.id) if action.old is not None else None
            with self._borrowing if self._options.new_images_for is not None else contextlib.nullcontext():
                request = self._request(action, old)
                if old is None:
                    entry = self._group.add(action.container, request)
                else:
                    entry = self._group.prepare(old, request, name=action.container)
            with self._lock:
                self._entries[action.container] = entry
                self._requests[action.container] = request
                self._ids[action.container] = entry.new_id
                if old is not None:
                    self._olds[action.container] = old
            put_files(self._engine, entry.new_id, self._project, service)

    def _prepare_guests(self) -> None:
        """What lives in a container that an update replaces goes along, though the file does not know it."""
        if self._options.gate is None:
            return
        replaced = {self._entries[name].new_id: old for name, old in self._olds.items()}
        seen_to = {action.old.id for action in self._plan.of("service", "remove", "start") if action.old is not None}
        self._guests = prepare_guests(self._engine, self._group, replaced, seen_to, self._options.own)
        for guest in self._guests:
            if guest.final_name in self._ids:  # of the project, and unchanged but for this
                self._ids[guest.final_name] = guest.new_id

    def _start_guests(self) -> None:
        for guest in self._guests:
            if guest.was.ran:
                self._group.run(guest)
                self._started.append(Watched(guest.new_id, guest.final_name, at=time.monotonic()))

    def _request(self, action: Action, old: Optional[Mapping[str, Any]]) -> CreateRequest:
        """What makes one container; it keeps the image of the one that it replaces where no new one is meant for it."""
        around, reference = self._around(), self._project.services[action.name].get("image", "")
        mounts = (old or {}).get("Mounts") or ()
        kept = ""
        if not self._options.takes_new_image(action.name) and (old or {}).get("Config", {}).get("Image") == reference:
            kept = str((old or {})["Image"])
            around = replace(around, images={**around.images, reference: images.inspect(self._engine, kept)})
        request = container_request(self._project, action.name, action.number, around, mounts)
        return replace(request, image_id=kept)

    def _retire(self) -> None:
        """What goes is written down now; it is stopped early only where it stands in the way of something new."""
        wanted = {
            port
            for action in self._plan.of("service", "create", "recreate")
            for port in _published(self._project.services[action.name])
        }
        remade = {action.name for action in self._plan.of("network", "recreate")}
        for action in self._plan.of("service", "remove"):
            assert action.old is not None
            try:
                old = containers.inspect(self._engine, action.old.id)
            except NotFound:
                continue
            entry = self._group.retire(old)
            in_the_way = any((port.get("PublicPort"), port.get("Type")) in wanted for port in action.old.ports)
            if in_the_way or remade & set(action.old.networks):
                self._group.stop(entry)

    def _switch(self, service: str, failed: threading.Event) -> None:
        """Stop what is replaced, dependants first, and give the new ones their names."""
        entry = self._project.services[service]
        for action in self._actions(service, "recreate", "start"):
            if failed.is_set():
                return
            old = action.old
            if old is None or (action.action == "start" and not old.running):
                continue
            if old.state == "running" and entry.get("pre_stop"):
                run_hooks(self._engine, old.id, entry, "pre_stop")
            self._report(Progress("create", service, f"container {old.name}: stopping"))
            if action.action == "recreate":
                self._group.switch(self._entries[action.container])
            else:
                staying = self._group.stay(containers.inspect(self._engine, old.id))
                with self._lock:
                    self._entries[action.container] = staying
                self._group.stop(staying)

    def _swap_networks(self) -> None:
        """Make networks anew whose settings changed: what is replaced or goes has been stopped, what stays without
        being in the file (orphans) is taken off for the moment.
        """
        for action in self._plan.of("network", "recreate"):
            key = next(key for key, name in self._plan.networks.items() if name == action.name)
            old = networks.inspect(self._engine, action.name)
            attached = self._attached(action.name)
            one = Made(
                surroundings_made.SWAP,
                action.name,
                surroundings_made.now(),
                old_id=str(old["Id"]),
                body=settings_of(old),
                endpoints=attached,
            )
            self._group.make(one)
            for container_id in attached:
                networks.disconnect(self._engine, one.old_id, container_id, force=True)
            networks.remove(self._engine, one.old_id)
            body = network_body(self._project, key, self._options, self._observed.api_version)
            with _named(f"network {action.name}"):
                one.id = networks.create(self._engine, body)
            self._group.note()
            for name, request in self._requests.items():
                if action.name in (request.endpoints or {}):
                    endpoint = (request.endpoints or {})[action.name]
                    reattach(self._engine, action.name, self._entries[name].new_id, endpoint)
            for seen in self._plan.orphans:
                if seen.id in attached:
                    reattach(self._engine, action.name, seen.id, attached[seen.id])
            self._report(Progress("create", action.name, f"network {action.name}: made anew", DONE))

    def _attached(self, network: str) -> dict[str, dict[str, Any]]:
        """How the project's old containers are attached to a network, by their ids."""
        found = {}
        others = [seen for seen in self._observed.containers if network in seen.networks]
        known = {str(old["Id"]) for old in self._olds.values()}
        olds = [*self._olds.values(), *(self._inspected(seen.id) for seen in others if seen.id not in known)]
        for old in filter(None, olds):
            endpoints = endpoints_of(old, per_endpoint=self._engine.supports(1, 44)) or {}
            if network in endpoints:
                found[str(old["Id"])] = {key: value for key, value in endpoints[network].items() if key != "NetworkID"}
        return found

    def _inspected(self, container_id: str) -> Mapping[str, Any]:
        try:
            return containers.inspect(self._engine, container_id)
        except NotFound:
            return {}

    def _start(self, service: str, failed: threading.Event) -> None:
        """Start one service's containers, when what it depends on is as far as it asks for."""
        actions = []
        for action in self._actions(service, "create", "recreate", "start"):
            if self._left_as_it_is(action):
                self._report(Progress("create", service, f"container {action.container}: not started, as before", DONE))
            else:
                actions.append(action)
        if not actions:
            return
        self._wait_for_dependencies(service, failed)
        for action in actions:
            if failed.is_set():
                return
            self._report(Progress("create", service, f"container {action.container}: starting"))
            self._start_one(action)
            self._report(Progress("create", service, f"container {action.container}: started", DONE))

    def _start_one(self, action: Action) -> None:
        service = action.name
        entry = self._entries.get(action.container)
        if action.action == "start":
            self._start_old(action, entry)
        elif entry is not None:
            self._group.run(entry)
        container_id = self._ids[action.container]
        run_hooks(self._engine, container_id, self._project.services[service], "post_start")
        replaces = action.old is not None
        watched = Watched(
            container_id,
            action.container,
            job=self._is_job(service),
            run=self._options.proof if replaces else self._options.proof / 2,
            at=time.monotonic(),
        )
        with self._lock:
            self._started.append(watched)

    def _start_old(self, action: Action, entry: Any) -> None:
        assert action.old is not None
        if entry is None:
            entry = self._group.stay(containers.inspect(self._engine, action.old.id))
        if action.old.state == "paused" and not entry.began(Step.STOP_OLD):
            containers.unpause(self._engine, action.old.id)
        else:
            self._group.start_old(entry)

    def _is_job(self, service: str) -> bool:
        """Whether others wait for its end."""
        return any(
            need.service == service and need.condition == COMPLETED
            for other in self._project.services
            for need in self._project.dependencies(other)
        )

    def _wait_for_dependencies(self, service: str, failed: threading.Event) -> None:
        for need in self._project.dependencies(service):
            watched = [
                Watched(self._ids[action.container], action.container)
                for action in self._actions(need.service, "create", "recreate", "start", "keep")
                if not self._left_as_it_is(action)
            ]
            if need.condition not in (HEALTHY, COMPLETED) or not watched:
                continue
            self._report(Progress("create", service, f"waiting for {need.service} ({need.condition})"))
            try:
                wait_for(self._engine, need.service, need.condition, watched, self._options.wait_limit, failed)
            except DependencyFailed as error:
                if need.required:
                    raise
                self._report(Progress("hint", service, f"optional dependency: {error}"))

    def _failure(self, error: Exception) -> RunFailed:
        """Undo; one text for what failed and what is now."""
        words = str(error) if not isinstance(error, KeyError) else f"service {error} has no container to live in"
        self._report(Progress("create", "", words, ERROR))
        self._report(Progress("cleanup", "", "undoing what was begun"))
        entries = self._group.entries
        restored = self._group.undo()
        undone = [line for line in map(_undone, entries) if line] + self._group.told
        began_start = any(entry.began(Step.START_NEW) for entry in entries)
        if not restored:
            rest = what_is_not_back(entries)
        elif not undone:
            rest = "nothing was changed"
        else:
            rest = "everything was put back as it was"
            if began_start:
                rest += f"; {KEPT_DATA}"
        return RunFailed(f"{words}; {rest}", restored, tuple(undone), began_start)


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Docker does not say which network it refuses ("Pool overlaps with other one on this address space")."""
    try:
        yield
    except EngineRefused as error:
        raise refusal(error.status, f"{what}: {error}") from error


def _undone(entry: Entry) -> str:
    """What an undo did about one container."""
    if not entry.old_id:
        return f"container {entry.final_name}: removed"
    if entry.lost:
        return f"container {entry.name}: removed by somebody else meanwhile"
    if entry.began(Step.STOP_OLD) or entry.began(Step.RENAME_OLD):
        return f"container {entry.name}: as it was"
    if entry.began(Step.START_OLD):
        return f"container {entry.name}: stopped again"
    return ""


def _cause(error: Exception) -> BaseException:
    return error.__cause__ if isinstance(error, StepFailed) and error.__cause__ is not None else error


def _published(entry: Mapping[str, Any]) -> set[tuple[int, str]]:
    ports = entry.get("ports", ())
    return {(int(port["published"]), port["protocol"]) for port in ports if str(port.get("published", "")).isdigit()}
