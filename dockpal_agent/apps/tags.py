"""What references mean on this host before an update, and giving that back after one that failed (decision 14).

A tag that goes on meaning an image which did not prove itself would bring it back with the next deploy.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Final

from dockpal_agent.apps.notes import Note
from dockpal_agent.containers import image_change
from dockpal_agent.engine import Engine, EngineBroken, EngineError, EngineTimeout, EngineUnavailable, images

__all__ = ["give_back", "meanings", "set_meaning"]

log = logging.getLogger(__name__)

AWAY: Final = (EngineUnavailable, EngineTimeout, EngineBroken)  # nothing that the daemon said


def meanings(engine: Engine, references: Iterable[str]) -> dict[str, str]:
    """{reference: id of the image that it means here}; "" where it means none. Raises EngineError."""
    return {reference: image_change.id_of(engine, reference) for reference in references}


def give_back(
    engine: Engine, note: Note, running: Collection[str] = (), given: Collection[str] = ()
) -> tuple[list[str], bool]:
    """Let an attempt's references mean again what they meant before it; (a line for each that does not, in Docker's
    words, whether the daemon was away for one, so that it can be tried again).

    One that meant nothing before means nothing again; its image stays, as others may use it. One that somebody else has
    moved since stays as it is. `running` are images that the app runs: where the agent ended before it could note what
    it had pulled, a reference that means one of them was brought up by somebody. `given` are images that an
    earlier call gave back.
    """
    problems, away = [], False
    for reference, image_id in note.tags.items():
        try:
            now = image_change.id_of(engine, reference)
            if now not in (image_id, *given) and not _ours(note, reference, now, running):
                log.info("image %s: means %s meanwhile, and is left so", reference, now[:19])
                problems.append(f"the tag {reference} means another image meanwhile, and stays so")
                continue
            set_meaning(engine, reference, image_id)
        except EngineError as error:
            log.warning("image %s: its tag could not be given back: %s", reference, error)
            problems.append(f"the tag {reference} could not be given back: {error}")
            away = away or isinstance(error, AWAY)
    return problems, away


def _ours(note: Note, reference: str, now: str, running: Collection[str]) -> bool:
    """Whether a reference means what this attempt has made of it, or nothing."""
    if not now or now in (*note.pulled.values(), *note.new.values()):
        return True
    return reference not in note.pulled and now not in running


def set_meaning(engine: Engine, reference: str, image_id: str) -> None:
    """Let a reference mean this image, "" for none. Raises EngineError."""
    if image_change.id_of(engine, reference) == image_id:
        return
    if image_id:
        image_change.give_tag_back(engine, image_id, reference)
        log.info("image %s: means %s now", reference, image_id[:19])
    else:
        images.remove(engine, reference)
