"""What references mean on this host before an update, and giving that back after one that failed (decision 14).

A tag that goes on meaning an image which did not prove itself would bring it back with the next deploy.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from dockpal_agent.containers import image_change
from dockpal_agent.engine import Engine, EngineError, images

__all__ = ["give_back", "meanings", "set_meaning"]

log = logging.getLogger(__name__)


def meanings(engine: Engine, references: Iterable[str]) -> dict[str, str]:
    """{reference: id of the image that it means here}; "" where it means none. Raises EngineError."""
    return {reference: image_change.id_of(engine, reference) for reference in references}


def give_back(engine: Engine, before: Mapping[str, str]) -> list[str]:
    """Let the references mean these images again; a line for each that cannot, in Docker's words.

    One that meant nothing before means nothing again; its image stays, as others may use it.
    """
    problems = []
    for reference, image_id in before.items():
        try:
            set_meaning(engine, reference, image_id)
        except EngineError as error:
            log.warning("image %s: its tag could not be given back: %s", reference, error)
            problems.append(f"the tag {reference} could not be given back: {error}")
    return problems


def set_meaning(engine: Engine, reference: str, image_id: str) -> None:
    """Let a reference mean this image, "" for none. Raises EngineError."""
    if image_change.id_of(engine, reference) == image_id:
        return
    if image_id:
        image_change.give_tag_back(engine, image_id, reference)
        log.info("image %s: means %s now", reference, image_id[:19])
    else:
        images.remove(engine, reference)
