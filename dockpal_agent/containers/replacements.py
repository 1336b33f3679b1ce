"""Edits and image updates of single containers, each in its turn, and the settling of what was interrupted.

replacements = Replacements(engine, Journal(state / "replacements"), own, pulls)
container_id = replacements.edit("web", edit.read(body), auth=None)
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace as with_values
from typing import Any, Final, Optional

from dockpal_agent.containers import carry, dependants, image_change, settle, together, undo
from dockpal_agent.containers.create import CreateRequest
from dockpal_agent.containers.describe import name_of, restart_policy
from dockpal_agent.containers.differences import changed_env, changed_ports, changed_volumes, limits
from dockpal_agent.containers.edit import Edit, same_image
from dockpal_agent.containers.image_change import CannotEdit
from dockpal_agent.containers.journal import Journal, JournalFailed
from dockpal_agent.containers.mounts import clean
from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.containers.proof import Proof
from dockpal_agent.containers.replace import Group
from dockpal_agent.containers.turns import Turns
from dockpal_agent.engine import Engine, EngineError, NotFound, containers, images
from dockpal_agent.images.pulls import Pulls
from dockpal_agent.images.references import is_image_id, parse

__all__ = ["Replacements"]

log = logging.getLogger(__name__)

Found = Mapping[str, Any]

ANSWER_WITHIN: Final = 25.0  # seconds: the Server waits 30 for the whole answer
SHORTEST_HEALTH: Final = 2.0  # seconds that a health check is waited for, however late it is
LONGEST_HEALTH: Final = 20.0
QUEUE_WITHIN: Final = 20.0  # seconds that an edit waits for another one of the same container
SUCCESSORS: Final = 256  # replaced ids that are remembered, for clients that still use them
UPDATE: Final = "update-image"  # the key of an image update among the turns
SETTLE_AGAIN: Final = 5.0  # seconds between two looks whether something waits to be settled
LONGEST_PAUSE: Final = 300.0  # seconds between two tries to settle what Docker refuses: each is some lines in the log


class Replacements:
    """One for the agent. `start` settles what was interrupted as soon as the daemon answers; `stop` ends that."""

    def __init__(self, engine: Engine, journal: Journal, own: OwnContainer, pulls: Pulls) -> None:
        self.journal: Final = journal
        self.turns: Final = Turns()
        self._engine: Final = engine
        self._own: Final = own
        self._pulls: Final = pulls
        self._lock = threading.Lock()  # guards _successors
        self._successors: OrderedDict[str, str] = OrderedDict()
        self._settled = threading.Event()  # what this start found has been settled
        self._waiting = False  # something may yet turn out to be interrupted; written and read as a whole, so no lock
        self._stopping = threading.Event()
        self._settler = threading.Thread(target=self._settle_when_there, name="settle replacements", daemon=True)

    def start(self) -> None:
        """Settle in the background, once the daemon answers, and what is left over later."""
        self._settler.start()

    def stop(self, within: float = 5.0) -> None:
        """No more tries to settle; wait up to `within` seconds for the one under way."""
        self._stopping.set()
        if self._settler.is_alive():
            self._settler.join(within)

    def settle(self) -> list[settle.Settled]:
        """Finish or undo now what was interrupted. Raises EngineError when the daemon is away."""
        reports = settle.settle(self._engine, self.journal)
        self._waiting = any(report.outcome == "waiting" for report in reports)
        self._settled.set()
        return reports

    def ready(self) -> None:
        """Return when nothing of earlier replacements is left to settle: to be called before a new one looks at Docker.

        Raises EngineError when the daemon is away.
        """
        if not self._settled.is_set() or self.journal.waiting():
            self.settle()

    def find(self, container: str) -> Found:
        """The inspect of a container by name, id, or an id that it had before it was replaced. Raises NotFound."""
        try:
            return containers.inspect(self._engine, container)
        except NotFound:
            successor = self._successor_of(container)
            if successor is None:
                raise
            return containers.inspect(self._engine, successor)

    def edit(self, container: str, edit: Edit, auth: Optional[str]) -> str:
        """Make a container what `edit` asks for; its id afterwards, another one where it had to be replaced.

        `auth` (X-Registry-Auth) is for a new image that has to be pulled. An equal edit under way is joined, another
        one waited for. Raises Protected, CannotEdit, Busy, ReplacementFailed, ImageError, EngineError.
        """
        begin = time.monotonic()
        self.ready()
        name = name_of(self.find(container))

        def deed() -> str:
            return self._edit(self.find(container), edit, auth, begin)

        return str(self.turns.run(name, edit, f"the edit of container {name}", QUEUE_WITHIN, deed))

    def update_image(self, container: str, auth: Optional[str]) -> str:
        """Pull the container's own reference, and recreate it where that means another image now; its id afterwards.

        Raises as edit.
        """
        begin = time.monotonic()
        self.ready()
        name = name_of(self.find(container))

        def deed() -> str:
            return self._update(self.find(container), auth, begin)

        return str(self.turns.run(name, UPDATE, f"the image update of container {name}", QUEUE_WITHIN, deed))

    def update_together(
        self,
        title: str,
        wishes: together.Wishes,
        gate: together.Gate,
        ready: together.Ready = lambda old_id, new_ids: None,
    ) -> dict[str, str]:
        """Recreate several containers with other images, and those that live in their namespaces; the new ids by the
        old ones. All of them, judged by `gate` before there is no way back, or none.

        Raises Protected, CannotEdit, Busy before anything was touched; ReplacementFailed, EngineError.
        """
        self.ready()
        changes = together.changes_of(self._engine, wishes)
        replaced = {change.old_id for change in changes}
        restarts = [containers.inspect(self._engine, one) for one in wishes.restarts if one not in replaced]
        for change in changes:
            self._own.guard(change.old, "update" if change.image_id else "edit")
        for old in restarts:
            self._own.guard(old, "stop")
        names = [name_of(old) for old in [*(change.old for change in changes), *restarts]]
        with self.turns.held(names, f"the {title}", QUEUE_WITHIN):
            new_ids = together.replace_together(
                self._engine, self.journal, title, changes, gate, restarts=restarts, ready=ready
            )
        for old_id, new_id in new_ids.items():
            self._remember(old_id, new_id)
        return new_ids

    def _edit(self, old: Found, edit: Edit, auth: Optional[str], begin: float) -> str:
        request = self._recreation(old, edit, auth)
        if request is None:
            self._in_place(old, edit)
            return str(old["Id"])
        policy = _changed_policy(old, edit)
        host = dict(request.body["HostConfig"])
        host.update(limits(old.get("HostConfig") or {}, edit.memory, edit.nano_cpus))
        if policy is not None:
            host["RestartPolicy"] = policy
        request = with_values(request, body={**request.body, "HostConfig": host})
        return self._replace(old, request, edit.name, f"edit of {name_of(old)}", begin)

    def _recreation(self, old: Found, edit: Edit, auth: Optional[str]) -> Optional[CreateRequest]:
        """What a new container has to be made from; None where all that changes can be changed in place.

        Refuses before anything is pulled or touched what may not be replaced.
        """
        given = image_change.config_of_image(self._engine, old)
        host = carry.host_config_of(old)
        env = None if edit.env is None else changed_env(old, edit.env, given)
        ports = None if edit.ports is None else changed_ports(old, edit.ports, given)
        volumes = None if edit.volumes is None else changed_volumes(old, host, edit.volumes, given)
        current = str((old.get("Config") or {}).get("Image") or "")
        image = edit.image if edit.image is not None and not same_image(edit.image, current) else None
        lifted = _needs_new(limits(host, edit.memory, edit.nano_cpus))
        if env is None and ports is None and volumes is None and image is None and not lifted:
            return None
        self._own.guard(old, "edit")
        request = carry.over(self._engine, old)
        body, host = dict(request.body), dict(request.body["HostConfig"])
        if env is not None:
            body["Env"] = env
        if ports is not None:
            host["PortBindings"], body["ExposedPorts"] = ports
        if volumes is not None:
            changed, left = volumes
            host.update({key: changed.get(key) for key in ("Binds", "Mounts", "VolumesFrom", "Tmpfs")})
            body["Volumes"] = {path: {} for path in body.get("Volumes") or () if clean(path) not in left}
        request = with_values(request, body={**body, "HostConfig": host})
        return request if image is None else self._with_image(old, request, given, image, auth)

    def _with_image(
        self, old: Found, request: CreateRequest, given: Found, reference: str, auth: Optional[str]
    ) -> CreateRequest:
        """The request with another image, pulled where it is not there."""
        try:
            image = images.inspect(self._engine, reference)
        except NotFound:
            if is_image_id(reference):
                raise
            self._pulls.pull(parse(reference), auth)
            image = images.inspect(self._engine, reference)
        image_change.check_platform(self._engine, old, image, reference)
        return image_change.with_image(request, given, image, reference)

    def _update(self, old: Found, auth: Optional[str], begin: float) -> str:
        reference = str((old.get("Config") or {}).get("Image") or "")
        self._own.guard(old, "update")
        image_change.refuse_fixed(self._engine, old, reference)
        before = image_change.id_of(self._engine, reference)
        self._pulls.pull(parse(reference), auth)
        image = images.inspect(self._engine, reference)
        if image.get("Id") == old.get("Image"):
            return str(old["Id"])
        try:
            image_change.check_platform(self._engine, old, image, reference)
        except CannotEdit:
            if before:
                image_change.give_tag_back(self._engine, before, reference)
            raise
        given = image_change.config_of_image(self._engine, old)
        request = image_change.with_image(carry.over(self._engine, old), given, image, reference)
        return self._replace(old, request, None, f"image update of {name_of(old)}", begin)

    def _replace(self, old: Found, request: CreateRequest, name: Optional[str], title: str, begin: float) -> str:
        """Replace a container, and with it those that live in its namespaces; the new one's id."""
        others = dependants.of(self._engine, old)
        for other in others:
            self._own.guard(other, "edit")
        if others and (old.get("HostConfig") or {}).get("AutoRemove"):
            names = ", ".join(name_of(other) for other in others)
            raise CannotEdit(
                f"container {name_of(old)} removes itself when it stops, and {names} would lose the network that it "
                "shares with it; stop that one first"
            )
        held = [name_of(other) for other in others] + [name for name in (name,) if name and name != name_of(old)]
        with self.turns.held(held, f"the {title}", 0), Group(self._engine, self.journal, title) as group:
            entries = [group.prepare(old, request, name=name)]
            new_ids = {str(old["Id"]): entries[0].new_id}
            for other in others:
                needed = dependants.request_for(self._engine, other, new_ids, [old, *others])
                entries.append(group.prepare(other, needed))
                new_ids[str(other["Id"])] = entries[-1].new_id
            for entry in reversed(entries):
                group.switch(entry)
            for entry in entries:
                left = begin + ANSWER_WITHIN - time.monotonic()
                group.start(entry, Proof(health=min(max(left, SHORTEST_HEALTH), LONGEST_HEALTH)))
            group.commit()
        for old_id, new_id in new_ids.items():
            self._remember(old_id, new_id)
        return entries[0].new_id

    def _in_place(self, old: Found, edit: Edit) -> None:
        """What Docker changes without a new container: all of it, or nothing."""
        old_id, name = str(old["Id"]), name_of(old)
        changes: dict[str, Any] = dict(limits(old.get("HostConfig") or {}, edit.memory, edit.nano_cpus))
        policy = _changed_policy(old, edit)
        if policy is not None:
            changes["RestartPolicy"] = policy
        renamed = edit.name is not None and edit.name != name
        if renamed:
            containers.rename(self._engine, old_id, str(edit.name))
        if not changes:
            return
        try:
            containers.update(self._engine, old_id, changes)  # one call: Docker takes all of it or nothing
        except EngineError:
            if renamed:
                undo.rename_back(self._engine, old_id, name)
            raise

    def _remember(self, old_id: str, new_id: str) -> None:
        with self._lock:
            self._successors[old_id] = new_id
            while len(self._successors) > SUCCESSORS:
                self._successors.popitem(last=False)

    def _successor_of(self, container: str) -> Optional[str]:
        """The newest id in the place of a replaced one's id, or of its first 12 digits or more."""
        with self._lock:
            known = dict(self._successors)
        found = next((old for old in reversed(known) if len(container) >= 12 and old.startswith(container)), None)
        while found in known:
            found = known[found]
        return found

    def _settle_when_there(self) -> None:
        """The settling thread: when the daemon answers, and again while something waits (it went away meanwhile).

        What is left although the daemon answered is tried again after twice the pause.
        """
        pause = SETTLE_AGAIN
        while True:
            left = False
            try:
                if self._waiting:
                    self.settle()
                self.ready()
                left = self.journal.waiting()
            except (EngineError, JournalFailed) as error:
                log.debug("interrupted replacements cannot be settled yet: %s", error)
            pause = min(2 * pause, LONGEST_PAUSE) if left else SETTLE_AGAIN
            if self._stopping.wait(pause):
                return


def _changed_policy(old: Found, edit: Edit) -> Optional[dict[str, Any]]:
    """The new RestartPolicy; None where it stays, the count of an `on-failure` too, which the form cannot say."""
    if edit.restart_policy is None or edit.restart_policy == (restart_policy(old) or "no"):
        return None
    return {"Name": edit.restart_policy, "MaximumRetryCount": 0}


def _needs_new(changes: Mapping[str, int]) -> bool:
    """Whether Docker cannot change these limits in place: it cannot lift one, nor change the way one is said."""
    return changes.get("Memory") == 0 or changes.get("NanoCpus") == 0 or "CpuQuota" in changes
