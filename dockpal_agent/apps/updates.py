"""Updates of apps: by hand and by themselves, each in a thread of its own that outlives who asked for it.

updates = Updates(parts, apps.find, at_once=2)
updates.begin()                        # ends what the agent's end interrupted
attempt_id = updates.trigger("shop")   # at once; its record says the rest
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import TYPE_CHECKING, Callable, Final, Optional

from dockpal_agent.apps import ending
from dockpal_agent.apps.app import App
from dockpal_agent.apps.ending import End, Parts
from dockpal_agent.apps.notes import Note
from dockpal_agent.apps.record import Record
from dockpal_agent.apps.records import RecordsFailed
from dockpal_agent.apps.selection import Due
from dockpal_agent.apps.stages import ErrorCode, Stage
from dockpal_agent.compose.lanes import QueueFull, Stopping
from dockpal_agent.compose.locks import Locked
from dockpal_agent.compose.names import normalise_project_name
from dockpal_agent.compose.stored import StoredFailed
from dockpal_agent.containers.journal import JournalFailed
from dockpal_agent.engine import EngineError

if TYPE_CHECKING:
    from dockpal_agent.apps.attempt import Attempt

__all__ = ["AlreadyRunning", "TooManyUpdates", "Updates"]

log = logging.getLogger(__name__)

BY_HAND: Final = 8  # updates at once that somebody asked for
AUTO: Final = "auto"
USER: Final = "user:agent"
SETTLE_AGAIN: Final = 5.0  # seconds between two tries while the daemon is away
SETTLE_WITHIN: Final = 600.0  # seconds for one project, behind its other changes
INTERRUPTED: Final = "the agent ended during this update"


class AlreadyRunning(Exception):
    """An update of the app runs. The Server knows it by the first word."""


class TooManyUpdates(Exception):
    """As many updates run as the agent runs at once."""


class Updates:
    """One for the agent. `begin` starts its thread, `close` ends all.

    `find` gives an app by its name, or raises. `at_once` are automatic updates; more wait for their turn.
    """

    def __init__(self, parts: Parts, find: Callable[[str], App], *, at_once: int, by_hand: int = BY_HAND) -> None:
        self._parts: Final = parts
        self._find: Final = find
        self._limits: Final = {AUTO: at_once, USER: by_hand}
        self._lock = threading.Lock()  # guards the three that follow
        self._running: dict[str, str] = {}  # who triggered it, by project; "" for one that the last end interrupted
        self._threads: set[threading.Thread] = set()
        self._waiting: OrderedDict[str, tuple[str, Due]] = OrderedDict()  # the app's name and what is due, by project
        self._settler: Optional[threading.Thread] = None

    def begin(self) -> None:
        """End in the background, once the daemon answers, what was interrupted; no update of these apps before."""
        interrupted: list[tuple[Optional[Record], Note]] = [
            (record, self._note_of(record)) for record in self._parts.records.unfinished()
        ]
        known = {note.attempt_id for _, note in interrupted}
        interrupted += [(None, note) for note in self._parts.notes.left() if note.attempt_id not in known]
        if not self._parts.records.unreadable:  # else they may be of attempts that another start will have to end
            self._parts.notes.keep_only({note.attempt_id for _, note in interrupted})
        if not interrupted:
            return
        with self._lock:
            self._running.update({note.project: "" for _, note in interrupted})
        self._settler = threading.Thread(
            target=self._settle_when_there, args=(interrupted,), name="settle updates", daemon=True
        )
        self._settler.start()

    def close(self, within: float) -> bool:
        """Begin nothing any more, end gates and pulls, wait so many seconds; whether all has ended.

        What has not is ended at the next start.
        """
        self._parts.stopping.set()
        with self._lock:
            self._waiting.clear()
            threads = [*self._threads, *([self._settler] if self._settler is not None else [])]
        until = time.monotonic() + within
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def trigger(self, name: str) -> str:
        """Update an app now, whatever its switch, window and cooldown say; the attempt's id, whose record has begun.

        Raises NoSuchApp, AlreadyRunning, TooManyUpdates, Stopping, RecordsFailed, EngineError.
        """
        app = self._find(name)
        with self._lock:
            if self._parts.stopping.is_set():
                raise Stopping("the agent is ending")
            if app.project in self._running:
                raise AlreadyRunning(f"update_already_running: an update of {app.name} is under way")
            if self._count(USER) >= self._limits[USER]:
                raise TooManyUpdates(f"{self._count(USER)} updates are under way; try again when one has ended")
            self._waiting.pop(app.project, None)
            self._running[app.project] = USER
        return self._begin(app, USER, None)

    def automatic(self, app: App, services: Collection[str], due: Due) -> Optional[str]:
        """Update these services of an app by itself; the attempt's id, None where it waits, or one runs already.

        One that waits is updated as `due` says when its turn comes: its window may be shut by then, or its switch off.
        Never raises: what fails is logged, and tried again after the next round.
        """
        with self._lock:
            if self._parts.stopping.is_set() or app.project in self._running:
                return None
            if self._count(AUTO) >= self._limits[AUTO]:
                self._waiting[app.project] = (app.name, due)
                return None
            self._running[app.project] = AUTO
        return self._begin_automatic(app, services)

    def running(self, project: str) -> bool:
        """Whether an update of this project runs, or waits for its turn."""
        with self._lock:
            return project in self._running or project in self._waiting

    def _count(self, triggered_by: str) -> int:
        """The lock is held."""
        return sum(1 for each in self._running.values() if each == triggered_by)

    def _begin_automatic(self, app: App, services: Collection[str]) -> Optional[str]:
        try:
            return self._begin(app, AUTO, services)
        except (RecordsFailed, TooManyUpdates, EngineError) as error:
            log.error("app %s: the update cannot begin: %s", app.name, error)
            return None

    def _begin(self, app: App, triggered_by: str, services: Optional[Collection[str]]) -> str:
        """Write the record and start the thread. The project is among the running ones, and is not after a failure."""
        from dockpal_agent.apps.attempt import Attempt  # with the first update only: many hosts never make one

        try:
            record = self._parts.records.begin(
                app.name, triggered_by, _shown(app, self._parts), "looking for new images"
            )
            attempt = Attempt(self._parts, record.attempt_id, app.name, app.project, services)
            self._start(attempt, record, app.project)
        except BaseException:
            self._forget(app.project)
            raise
        return record.attempt_id

    def _start(self, attempt: Attempt, record: Record, project: str) -> None:
        def work() -> None:
            try:
                attempt.run()
                self._settle_left(record.attempt_id, project)
            finally:
                with self._lock:
                    self._threads.discard(thread)
                self._forget(project)

        thread = threading.Thread(target=work, name=f"update {record.app}", daemon=True)
        with self._lock:
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            with self._lock:
                self._threads.discard(thread)
            end = End(Stage.FAILED, f"the update cannot be started: {error}; {ending.UNTOUCHED}", ErrorCode.PULL_ERROR)
            ending.record(self._parts, Note(record.attempt_id, project), end)
            raise TooManyUpdates(f"the update cannot be started: {error}") from error

    def _forget(self, project: str) -> None:
        """An update of this project has ended; the next that waits takes its place."""
        with self._lock:
            self._running.pop(project, None)
        while True:
            with self._lock:
                if not self._waiting or self._parts.stopping.is_set() or self._count(AUTO) >= self._limits[AUTO]:
                    return
                project, (name, due) = self._waiting.popitem(last=False)
                if project in self._running:
                    continue
                self._running[project] = AUTO
            self._begin_waiting(project, name, due)

    def _begin_waiting(self, project: str, name: str, due: Due) -> None:
        """As it is by now: it waited for some time."""
        try:
            app = self._find(name)
            services = due(app)
        except Exception as error:  # noqa: BLE001  the app is gone, or the daemon; the boundary of another's thread
            log.warning("app %s: its update is left: %s", name, error)
            services = ()
        if services:
            self._begin_automatic(app, services)
        else:
            with self._lock:
                self._running.pop(project, None)

    def _settle_when_there(self, interrupted: list[tuple[Optional[Record], Note]]) -> None:
        """The thread of the start."""
        left = interrupted
        while left and not self._parts.stopping.is_set():
            for each in list(left):
                if self._settled(*each):
                    left.remove(each)
                    self._forget(each[1].project)
            if left:
                self._parts.stopping.wait(SETTLE_AGAIN)

    def _settle_left(self, attempt_id: str, project: str) -> None:
        """Give back, once the daemon answers, what an attempt could not; no update of the app before."""
        note = self._parts.notes.left_of(attempt_id)
        if note is None:
            return
        with self._lock:
            self._running[project] = ""
        while not self._parts.stopping.is_set() and not self._settled(None, note):
            self._parts.stopping.wait(SETTLE_AGAIN)

    def _settled(self, record: Optional[Record], note: Note) -> bool:
        """Bring one interrupted attempt to its end, or only its tags where that was recorded (None); False where that
        has to be tried again.
        """
        stage = Stage.RECREATING if record is None else record.stage

        def deed() -> End:
            return ending.found(self._parts.engine, self._parts.notes.latest(note), stage, INTERRUPTED)

        try:
            end: End = self._parts.deploys.change(note.project, f"settle {note.attempt_id}", deed).wait(SETTLE_WITHIN)
        except Stopping:
            return False
        except (EngineError, JournalFailed, Locked, QueueFull, StoredFailed, TimeoutError) as error:
            log.info("project %s: its interrupted update cannot be ended yet: %s", note.project, error)
            return False
        except Exception:  # the boundary of a thread: the others are to be ended all the same
            log.exception("project %s: ending its interrupted update failed", note.project)
            end = End(Stage.FAILED, f"{INTERRUPTED}, and what became of it is not known", ErrorCode.ROLLBACK_FAILED)
        if record is None:
            self._parts.notes.remove(note.attempt_id)
            log.warning("project %s: the tags of its update %s are settled", note.project, note.attempt_id)
        else:
            ending.record(self._parts, note, end)
            log.warning("app %s: its interrupted update is %s: %s", record.app, end.stage.value, end.message)
        return True

    def _note_of(self, record: Record) -> Note:
        """The note of an interrupted attempt; where there is none, nothing had been begun."""
        note = self._parts.notes.read(record.attempt_id)
        return note or Note(record.attempt_id, normalise_project_name(record.app))


def _shown(app: App, parts: Parts) -> dict[str, dict[str, str]]:
    """What the record says of the app's services before more is known."""
    shown = {}
    for service, member in app.services().items():
        digest = parts.checks.of(member.image, member.image_id).local_digest
        shown[service] = {"image": member.image, "previous_digest": digest or member.image_id}
    return shown
