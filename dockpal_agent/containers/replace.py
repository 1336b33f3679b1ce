"""Putting a new container in the place of an old one, so that whatever fails, the old one runs again as it was.

    with Group(engine, journal, "edit of web") as group:
        web = group.prepare(old, request)      # the new one stands ready, nothing was touched yet
        group.switch(web)                      # the old one stops and gives its name, the new one takes it
        group.start(web, Proof())              # the new one runs and is proven
        group.commit()                         # the one commit point; the old one is removed
    # leaving the block without commit(), by an exception or not, undoes everything

Several containers in one group are replaced together: all or none. `replace` is the whole of it for one container.
docs/decisions/0004-order-of-writes-of-a-replacement.md says what a kill between any two steps leaves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Callable, Final, Optional

from dockpal_agent.containers import undo
from dockpal_agent.containers.aside import Was, name_for_new, name_for_old, was
from dockpal_agent.containers.create import CreateRequest, create
from dockpal_agent.containers.describe import name_of
from dockpal_agent.containers.journal import Entry, Journal, JournalFailed, Step
from dockpal_agent.containers.made import Made
from dockpal_agent.containers.proof import NotProven, Proof, prove
from dockpal_agent.engine import Conflict, Engine, EngineError, EngineRefused, containers

__all__ = ["Group", "ReplacementFailed", "StepFailed", "replace", "what_is_not_back"]

log = logging.getLogger(__name__)

# What a step's failure means for the user. {name} is the container's.
WORDS: Final[Mapping[Step, str]] = {
    Step.CREATE_NEW: "the new container could not be created",
    Step.QUIET_OLD: "the restart policy of the old container could not be held back",
    Step.STOP_OLD: "the old container could not be stopped",
    Step.RENAME_OLD: "the old container could not be set aside",
    Step.RENAME_NEW: "the new container could not be given its name",
    Step.START_NEW: "the new container could not be started",
    Step.PROVE_NEW: "the new container did not prove itself",
    Step.PAUSE_NEW: "the new container could not be paused",
    Step.START_OLD: "it could not be started",
}
USUAL: Final = Proof()
KEPT_DATA: Final = "what the new container wrote into volumes and host paths meanwhile stays there"


class ReplacementFailed(Exception):
    """A container was not replaced. `restored` says whether all is as it was, `began_start` whether the start of a new
    one was tried; `__cause__` is the Engine's error, NotProven, or JournalFailed. The text says what Docker said and
    what was undone.
    """

    def __init__(self, message: str, *, restored: bool, began_start: bool = False) -> None:
        super().__init__(message)
        self.restored: Final = restored
        self.began_start: Final = began_start


class StepFailed(Exception):
    """A step of a group failed; the cause is what it raised. Leaving the group's block makes it a ReplacementFailed."""

    def __init__(self, entry: Entry, step: Step, cause: Exception) -> None:
        super().__init__(f"container {entry.name}: {WORDS[step]}: {cause}")
        self.entry: Final = entry
        self.not_started: Final = step is Step.START_NEW and isinstance(cause, EngineRefused)


class Group:
    """Containers that are replaced together: a context manager, whose end without commit() undoes everything.

    prepare, add, switch and start raise StepFailed and may be called by several threads, each for its own container;
    commit raises JournalFailed. Leaving the block with one of the two raises ReplacementFailed.
    """

    def __init__(self, engine: Engine, journal: Journal, title: str) -> None:
        self._engine: Final = engine
        self._record: Final = journal.open(title)
        self._done = False  # committed or undone
        self.told: Final[list[str]] = []  # what an undo did about networks and volumes

    def __enter__(self) -> Group:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._done:
            return
        restored = self.undo()
        if isinstance(error, (StepFailed, JournalFailed)):
            raise self._failure(error, restored) from (error if isinstance(error, JournalFailed) else error.__cause__)

    def prepare(self, old: Mapping[str, Any], request: CreateRequest, *, name: Optional[str] = None) -> Entry:
        """Create the successor of an inspected container. `name` is what it is to be called, if not as the old one.

        Nothing that runs is touched.
        """
        entry = _entry_of(old, name)
        self._begin(entry)
        self._create(entry, request)
        return entry

    def add(self, name: str, request: CreateRequest) -> Entry:
        """Create a container that replaces none; undoing the group removes it. start() starts it."""
        entry = Entry(name, "", Was.RUNNING, final_name=name)
        self._begin(entry)
        self._create(entry, request)
        self._name_new(entry)
        return entry

    def retire(self, old: Mapping[str, Any]) -> Entry:
        """An inspected container that commit() stops and removes: nothing takes its place. It runs on until then."""
        return self._old_one(old, stays=False)

    def stay(self, old: Mapping[str, Any]) -> Entry:
        """An inspected container that stays, to be started, or stopped and started again."""
        return self._old_one(old, stays=True)

    def stop(self, entry: Entry) -> None:
        """Stop, before its time, a container that is retired, or one that stays."""
        if entry.was.ran and entry.kept is None:
            self._do(entry, Step.STOP_OLD, lambda: self._stop(entry))

    def start_old(self, entry: Entry) -> None:
        """Start a container that stays."""
        self._do(entry, Step.START_OLD, lambda: containers.start(self._engine, entry.old_id))

    def make(self, made: Made) -> None:
        """Write down that a network or a volume is about to be made: undoing the group removes it."""
        self._record.make(made)

    def note(self) -> None:
        """Write down what was learned about one."""
        self._record.note()

    def switch(self, entry: Entry) -> None:
        """Stop the old container, set it aside, and give the new one its name.

        Where the old one removes itself when it stops, the new one gets the name after its start: until then its
        temporary name is all that tells what is left to do.
        """
        if entry.was.ran:
            if (entry.policy.get("Name") or "no") not in ("no", "unless-stopped"):
                self._do(entry, Step.QUIET_OLD, lambda: undo.set_policy(self._engine, entry.old_id, {"Name": "no"}))
            self._do(entry, Step.STOP_OLD, lambda: self._stop(entry))
        if entry.kept is not None:
            return
        aside = name_for_old(entry.new_id, entry.name, entry.was)
        self._do(entry, Step.RENAME_OLD, lambda: containers.rename(self._engine, entry.old_id, aside))
        self._name_new(entry)

    def start(self, entry: Entry, proof: Optional[Proof] = USUAL) -> None:
        """Start the new container, and wait until it is proven (None: the caller does that), where the old one ran."""
        if not entry.was.ran:
            return
        self._do(entry, Step.START_NEW, lambda: containers.start(self._engine, entry.new_id))
        if entry.kept is not None:
            self._name_new(entry)
        if proof is not None:
            self._do(entry, Step.PROVE_NEW, lambda: prove(self._engine, entry.new_id, proof))
        self.pause(entry)

    def pause(self, entry: Entry) -> None:
        """Pause the new container, which runs and is proven, where the old one was paused."""
        if entry.was is Was.PAUSED:
            self._do(entry, Step.PAUSE_NEW, lambda: containers.pause(self._engine, entry.new_id))

    def run(self, entry: Entry) -> None:
        """Start the new container, whether the old one ran or not; the caller watches it."""
        self._do(entry, Step.START_NEW, lambda: containers.start(self._engine, entry.new_id))
        if entry.kept is not None:
            self._name_new(entry)

    def commit(self) -> None:
        """From here on the new containers are the ones: the old ones are removed, now or by the next settling."""
        self._record.commit()
        self._done = True
        self._leave(undo.finish(self._engine, self._record.entries))
        for entry in self._record.entries:
            log.info("container %s: %s", entry.final_name, _fate(entry))

    def undo(self) -> bool:
        """Put everything back; whether all is as it was. What failed stays in the journal for the next settling; a
        container that somebody else removed meanwhile is gone for good.
        """
        self._done = True
        restored = undo.undo(
            self._engine, self._record.entries, self._record.note, made=self._record.made, tell=self.told.append
        )
        self._leave(restored)
        return restored and not any(entry.lost for entry in self._record.entries)

    def give_up(self, error: Exception) -> ReplacementFailed:
        """Undo, because of what is no step's failure; the error to raise, from `error`."""
        return self._failure(error, self.undo())

    @property
    def entries(self) -> list[Entry]:
        """All containers of the group so far, in their order."""
        return list(self._record.entries)

    def _old_one(self, old: Mapping[str, Any], *, stays: bool) -> Entry:
        entry = _entry_of(old, None)
        entry.stays = stays
        try:
            self._record.add(entry)
        except JournalFailed as error:
            raise StepFailed(entry, Step.STOP_OLD, error) from error
        return entry

    def _leave(self, settled: bool) -> None:
        if settled:
            self._record.close()
        else:
            self._record.leave_open()

    def _begin(self, entry: Entry) -> None:
        """Write the entry; fail early for a name that is taken; remove what an earlier attempt left behind.

        A create that took longer than we waited for is such a leftover: it has never run.
        """
        try:
            self._record.add(entry)
            if (not entry.old_id or entry.final_name != entry.name) and undo.find(self._engine, entry.final_name):
                raise Conflict(f'the name "{entry.final_name}" is already in use by another container', 409)
            left = undo.find(self._engine, _temporary(entry))
            if left is not None:
                containers.remove(self._engine, str(left["Id"]), force=True)
        except (JournalFailed, EngineError) as error:
            raise StepFailed(entry, Step.CREATE_NEW, error) from error

    def _create(self, entry: Entry, request: CreateRequest) -> None:
        def borrow(reference: str, newer: str) -> None:
            entry.borrowed = {"reference": reference, "image_id": newer}
            self._record.note()

        def deed() -> None:
            entry.image_id = request.image_id
            entry.new_id = create(self._engine, _temporary(entry), request, borrow)
            entry.borrowed = {}

        self._do(entry, Step.CREATE_NEW, deed)
        self._record.note()

    def _stop(self, entry: Entry) -> None:
        try:
            undo.stop(self._engine, entry.old_id, entry.kept is not None)
        except EngineRefused:
            entry.stop_answered = True
            raise
        entry.stop_answered = True

    def _name_new(self, entry: Entry) -> None:
        self._do(entry, Step.RENAME_NEW, lambda: containers.rename(self._engine, entry.new_id, entry.final_name))

    def _do(self, entry: Entry, step: Step, deed: Callable[[], object]) -> None:
        """Record the step, then do it."""
        try:
            self._record.step(entry, step)
            deed()
        except (EngineError, NotProven, JournalFailed) as error:
            raise StepFailed(entry, step, error) from error

    def _failure(self, error: Exception, restored: bool) -> ReplacementFailed:
        """One text for what failed and what is now."""
        entries = self._record.entries
        if not restored:
            rest = what_is_not_back(entries)
        elif not any(_touched(entry) for entry in entries):
            rest = "nothing was changed"
        else:
            refused = error.entry if isinstance(error, StepFailed) and error.not_started else None
            started = any(entry.began(Step.START_NEW) for entry in entries if entry is not refused)
            rest = "everything was put back as it was" + (f"; {KEPT_DATA}" if started else "")
        log.warning("%s: %s; %s", self._record.title, error, rest)
        began_start = any(entry.began(Step.START_NEW) for entry in entries)
        return ReplacementFailed(f"{error}; {rest}", restored=restored, began_start=began_start)


def replace(
    engine: Engine,
    journal: Journal,
    old: Mapping[str, Any],
    new: CreateRequest,
    *,
    proof: Optional[Proof] = USUAL,
    name: Optional[str] = None,
) -> str:
    """Put a container made from `new` in the place of the inspected `old`; the new one's id.

    It is running, paused or stopped afterwards as the old one was. Raises ReplacementFailed.
    """
    with Group(engine, journal, f"replacement of {name_of(old)}") as group:
        entry = group.prepare(old, new, name=name)
        group.switch(entry)
        group.start(entry, proof)
        group.commit()
    return entry.new_id


def what_is_not_back(entries: Iterable[Entry]) -> str:
    """Words for an undo that could not put back all of these."""
    lost = [entry.name for entry in entries if entry.lost]
    if lost:
        stayed = [entry.name for entry in entries if entry.stayed]
        rest = f"; what was to take its place is left as it is: {' and '.join(stayed)}" if stayed else ""
        return f"what ran before cannot come back: somebody else removed {' and '.join(lost)} meanwhile{rest}"
    return "not everything could be put back; the agent goes on trying, its log says more"


def _entry_of(old: Mapping[str, Any], name: Optional[str]) -> Entry:
    host = old.get("HostConfig") or {}
    state = was(old)
    return Entry(
        name=name_of(old),
        old_id=str(old["Id"]),
        was=state,
        final_name=name or name_of(old),
        policy=dict(host.get("RestartPolicy") or {}),
        kept=dict(old) if host.get("AutoRemove") and state.ran else None,
    )


def _fate(entry: Entry) -> str:
    if entry.stays:
        return "started"
    if not entry.new_id:
        return "removed"
    return "replaced" if entry.old_id else "created"


def _temporary(entry: Entry) -> str:
    return name_for_new(entry.old_id, entry.name, entry.was)


def _touched(entry: Entry) -> bool:
    """Whether anything but the new container was begun with."""
    return any(entry.began(step) for step in (Step.QUIET_OLD, Step.STOP_OLD, Step.RENAME_OLD, Step.RENAME_NEW))
