"""Deploys, and every other change of a whole project, that the API asks for: each in its turn, told, and outliving its
caller.

    deploys = Deploys(parts, state_dir / "deploys")
    deploys.begin()                                  # brings to an end what the agent's end interrupted
    deploy = deploys.start(read_deploy(body))        # at once; the same again joins it
    deploy.wait(900)                                 # raises what it failed of
    view = deploys.view(deploy.deploy_id)            # its events, from the first
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Callable, Final, Optional

from dockpal_agent.compose.apply import Outcome
from dockpal_agent.compose.deployevents import DeployRecord, DeployRecords, View
from dockpal_agent.compose.deployment import (
    FINISHED_FILES,
    FORESEEN,
    Parts,
    deploy,
    prepared,
    redeploy,
    relabel,
    services_of,
    settle_project,
    standing_outcome,
)
from dockpal_agent.compose.deployrequest import DeployRequest
from dockpal_agent.compose.errors import ComposeError
from dockpal_agent.compose.lanes import AT_ONCE, Lanes, QueueFull, Stopping, Work
from dockpal_agent.compose.locks import Locked
from dockpal_agent.compose.names import normalise_project_name
from dockpal_agent.compose.observe import observe
from dockpal_agent.compose.options import DONE, ERROR, Gate, Progress, Report
from dockpal_agent.compose.plan import Plan, plan
from dockpal_agent.compose.running import NoSuchProject, Removed, remove_project, stop_project
from dockpal_agent.compose.stored import StoredFailed
from dockpal_agent.containers.journal import JournalFailed
from dockpal_agent.engine import EngineError

__all__ = ["Deploy", "Deploys"]

log = logging.getLogger(__name__)

SETTLE_AGAIN: Final = 5.0  # seconds between two tries while the daemon is away
SETTLE_WITHIN: Final = 600.0  # seconds for the files of one project
FINISHED: Final = "deployed; the agent ended meanwhile, and finished this when it started again"
PUT_BACK: Final = "the containers and files of before the deploy are back"
UNDONE: Final = f"the agent ended during this deploy; {PUT_BACK}: deploy again"
PARTING: Final = (
    "the agent is being stopped before this deploy has ended; it finishes it, or undoes it, when it runs again"
)
PART_WITHIN: Final = 1.0  # seconds; Docker gives the whole agent 10 to end
NOT_BEGUN: Final = "the agent ended before this deploy had changed anything: deploy again"


class Deploy:
    """One deploy, waiting, running or ended."""

    def __init__(self, deploy_id: str, work: Work) -> None:
        self.deploy_id: Final = deploy_id
        self._work: Final = work

    def wait(self, timeout: float) -> Outcome:
        """What it has made. Raises what it failed of; TimeoutError when it has not ended in time, and goes on."""
        outcome: Outcome = self._work.wait(timeout)
        return outcome


class _DeployWork(Work):
    """A deploy in its project's queue. `over` is called when it will not be begun although the agent goes on."""

    def __init__(
        self, request: DeployRequest, record: DeployRecord, deed: Callable[[], Any], over: Callable[[Exception], None]
    ) -> None:
        super().__init__(request.project, request.digest, f"deploy of {request.project}", deed)
        self.deploy_id: Final = record.deploy_id
        self._over: Final = over

    def give_up(self, reason: Exception) -> None:
        """As Work; what waits when the agent ends is told at its next start."""
        if not isinstance(reason, Stopping):
            self._over(reason)
        super().give_up(reason)


class Deploys:
    """One for the agent. `begin` starts its thread, `close` ends it.

    `updates` are changes that run beside AT_ONCE others: an update keeps its place for as long as its gate watches.
    `on_deployed` is called with the project and what was made when a deploy stands, before its last event, and
    `on_removed` when a project is gone; what they raise is logged.
    """

    def __init__(
        self,
        parts: Parts,
        records_dir: Path,
        *,
        updates: int = 0,
        on_deployed: Optional[Callable[[str, Outcome], None]] = None,
        on_removed: Optional[Callable[[str], None]] = None,
    ) -> None:
        self.stored: Final = parts.stored
        self._parts: Final = parts
        self._records: Final = DeployRecords(records_dir)
        self._lanes: Final = Lanes(at_once=AT_ONCE + updates)
        self._on_deployed: Final = on_deployed
        self._on_removed: Final = on_removed
        self._settler = threading.Thread(target=self._settle_when_there, name="settle deploys", daemon=True)

    def begin(self) -> None:
        """Bring what was interrupted to an end in the background, once the daemon answers.

        Which deploys these are is found out at once: a viewer who comes now has to hear the end.
        """
        self._records.interrupted()
        self._settler.start()

    def part(self) -> None:
        """The agent is about to end, and its viewers are going to be left: who watches a deploy that has not ended must
        not take the end of the stream for success (protocol 4).
        """
        self._records.part(PARTING, PART_WITHIN)

    def close(self, within: float) -> bool:
        """Begin nothing any more, wait so many seconds for what runs; whether all has ended.

        What has not is settled at the next start.
        """
        until = time.monotonic() + within
        self._parts.stopping.set()
        ended = self._lanes.close(within)
        if self._settler.is_alive():
            self._settler.join(max(0.0, until - time.monotonic()))
        return ended

    def start(self, request: DeployRequest) -> Deploy:
        """Queue a deploy; the same one that waits or runs last in its project's queue is joined.

        Raises QueueFull, Stopping.
        """
        record = self._records.new(request.project, request.name)
        if self._lanes.busy(request.project):
            record.say("parse", f"waiting for the change of project {request.project} that is under way")

        def over(reason: Exception) -> None:
            record.say("parse", str(reason), ERROR)
            self._records.release(record)

        work = _DeployWork(request, record, lambda: self._deploy(request, record), over)
        try:
            taken = self._lanes.submit(work)
        except (QueueFull, Stopping):
            self._records.discard(record)
            raise
        if taken is work:
            return Deploy(record.deploy_id, work)
        self._records.discard(record)
        assert isinstance(taken, _DeployWork)
        log.info("project %s: joins %s", request.project, taken.deploy_id)
        return Deploy(taken.deploy_id, taken)

    def view(self, deploy_id: str) -> View:
        """A deploy's events, from the first. Raises NoSuchDeploy, TooManyViewers."""
        return self._records.open(deploy_id)

    def plan(self, request: DeployRequest) -> tuple[Plan, tuple[str, ...]]:
        """What a deploy would do, and what the file's reading warns of; nothing is changed.

        Raises ComposeError, NameClash, NoHostPath, PlanRefused, EngineError.
        """
        made = prepared(self._parts, request)
        observed = observe(self._parts.engine, made.project.name, made.project)
        return plan(made.project, observed, made.options), made.warnings

    def stop(self, name: str, within: float) -> tuple[str, ...]:
        """Stop a project's containers; the names of those that ran. Raises NoSuchProject, Protected, EngineError."""
        project = normalise_project_name(name)

        def deed() -> tuple[str, ...]:
            return stop_project(self._parts.engine, project, None, _log_of(project), own=self._parts.base.own)

        stopped: tuple[str, ...] = self.change(project, "stop", deed).wait(within)
        return stopped

    def remove(self, name: str, within: float) -> tuple[Removed, list[str]]:
        """Remove a project but its volumes, and its files; (what was removed, what is left in its folder).

        Raises NoSuchProject, Protected, EngineError, StoredFailed.
        """
        project = normalise_project_name(name)
        removed: tuple[Removed, list[str]] = self.change(project, "remove", lambda: self._remove(project)).wait(within)
        return removed

    def change(self, project: str, key: str, deed: Callable[[], Any]) -> Work:
        """Queue any change of a project: alone, when all before it have ended and are settled; `key` joins equal ones.

        Raises QueueFull, Stopping.
        """

        def alone() -> Any:
            with self._parts.locks.held(project, self._parts.stopping):
                self._parts.ready()
                if settle_project(self._parts, project) == FINISHED_FILES:
                    self._note_finished(project)
                return deed()

        return self._lanes.submit(Work(project, f"{key} {project}", f"{key} {project}", alone))

    def busy(self, project: str) -> bool:
        """Whether a change of the project runs or waits."""
        return self._lanes.busy(project)

    def is_stored(self, project: str) -> bool:
        """Whether the agent has deployed the project, and keeps what it was deployed from. Raises StoredFailed."""
        return self.stored.is_recorded(project)

    def services(self, project: str) -> frozenset[str]:
        """The services that redeploy() brings up; the project may have containers of others, which it leaves. Raises
        ComposeError, NameClash, NoHostPath, StoredFailed, EngineError.
        """
        return services_of(self._parts, project)

    def redeploy(
        self,
        project: str,
        gate: Gate,
        report: Optional[Report] = None,
        *,
        new_images_for: Optional[Collection[str]] = None,
    ) -> Outcome:
        """Bring a stored project up with the images that are here now; only inside a deed of change().

        Nothing is pulled, no file is written, what somebody stopped stays so; `gate` judges before the commit
        (options.py), and only the services `new_images_for` change their image, all where it is None. Raises
        ComposeError, ConvergeFailed, PlanRefused, NameClash, NoHostPath, Protected, StoredFailed, EngineError.
        """
        return redeploy(self._parts, project, gate, report or _log_of(project), new_images_for)

    def relabel(self, project: str, enabled: bool) -> None:
        """Set `dockpal.auto-update: "true"` on every service of the stored Compose file, or remove the label; only
        inside a deed of change(). Every other byte stays, no container is touched: a deploy of the file as it is then
        changes none either (agentlabels.py). Raises ComposeError (ComposeUneditable where the text does not allow it),
        StoredFailed.
        """
        relabel(self._parts, project, enabled)

    def settle(self) -> None:
        """Bring to an end what was interrupted. Raises EngineError when the daemon is away."""
        self._parts.ready()
        interrupted = self._records.interrupted()
        waiting = [self.change(project, "settle", lambda: None) for project in self._to_settle()]
        for work in waiting:
            _wait_for(work)
        for record in interrupted:
            self._close(record)

    def _deploy(self, request: DeployRequest, record: DeployRecord) -> Outcome:
        try:
            return deploy(self._parts, request, record, self._stands)
        finally:
            self._records.release(record)

    def _remove(self, project: str) -> tuple[Removed, list[str]]:
        try:
            removed = remove_project(self._parts.engine, project, _log_of(project), own=self._parts.base.own)
        except NoSuchProject:
            if self.stored.load(project) is None:
                raise
            removed = Removed()
        left = self.stored.remove(project)
        log.info("project %s: removed%s", project, f"; left in its folder: {len(left)}" if left else "")
        _told(self._on_removed, project)
        return removed, left

    def _stands(self, project: str, outcome: Outcome) -> None:
        _told(self._on_deployed, project, outcome)

    def _note_finished(self, project: str) -> None:
        """A deploy stands that the agent's end cut off: what it means is told now."""
        try:
            outcome = standing_outcome(self._parts, project)
        except FORESEEN as error:
            log.error("project %s: what was deployed when the agent ended could not be looked at: %s", project, error)
        else:
            self._stands(project, outcome)

    def _settle_when_there(self) -> None:
        """The thread of the start."""
        while not self._parts.stopping.is_set():
            try:
                self.settle()
            except (EngineError, JournalFailed, QueueFull) as error:
                log.info("interrupted deploys cannot be settled yet: %s", error)
            except Stopping:
                return
            except Exception:  # the boundary of a thread: deploys settle their own project again
                log.exception("settling interrupted deploys failed")
                return
            else:
                return
            self._parts.stopping.wait(SETTLE_AGAIN)

    def _to_settle(self) -> list[str]:
        """The projects with unfinished files or a killed shell. One whose records cannot be read is left
        to its next deploy.
        """
        found = []
        for project in self.stored.projects():
            try:
                if self.stored.pending(project) is not None:
                    found.append(project)
            except StoredFailed as error:
                log.error("project %s: %s", project, error)
        with contextlib.suppress(FileNotFoundError):
            folders = [folder for folder in self._parts.shell_journals.iterdir() if any(folder.glob("*.json"))]
            found += [folder.name for folder in folders if folder.name not in found]
        return found

    def _close(self, record: DeployRecord) -> None:
        """The last event of a deploy that the agent's end interrupted."""
        try:
            if self.stored.standing(record.project) == record.deploy_id:
                record.say("complete", FINISHED, DONE)
            elif record.said("write"):
                record.say("cleanup", PUT_BACK, DONE)
                record.say("create", UNDONE, ERROR)
            else:
                record.say("parse", NOT_BEGUN, ERROR)
        except StoredFailed as error:
            record.say("write", f"the agent ended during this deploy; {error}", ERROR)
        finally:
            self._records.release(record)


def _told(listener: Optional[Callable[..., None]], project: str, *more: object) -> None:
    """Tell somebody of a change that is done: what fails there does not make it undone."""
    try:
        if listener is not None:
            listener(project, *more)
    except Exception:  # the boundary to another room
        log.exception("project %s: what it is now could not be noted", project)


def _wait_for(work: Work) -> None:
    try:
        work.wait(SETTLE_WITHIN)
    except EngineError:
        raise
    except (ComposeError, JournalFailed, Locked, StoredFailed, TimeoutError) as error:
        log.error("%s: %s", work.title, error)


def _log_of(project: str) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        log.info("project %s: %s", project, progress.message)

    return tell
