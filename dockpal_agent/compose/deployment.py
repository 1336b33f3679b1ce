"""One deploy, from its request to `complete`: read, write its files, bring it up; and what is done where that fails.

The files are written before anything of the project is touched, and are put back when it could not be brought up. What
a kill leaves between the two is decided by Docker: the new files stand where containers with their hashes do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Final, Optional

from dockpal_agent.compose.agentlabels import agent_labels, made_from, says_itself
from dockpal_agent.compose.apply import ConvergeFailed, Outcome
from dockpal_agent.compose.child import read_project, switch_label
from dockpal_agent.compose.deployevents import DeployRecord
from dockpal_agent.compose.deployrequest import DeployRequest
from dockpal_agent.compose.errors import ComposeError
from dockpal_agent.compose.hostpaths import HostPaths
from dockpal_agent.compose.labels import CONFIG_HASH, CONTENT_HASH, PROJECT, SERVICE, VERSION, content_hash
from dockpal_agent.compose.locks import Locked, ProjectLocks
from dockpal_agent.compose.observe import observe
from dockpal_agent.compose.options import DONE, Gate, Options, Report
from dockpal_agent.compose.plan import PlanRefused, plan
from dockpal_agent.compose.prepare import NameClash, NoHostPath, Prepared, Read, check_name, prepare, read_request
from dockpal_agent.compose.project import Project, ReadRequest
from dockpal_agent.compose.stored import Stored, StoredFailed
from dockpal_agent.compose.telling import Teller
from dockpal_agent.containers.journal import Journal, JournalFailed
from dockpal_agent.containers.own import Protected
from dockpal_agent.containers.settle import settle_journal
from dockpal_agent.engine import Engine, EngineError, NotFound, containers, images
from dockpal_agent.images.errors import ImageError

__all__ = [
    "FINISHED_FILES",
    "FORESEEN",
    "Converge",
    "Parts",
    "deploy",
    "prepared",
    "redeploy",
    "relabel",
    "services_of",
    "settle_project",
    "standing_outcome",
]

log = logging.getLogger(__name__)

Converge = Callable[[Engine, Journal, Project, Options, Report], Outcome]

FINISHED_FILES: Final = "finished"
FORESEEN: Final = (
    ComposeError,
    ConvergeFailed,
    EngineError,
    ImageError,
    JournalFailed,
    Locked,
    NameClash,
    NoHostPath,
    PlanRefused,
    Protected,
    StoredFailed,
)  # their text is for the user


@dataclass(frozen=True)
class Parts:
    """What a deploy needs. `ready` returns when nothing of earlier replacements is left to settle.

    `shell_journals` has a journal for each project that a shell has brought up (shell_up.py).
    """

    engine: Engine
    journal: Journal
    stored: Stored
    locks: ProjectLocks
    base: Options  # what all deploys have in common
    find_host_paths: Callable[[], HostPaths]
    ready: Callable[[], None]
    converge: Converge
    shell_journals: Path
    read: Read = read_project
    switch_label: Callable[[ReadRequest, bool], str] = switch_label
    stopping: threading.Event = field(default_factory=threading.Event)


def prepared(parts: Parts, request: DeployRequest) -> Prepared:
    """The project that a request asks for. Raises ComposeError, NameClash, NoHostPath, StoredFailed, EngineError."""
    check_name(parts.engine, parts.stored, request)
    return prepare(request, parts.stored, parts.find_host_paths(), parts.read, parts.base)


def deploy(
    parts: Parts, request: DeployRequest, record: DeployRecord, stands: Callable[[str, Outcome], None]
) -> Outcome:
    """Do it, and tell it: `stands` as soon as it is done. Raises what it failed of, which the last event has said."""
    teller = Teller(record)
    log.info("project %s: deploy begins (%s)", request.project, record.deploy_id)
    try:
        with parts.locks.held(request.project, parts.stopping):
            outcome = _deploy(parts, request, record.deploy_id, teller)
            stands(request.project, outcome)
    except Exception as error:
        _tell_failure(teller, request.project, error)
        raise
    log.info("project %s: deployed (%s)", request.project, record.deploy_id)
    teller.complete(f"{request.name} is deployed")
    return outcome


def redeploy(
    parts: Parts, project: str, gate: Gate, report: Report, new_images_for: Optional[Collection[str]] = None
) -> Outcome:
    """Bring a stored project up again with the images that are here now; the project's lock is held.

    `new_images_for` are the services that get them, None for all. No file is written, and what somebody stopped stays
    so. Raises as deploy(), StoredFailed where nothing is stored.
    """
    made = prepared(parts, _standing(parts, project))
    chosen = None if new_images_for is None else frozenset(new_images_for)
    options = replace(made.options, pull="never", gate=gate, leave_stopped=True, new_images_for=chosen)
    try:
        return parts.converge(parts.engine, parts.journal, made.project, options, report)
    except ConvergeFailed as failure:
        log.warning("project %s: %s", project, failure)
        raise


def services_of(parts: Parts, project: str) -> frozenset[str]:
    """The services that redeploy() brings up: those of the stored file, but for profiles that are off. Raises as it."""
    return frozenset(prepared(parts, _standing(parts, project)).project.services)


def standing_outcome(parts: Parts, project: str) -> Outcome:
    """What a deploy that stands has made, as far as Docker shows it: without its warnings. Raises as prepared()."""
    made = prepared(parts, _standing(parts, project))
    observed = observe(parts.engine, project, made.project)
    found = plan(made.project, observed, replace(made.options, pull="never"))
    ids = {action.container: action.old.id for action in found.of("service", "keep", "start") if action.old}
    return Outcome(found, ids, (), says_itself(made.project))


def relabel(parts: Parts, project: str, enabled: bool) -> None:
    """Set the label `dockpal.auto-update` on every service of the stored Compose file, or remove it; the project's lock
    is held. No container is touched. Raises ComposeError, StoredFailed.
    """
    request = _standing(parts, project)
    asked = read_request(parts.stored.complete(request), parts.stored, str(parts.stored.path(project)))
    text = parts.switch_label(asked, enabled)
    if text != request.compose:
        parts.stored.rewrite(project, text)
        log.info("project %s: updates are %s in its Compose file", project, "on" if enabled else "off")


def _standing(parts: Parts, project: str) -> DeployRequest:
    """What is deployed. Raises StoredFailed."""
    request = parts.stored.load(project)
    if request is None:
        raise StoredFailed(f"no Compose file of project {project} is stored here")
    return request


def settle_project(parts: Parts, project: str) -> str:
    """Bring an interrupted deploy's files to an end; FINISHED_FILES where the new ones stand, "undone", "" for none.

    The agent's own containers have been settled before; those of a shell's killed `up` are now. The project's lock is
    held. Raises EngineError, JournalFailed, StoredFailed.
    """
    if (parts.shell_journals / project).is_dir():
        settle_journal(parts.engine, Journal(parts.shell_journals / project))
    pending = parts.stored.pending(project)
    if pending is None:
        return ""
    if _stands(_of_project(parts.engine, project), pending.hashes):
        parts.stored.commit(project)
        outcome = FINISHED_FILES
    else:
        parts.stored.roll_back(project)
        outcome = "undone"
    log.warning("project %s: the files of an interrupted deploy are %s", project, outcome)
    return outcome


def _deploy(parts: Parts, request: DeployRequest, deploy_id: str, teller: Teller) -> Outcome:
    teller.say("parse", "reading the Compose file")
    parts.ready()
    settle_project(parts, request.project)
    made = prepared(parts, request)
    for warning in made.warnings:
        teller.hint(warning)
    count = len(made.project.services)
    teller.say("parse", f"{count} service{'' if count == 1 else 's'}", DONE)
    teller.say("write", "saving the files")
    parts.stored.begin(made.request, deploy_id, _hashes(parts.engine, made), made.readable)
    teller.say("write", "saved", DONE)
    try:
        outcome = parts.converge(parts.engine, parts.journal, made.project, made.options, teller.report)
    except Exception as failure:
        _undo_files(parts, request.project, failure, teller)
        raise
    for warning in outcome.warnings:
        teller.hint(warning)
    try:
        parts.stored.commit(request.project)
    except StoredFailed as failure:  # all runs, and the files are there: only our own records are not
        log.error("project %s: %s", request.project, failure)
        teller.hint(str(failure))
    return outcome


def _undo_files(parts: Parts, project: str, failure: Exception, teller: Teller) -> None:
    """Put the files back. A failure here never hides the first: it is told, and tried again at the next deploy."""
    try:
        parts.stored.roll_back(project)
    except StoredFailed as error:
        log.error("project %s: %s", project, error)
        teller.hint(str(error))
        return
    undone = failure.undone if isinstance(failure, ConvergeFailed) else ()
    teller.say("cleanup", "; ".join([*undone, "the files are as they were before this deploy"]), DONE)


def _tell_failure(teller: Teller, project: str, error: Exception) -> None:
    if isinstance(error, FORESEEN):
        log.warning("project %s: the deploy failed: %s", project, error)
        teller.fail(str(error) or type(error).__name__)
    else:
        log.error("project %s: the deploy failed unexpectedly", project, exc_info=error)
        teller.fail(f"the agent failed on this deploy ({type(error).__name__}); its log says more")


def _hashes(engine: Engine, made: Prepared) -> dict[str, list[str]]:
    """What Docker will show of each service when this deploy stands, as `config hash/content hash`: the file's own, and
    those of containers that are kept although labels changed that only the agent reads, or that another version of
    docker compose made with the same settings. Raises PlanRefused, EngineError.
    """
    hashes = {service: [own] for service, own in made.hashes.items()}
    there = _of_project(engine, made.project.name)
    if any((found.get("Labels") or {}).get(VERSION) != made.options.version_label for found in there):
        observed = observe(engine, made.project.name, made.project)
        for action in plan(made.project, observed, made.options).of("service", "keep", "start"):
            if action.old is not None and action.name in hashes:
                kept = action.old.labels.get(CONFIG_HASH, "")
                hashes[action.name].append(f"{kept}/{content_hash(made.project, action.name)}")
    for found in there:
        labels = found.get("Labels") or {}
        service, config_hash = labels.get(SERVICE, ""), labels.get(CONFIG_HASH, "")
        entry = made.project.services.get(service, {})
        if service not in hashes or agent_labels(labels) == agent_labels(entry.get("labels") or {}):
            continue
        if made_from(entry, config_hash, labels, _image_labels(engine, found)):
            hashes[service].append(f"{config_hash}/{content_hash(made.project, service)}")
    return hashes


def _image_labels(engine: Engine, listed: Mapping[str, Any]) -> Mapping[str, str]:
    try:
        return (images.inspect(engine, str(listed.get("ImageID"))).get("Config") or {}).get("Labels") or {}
    except NotFound:  # removed by force: then the container shows its own labels and the image's as one
        return {}


def _stands(found: Iterable[Mapping[str, Any]], hashes: Mapping[str, Sequence[str]]) -> bool:
    """Whether Docker has a container of each of these services that was made from this deploy.

    A container that was taken over has no content hash, and is not made anew for that.
    """
    there = set()
    for labels in (each.get("Labels") or {} for each in found):
        there.add((labels.get(SERVICE), labels.get(CONFIG_HASH), labels.get(CONTENT_HASH)))
    for service, fitting in hashes.items():
        wanted = set()
        for config, _, content in (hashed.partition("/") for hashed in fitting):
            wanted |= {(service, config, content), (service, config, None)}
        if not wanted & there:
            return False
    return bool(there)


def _of_project(engine: Engine, project: str) -> list[Mapping[str, Any]]:
    filters = {"label": [f"{PROJECT}={project}"]}
    return [*containers.list_containers(engine, all=True, filters=filters)]
