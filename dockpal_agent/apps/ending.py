"""How an update attempt ends, whoever ends it: the attempt itself, or the next start of an agent that was killed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Optional

from dockpal_agent.apps import tags
from dockpal_agent.apps.checks import Checks
from dockpal_agent.apps.choices import Choices
from dockpal_agent.apps.logins import Logins
from dockpal_agent.apps.notes import Note, Notes
from dockpal_agent.apps.records import Records
from dockpal_agent.apps.selection import held_by
from dockpal_agent.apps.stages import ErrorCode, Stage
from dockpal_agent.compose.deploys import Deploys
from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.containers.replacements import Replacements
from dockpal_agent.engine import Engine, EngineError, EngineUnavailable, NotFound, images
from dockpal_agent.images.errors import ImageError
from dockpal_agent.images.pulls import Pulls
from dockpal_agent.images.removal import remove

__all__ = ["LATER", "UNTOUCHED", "End", "Parts", "clean_up", "found", "record"]

log = logging.getLogger(__name__)

UNTOUCHED: Final = "nothing was changed"
LATER: Final = "the agent gives the tags back when Docker answers again"
UNDONE: Final = "the containers that ran before are back"


@dataclass(frozen=True)
class Parts:
    """What attempts need. `grace` is seconds of the health gate; `stopping` is set when the agent ends."""

    engine: Engine
    pulls: Pulls
    replacements: Replacements
    deploys: Deploys
    own: OwnContainer
    records: Records
    choices: Choices
    checks: Checks
    notes: Notes
    logins: Logins
    grace: float
    cleanup: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class End:
    """How an attempt ends. `again` says that tags are to be given back once the daemon answers."""

    stage: Stage
    message: str
    error_code: Optional[ErrorCode] = None
    again: bool = False


class _Stands(Enum):
    NEW = "new"
    OLD = "old"
    NEITHER = "neither"


def found(engine: Engine, note: Note, stage: Stage, words: str) -> End:
    """The end of an attempt that was cut off in `stage`, by what Docker holds; the journal has been settled before.

    `words` say what cut it off. Where the new images do not run, the tags are given back, but for those that somebody
    else has moved meanwhile. Raises EngineError, also where the daemon went away before all tags were given back.
    """
    running = _running(engine, note)
    stands, evidence = _standing(note, running)
    if stands is _Stands.NEW:
        return End(Stage.COMPLETED, f"{words}; the new containers had been proven, and run")
    problems, away = tags.give_back(engine, note, set().union(*running.values()))
    if away:
        raise EngineUnavailable("; ".join(problems))
    said = [words, *problems]
    if stands is _Stands.NEITHER:
        return End(Stage.FAILED, "; ".join([*said, evidence]), ErrorCode.ROLLBACK_FAILED)
    if stage is Stage.PULLING:
        return End(Stage.FAILED, "; ".join([*said, UNTOUCHED]), ErrorCode.PULL_ERROR)
    return End(Stage.ROLLED_BACK, "; ".join([*said, UNDONE]), ErrorCode.COMPOSE_ERROR)


def record(parts: Parts, note: Note, end: End) -> None:
    """Write the end, and clean up after a good one where that is wanted; the note is of no use from then on, but for
    tags that are still to be given back.

    Where the disk does not take the end, the note's file stays: should the agent be restarted before it does, it has to
    find out again what became of the attempt, and that takes the image ids.
    """
    if end.again:  # before the record: one without an end needs its note as well
        parts.notes.leave(note)
    parts.records.move(note.attempt_id, end.stage, end.message, end.error_code)
    if not end.again and parts.records.owed:
        parts.notes.put_away(note.attempt_id)
    elif not end.again:
        parts.notes.remove(note.attempt_id)
    parts.checks.save()
    if end.stage is Stage.COMPLETED and parts.cleanup:
        clean_up(parts.engine, note)


def clean_up(engine: Engine, note: Note) -> None:
    """Remove the images that were replaced, where no container and no name holds them. A failure is logged."""
    for image_id in {image_id for service in note.new for image_id in note.old.get(service, ())}:
        try:
            if not images.inspect(engine, image_id).get("RepoTags"):
                remove(engine, image_id)
        except NotFound:
            continue
        except (ImageError, EngineError) as error:
            log.info("image %s: stays after the update: %s", image_id[:19], error)


def _running(engine: Engine, note: Note) -> dict[str, set[str]]:
    """The images that each service has containers of."""
    running: dict[str, set[str]] = {}
    for one in held_by(engine, note.project) if note.tags else ():
        running.setdefault(one.member.service, set()).add(one.image_id)
    return running


def _standing(note: Note, running: Mapping[str, set[str]]) -> tuple[_Stands, str]:
    """Which images the services of an attempt run, and a line about the first that runs neither.

    The stage in the record does not tell: a full disk keeps it back, while the journal of containers goes on.
    """
    if not note.new:
        return _Stands.OLD, ""
    if all(running.get(service) == {image} for service, image in note.new.items()):
        return _Stands.NEW, ""
    for service in note.new:
        if running.get(service) != set(note.old.get(service, ())):
            return _Stands.NEITHER, f"{service} {_runs(running, service)}"
    return _Stands.OLD, ""


def _runs(running: Mapping[str, set[str]], service: str) -> str:
    images_now = sorted(image[:19] for image in running.get(service, ()))
    if not images_now:
        return "has no container any more"
    return f"runs {' and '.join(images_now)}, which is neither all old nor all new"
