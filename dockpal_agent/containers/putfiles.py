"""Files that were put into a container between its create and its start: inline configs and secrets of a project.

They lie in the container alone: neither its image nor its inspect knows them, so that a successor made from these two
would start without. A label of ours says where they are.
"""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Optional

from dockpal_agent.engine import Engine, EngineBroken, NotFound, Stream, archive

__all__ = ["FILES_LABEL", "PutFiles", "copy", "label_of", "put_into"]

log = logging.getLogger(__name__)

FILES_LABEL: Final = "dockpal.files"  # their absolute paths, as a JSON list
LARGEST: Final = 1 << 20  # bytes of one; a whole Compose file has 512 KiB
MOST: Final = 2000  # of one container: a Compose file has a thousand configs and a thousand secrets at most


@dataclass(frozen=True)
class PutFiles:
    """Files of a container, by their absolute paths, that its successor is to have too."""

    container_id: str
    paths: tuple[str, ...]


def label_of(paths: Iterable[str]) -> str:
    """The label's value; "" for no files."""
    listed = sorted(set(paths))
    return json.dumps(listed) if listed else ""


def put_into(old: Mapping[str, Any]) -> Optional[PutFiles]:
    """What the label of an inspected container says, as far as it makes sense: anybody can write one."""
    labels = (old.get("Config") or {}).get("Labels") or {}
    try:
        listed = json.loads(str(labels.get(FILES_LABEL) or "[]"))
    except (ValueError, RecursionError):
        return None
    paths = [path for path in listed if isinstance(path, str) and path.startswith("/")] if type(listed) is list else []
    return PutFiles(str(old["Id"]), tuple(paths[:MOST])) if paths else None


def copy(engine: Engine, files: PutFiles, container_id: str) -> None:
    """Put them into another container, as they are by now; what is no file of that size any more is left.

    Raises EngineError.
    """
    for path in files.paths:
        try:
            found = archive.stat(engine, files.container_id, path)
            if not found.is_file or found.size > LARGEST:
                log.warning("container %s: %s is no file of a project any more", files.container_id[:12], path)
                continue
            with archive.get(engine, files.container_id, path) as stream:
                moved = _moved(stream, path)
        except NotFound:  # somebody removed it, and the successor shall be as the old one is
            continue
        archive.put(engine, container_id, "/", moved)


def _moved(stream: Stream, path: str) -> bytes:
    """The archive of one file, with its whole path for a name: its folder may be nowhere in the image."""
    made = io.BytesIO()
    try:
        with tarfile.open(fileobj=io.BytesIO(_whole(stream)), mode="r:") as given:
            member = given.getmembers()[0]
            content = given.extractfile(member)
            member.name = path.lstrip("/")
            member.pax_headers = {}
            with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archived:
                archived.addfile(member, content)
    except (tarfile.TarError, IndexError) as error:
        raise EngineBroken(f"the Docker daemon's archive of {path} cannot be read: {error}") from error
    return made.getvalue()


def _whole(stream: Stream) -> bytes:
    """All of an archive that its stat said to be small; it can have grown since."""
    parts, size = [], 0
    for part in stream.chunks():
        size += len(part)
        if size > 2 * LARGEST:
            raise EngineBroken("the file grows while it is copied")
        parts.append(part)
    return b"".join(parts)
